"""Proves what is taken out of a rendered line by its name or its looks, and that the rest stays."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.ops.known_secrets import KNOWN
from worker.ops.redaction import WORDS, is_secret_name, redact

#: A JSON Web Token that nobody issued.
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJub2JvZHkifQ.c2lnbmF0dXJl"

#: The value that must not be seen; no secret is registered in these tests.
HIDDEN = "h1dd3n-Val"

#: Any JSON value.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4),
    max_leaves=12,
)


def redacted(value: Any) -> Any:
    """A value after it went through a line."""
    return orjson.loads(redact(orjson.dumps({"value": value})))["value"]


@pytest.mark.parametrize(
    "name",
    [
        *("token", "access_token", "accessToken", "refresh-token", "tokens", "token_2", "X-Auth-Token"),
        *("secret", "client_secret", "SIPS_CLIENT_SECRET", "clientSecret", "client_secret_2", "secrets"),
        *("password", "passwd", "db_password", "PGPASSWORD", "passphrase", "pass", "db_pass", "pwd", "credentials"),
        *("authorization", "Proxy-Authorization", "auth", "cookie", "Set-Cookie", "cookies", "bearer"),
    ],
)
@pytest.mark.parametrize("value", [HIDDEN, 271828, [HIDDEN], {"a": {"b": HIDDEN}}])
def test_a_value_under_a_secret_name_is_hidden(name: str, value: Any) -> None:
    """Whatever stands there: a text, a number, a list, an object."""
    assert {name: "[redacted]"} == redacted({name: value})
    assert [[name, "[redacted]"]] == redacted([[name, value]])


@pytest.mark.parametrize("value", [None, "", True, False, 0, [], {}])
def test_nothing_under_a_secret_name_stays_nothing(value: Any) -> None:
    """Whether a secret is there is not secret, and helps."""
    assert {"token": value} == redacted({"token": value})


@pytest.mark.parametrize(
    "name",
    ["token_age_seconds", "token_fingerprint", "secret_file", "idempotency_key", "author", "bypass", "passed", "tokenizer", "id"],
)
def test_a_name_that_only_sounds_like_a_secret_is_left(name: str) -> None:
    """Ages, fingerprints and paths are what an operator needs."""
    assert {name: "shown"} == redacted({name: "shown"})


@pytest.mark.parametrize(
    "text",
    [
        f"Bearer {HIDDEN}",
        f"bearer  {HIDDEN}",
        f"sent 'Bearer {HIDDEN}' twice",
        f"?header=Bearer%20{HIDDEN}",
        f"?header=Bearer+{HIDDEN}",
        f"Authorization: {HIDDEN}",
        f"Authorization: Custom id=1, signature={HIDDEN}",
        f"authorization=Basic {HIDDEN}",
        f"Authorization%3A%20Basic%20{HIDDEN}",
        f"Cookie: a=1; session={HIDDEN}",
        f"set-cookie: session={HIDDEN}; Path=/",
        f"client_secret={HIDDEN}",
        f"grant_type=client_credentials&client_secret={HIDDEN}&scope=all",
        f"client_secret%3D{HIDDEN}",
        f"access_token => {HIDDEN}",
        f"password: '{HIDDEN} with blanks {HIDDEN}'",
        f'{{"password": "{HIDDEN} \\" {HIDDEN}"}}',
        json.dumps(json.dumps({"password": f'{HIDDEN} " {HIDDEN}', "a": 1})),
        json.dumps(json.dumps(json.dumps({"access_token": f'{HIDDEN} " {HIDDEN}'}))),
        repr({"Authorization": f"Token {HIDDEN}", "a": 1}),
        repr({"tokens": [[HIDDEN], [HIDDEN]]}),
        repr({b"password": HIDDEN.encode()}),
        repr([("Cookie", f"a={HIDDEN}"), ("Host", "b")]),
        f"Settings(password='{HIDDEN}', threads=4)",
        f"Settings(password=SecretStr('**********'), token='{HIDDEN}')",
        f'"token": "cut off {HIDDEN} in the mid',
        f"tokens = ({HIDDEN}, cut off {HIDDEN}",
        f"amqp://user:{HIDDEN}@rabbit:5672/%2F",
        f"amqp://user:with/slash-and-@-{HIDDEN}@rabbit:5672/%2F",
        f"postgresql+psycopg://:{HIDDEN}@db",
        f"https:\\/\\/user:{HIDDEN}@host",
        f"https://user:{HIDDEN}@host",
        f"token {JWT}{HIDDEN} refused",
    ],
)
def test_what_looks_like_a_secret_in_a_text_is_hidden(text: str) -> None:
    """No name of a field tells it and nobody registered it."""
    assert HIDDEN in text
    assert HIDDEN not in json.dumps(redacted(text))
    assert HIDDEN not in json.dumps(redacted({"nested": [{text: 1}]}))
    assert "[redacted]" in redacted(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amqp://user:pw@host:5672/x", "amqp://user:[redacted]@host:5672/x"),
        ("POST a=1&client_secret=x&b=2", "POST a=1&client_secret=[redacted]&b=2"),
        ("'Authorization': 'Bearer x', 'Host': 'y'", "'Authorization': [redacted], 'Host': 'y'"),
        (f"refused {JWT} by SIPS", "refused [redacted] by SIPS"),
        ("a Bearer x, then y", "a Bearer [redacted], then y"),
    ],
)
def test_the_rest_of_a_text_stays(text: str, expected: str) -> None:
    """Only the secret goes."""
    assert expected == redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "the token was refreshed",
        "the bearer token was refused",
        "worker/sips/token.py:12 Token.refresh",
        "https://host:443/path?mail=a@b",
        "a@b.example",
        "SIPS asks for authorization",
        "Settings(amqp_url=1, secret=SecretStr('**********'))",
        "eyJ",
    ],
)
def test_a_text_that_only_speaks_of_secrets_is_left(text: str) -> None:
    """Ops can read what happened."""
    assert text == redacted(text)


@given(VALUES)
def test_a_line_stays_json_and_an_unsuspicious_value_stays_itself(value: Any) -> None:
    """Whatever is logged, the line can be parsed; without a word of suspicion it is not touched."""
    line = orjson.dumps({"value": value})
    result = redact(line)

    orjson.loads(result)
    if not any(word in line.decode().lower() for word in WORDS):
        assert line == result


@given(
    st.text(max_size=20),
    st.sampled_from(["Token", "secrets", "passwd_2", "PWD", "credential", "bearer", "auth", "Cookie", "authorization"]),
)
def test_every_secret_name_holds_a_word_that_is_looked_for(before: str, name: str) -> None:
    """The quick check and the exact one agree."""
    if is_secret_name(before + name):
        assert any(word in (before + name).lower() for word in WORDS)


def test_a_known_secret_in_a_number_or_a_name_is_hidden(forgotten: None) -> None:
    """A secret of digits is one, quoted or not, and the line stays JSON."""
    KNOWN.keep("31415926")

    assert {"pin": "[redacted]", "part": "[redacted]", "x[redacted]": [1, "[redacted]"]} == redacted(
        {"pin": 31415926, "part": 131415926.5, "x31415926": [1, "31415926"]}
    )
    assert redacted({"pin": 3141592}) == {"pin": 3141592}


def test_hidden_twice_is_hidden_once(forgotten: None) -> None:
    """A known secret under a secret name leaves one mark and no tail."""
    KNOWN.keep("31415926")

    assert redacted("token=31415926-tail x") == "token=[redacted] x"


def test_the_fingerprint_of_a_token_is_no_secret() -> None:
    """It is what tells one token from another in the log."""
    line = {"event": "SIPS token fetched", "fingerprint": "9f86d081884c", "seconds": 3600}

    assert line == orjson.loads(redact(orjson.dumps(line)))
