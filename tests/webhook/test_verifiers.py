"""Who is taken for SIPS."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from worker.settings import SettingsError, load
from worker.webhook import Verifiers

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = b'{"eventId": "1"}'
LONG, NEXT = "c0rrect-horse-battery", "5taple-is-the-next-one"


def digest(key: str, algorithm: str = "sha256", body: bytes = BODY) -> bytes:
    """The HMAC of a body."""
    return hmac.new(key.encode(), body, getattr(hashlib, algorithm)).digest()


@pytest.mark.parametrize(
    ("path", "is_known"),
    [
        (f"/webhooks/sips/{LONG}", True),
        (f"/webhooks/sips/{NEXT}", True),
        ("/webhooks/sips", False),
        ("/webhooks/sips/", False),
        (f"/webhooks/sips/{LONG[:-1]}", False),
        (f"/webhooks/sips/{LONG}x", False),
        (f"/webhooks/sips/{LONG}/", False),
        (f"/{LONG}", False),
        ("/webhooks/sips/\N{SNOWMAN}", False),
    ],
)
def test_a_path_secret_is_the_last_segment(path: str, is_known: bool) -> None:
    """Both are taken, nothing else is."""
    assert is_known == Verifiers(path=(LONG, NEXT)).knows_path(path)


def test_without_a_path_secret_the_address_is_bare() -> None:
    """And only that."""
    assert [True, False] == [Verifiers().knows_path(path) for path in ("/webhooks/sips", f"/webhooks/sips/{LONG}")]


@pytest.mark.parametrize(
    ("headers", "is_known"),
    [({b"x-key": b"a"}, True), ({b"x-key": b"b"}, True), ({b"x-key": b"c"}, False), ({b"x-key": b""}, False), ({}, False)],
)
def test_a_header_has_one_of_two_secrets(headers: dict[bytes, bytes], is_known: bool) -> None:
    """As its whole value."""
    assert is_known == Verifiers(header="x-key", header_secrets=("a", "b")).knows_headers(headers)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize(("encoding", "encode"), [("hex", bytes.hex), ("base64", lambda raw: base64.b64encode(raw).decode())])
def test_a_body_is_signed_with_one_of_two_keys(algorithm: str, encoding: str, encode: Callable[[bytes], str]) -> None:
    """In each algorithm and encoding, with the algorithm's name in front or without."""
    verifiers = Verifiers(hmac_header="x-signature", hmac_secrets=("k1", "k2"), hmac_algorithm=algorithm, hmac_encoding=encoding)

    def is_known(signature: str, body: bytes = BODY) -> bool:
        return verifiers.knows_body({b"x-signature": signature.encode()}, body)

    first, second, third = (encode(digest(key, algorithm)) for key in ("k1", "k2", "k3"))
    assert [True, True, True, False] == [is_known(text) for text in (first, second, f"{algorithm}={first}", third)]
    assert [False] * 4 == [is_known(first, BODY + b" "), is_known(""), is_known("\N{SNOWMAN}"), is_known(first[:-4])]
    assert not verifiers.knows_body({}, BODY)


def test_what_is_not_asked_for_is_not_looked_at() -> None:
    """Nor is anything else in its place."""
    assert (True, True) == (Verifiers().knows_headers({}), Verifiers().knows_body({}, BODY))


@pytest.mark.usefixtures("bare_environment")
def test_no_secret_shows() -> None:
    """In the text of what holds them."""
    assert not [secret for secret in (LONG, NEXT) if secret in repr(Verifiers((LONG,), "x", (NEXT,), "y", (NEXT,)))]


@pytest.mark.usefixtures("bare_environment")
def test_secrets_come_from_the_settings_and_from_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """One or two of each: apart by a blank, or on lines of their own."""
    Path("key").write_text("k1\nk2\n")
    for name, value in {
        "WEBHOOK_PATH_SECRET": f"{LONG} {NEXT}",
        "WEBHOOK_HMAC_HEADER": "X-Signature",
        "WEBHOOK_HMAC_SECRET_FILE": "key",
    }.items():
        monkeypatch.setenv(name, value)

    assert Verifiers((LONG, NEXT), "", (), "x-signature", ("k1", "k2")) == Verifiers.of(load())


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize(
    ("secret", "line"),
    [
        ("short", "WEBHOOK_PATH_SECRET must have 16 or more letters, digits, -, ., _ or ~; try `openssl rand -hex 16`"),
        ("with/a/slash/in/between", "WEBHOOK_PATH_SECRET must have 16 or more letters, "),
        (f"{LONG} {NEXT} {LONG}", "WEBHOOK_PATH_SECRET holds 3 secrets; it must hold one, or around a rotation two"),
    ],
)
def test_a_secret_that_cannot_be_used_is_one_line(monkeypatch: pytest.MonkeyPatch, secret: str, line: str) -> None:
    """Without the secret."""
    monkeypatch.setenv("WEBHOOK_PATH_SECRET", secret)

    with pytest.raises(SettingsError) as caught:
        Verifiers.of(load())

    assert str(caught.value).startswith(line)
    assert secret not in str(caught.value)
