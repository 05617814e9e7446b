"""Proves that a known secret is found under every spelling, and how long it stays known."""

from __future__ import annotations

import base64
import html
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.ops.known_secrets import MAX_LEARNT, MIN_LENGTH, KnownSecrets, register_secret

if TYPE_CHECKING:
    from collections.abc import Callable

#: Any text that can be a secret: long enough, without blanks around it, no URL.
SECRETS = (
    st.text(st.characters(exclude_categories=["Cs"]), min_size=MIN_LENGTH, max_size=40)
    .map(str.strip)
    .filter(lambda text: len(text) >= MIN_LENGTH and "://" not in text)
)

#: Ways in which strings are quoted inside strings, without the quotes themselves.
ESCAPES: list[Callable[[str], str]] = [
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: repr(text)[1:-1],
    lambda text: ascii(text)[1:-1],
]

#: Ways in which URLs and forms carry strings.
PERCENT: list[Callable[[str], str]] = [
    quote,
    quote_plus,
    lambda text: quote(text, safe=""),
    lambda text: quote(text, safe="!*'();:@&=+$,/?#[]~"),
    lambda text: quote(text, safe="").replace("%2F", "%2f").replace("%3D", "%3d"),
]


def cleaned(secret: str, text: str) -> str:
    """`text` after the secret was taken out of it, by way of the anchors."""
    known = KnownSecrets()
    known.keep(secret)
    lowered = json.dumps(text, ensure_ascii=False).lower()
    for pattern in known.patterns_in(lowered):
        text = pattern.sub("[redacted]", text)
    return text


@given(
    secret=SECRETS,
    escapes=st.lists(st.sampled_from(ESCAPES), max_size=3),
    percent=st.lists(st.sampled_from(PERCENT), max_size=2),
)
def test_a_secret_is_found_however_it_is_escaped(
    secret: str, escapes: list[Callable[[str], str]], percent: list[Callable[[str], str]]
) -> None:
    """JSON, Python's repr and percent-encoding, several times over and in any mix, hide nothing."""
    spelled = secret
    for encode in [*escapes, *percent]:
        spelled = encode(spelled)

    assert cleaned(secret, f"<{spelled}>") == "<[redacted]>"


@given(secret=SECRETS)
def test_a_secret_is_found_in_the_repr_of_bytes(secret: str) -> None:
    """What a library logs as `b'…'` shows no secret."""
    assert cleaned(secret, repr(f"<{secret}>".encode())) in {"b'<[redacted]>'", 'b"<[redacted]>"'}


@given(secret=SECRETS)
def test_a_secret_is_found_in_html(secret: str) -> None:
    """A gateway's error page that quotes the request shows no secret."""
    assert cleaned(secret, f"<{html.escape(secret)}>") == "<[redacted]>"


@given(secret=SECRETS, before=st.binary(max_size=4), after=st.binary(max_size=4), url_safe=st.booleans(), percent=st.booleans())
def test_a_secret_is_found_in_base64(secret: str, before: bytes, after: bytes, url_safe: bool, percent: bool) -> None:
    """Whatever stands before and after it in the encoded bytes, none of its own is left."""
    raw = secret.encode()
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    encoded = encode(before + raw + after).decode()
    left, _, right = unquote(cleaned(secret, quote(encoded, safe="") if percent else encoded)).partition("[redacted]")

    assert len(left) <= len(before) * 4 // 3
    assert len(right.replace("%3D", "=").rstrip("=")) <= (len(after) * 4 + 2) // 3 + 2


@pytest.mark.parametrize("text", ["S3CRET-VALUE", "s3cret-Valu", "3cret-Value", "s3cretXValue", "s3cret-%56alue"])
def test_what_is_almost_a_secret_is_left_alone(text: str) -> None:
    """Only a spelling of the secret is cut out."""
    assert text == cleaned("s3cret-Value", text)


def test_many_backslashes_are_judged_quickly() -> None:
    """A secret of backslashes against a text of backslashes does not run for ever."""
    secret, text = "\\" * 12 + '"' + "\\'end1", "end1" + "\\" * 3000

    assert text == cleaned(secret, text)


@pytest.mark.parametrize("value", ["", "abc", "   a   "])
def test_a_very_short_value_is_not_a_secret(value: str) -> None:
    """A value that stands in half of all words is not looked for."""
    known = KnownSecrets()
    known.keep(value)

    assert not known.may_be_in("abc   a   ")


def test_blanks_around_a_secret_do_not_belong_to_it() -> None:
    """A secret read from a file with a line end is found without it."""
    assert cleaned("s3cret-Value\n", "x s3cret-Value y") == "x [redacted] y"


def test_of_a_url_the_password_is_the_secret() -> None:
    """Host and user stay readable; the password is found as it is and percent-encoded."""
    url = "amqp://worker:p%40ss%2Fw0rd@rabbit:5672/%2F"

    assert cleaned(url, "worker@rabbit:5672 p@ss/w0rd p%40ss%2Fw0rd") == "worker@rabbit:5672 [redacted] [redacted]"


def test_a_url_without_a_password_is_a_secret_itself() -> None:
    """A secret may look like a URL, even like a broken one."""
    assert cleaned("https://hooks.example/T0K3N", "to https://hooks.example/T0K3N") == "to [redacted]"
    assert cleaned("x://[not-an-address", "to x://[not-an-address") == "to [redacted]"


def test_of_two_secrets_with_one_beginning_the_longer_is_cut_out_whole() -> None:
    """A secret that begins like another leaves no tail."""
    known = KnownSecrets()
    known.keep("common")
    known.keep("common-and-more")
    text = "common-and-more"
    for pattern in known.patterns_in(text):
        text = pattern.sub("*", text)

    assert text == "*"


def test_learnt_secrets_are_forgotten_oldest_first_and_settings_never() -> None:
    """Tokens do not pile up; using one again keeps it."""
    known = KnownSecrets()
    known.keep("settings-secret")
    known.learn("again-secret")
    for number in range(MAX_LEARNT - 1):
        known.learn(f"token-number-{number}")
    known.learn("again-secret")
    known.learn("newest-secret")

    assert known.may_be_in("settings-secret")
    assert known.may_be_in("again-secret")
    assert known.may_be_in("newest-secret")
    assert not known.may_be_in("token-number-0")
    assert known.may_be_in("token-number-1")


def test_a_registered_secret_is_known_to_the_process(forgotten: None) -> None:
    """`register_secret` feeds the one registry that lines are judged by."""
    from worker.ops.known_secrets import KNOWN

    assert not KNOWN.may_be_in("fresh-t0ken")
    register_secret("fresh-T0ken")
    assert KNOWN.may_be_in("fresh-t0ken")
