"""The secret values of this process, and every spelling under which one may stand in a text."""

from __future__ import annotations

import base64
import html
import os
import re
import string
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["KNOWN", "KnownSecrets", "register_secret"]

#: Characters a secret needs at least: a shorter one would stand in half of all words.
MIN_LENGTH = 4

#: Secrets learnt at run time that are kept, the latest: the token, the client secrets and some tokens before. Each
#: costs every line about a microsecond.
MAX_LEARNT = 6

#: Characters that no encoding but base64 changes (RFC 3986, section 2.3, without the `~` that older encoders escape).
UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._")

#: Characters JSON and Python write as a backslash and a letter.
LETTER_ESCAPES = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}

#: Backslashes, each as it is or percent-encoded (once or several times), and none or some of them. Possessive they would be
#: quicker, but Python 3.11.2 then takes the `%` of what follows along and finds nothing.
BACKSLASHES = r"(?:\\|%(?:25)*5[Cc])+"
MAYBE_BACKSLASHES = r"(?:\\|%(?:25)*5[Cc])*"

#: Spellings of the two characters that differ between base64's alphabets (RFC 4648) and that URLs and JSON escape.
BASE64_SPELLINGS = {"+": r"(?:[+\- ]|%2[Bb])", "/": r"(?:\\*/|_|%2[Ff])"}

#: One character of a base64 text, as it is or percent-encoded.
BASE64_CHARACTER = r"(?:[\w+/=-]|%(?:2[BbFf]|3[Dd]))"


@dataclass(frozen=True, slots=True)
class Spellings:
    """How to find one secret: if no anchor is in a text in lower case, no spelling is; `pattern` matches every spelling."""

    anchors: tuple[str, ...]
    pattern: re.Pattern[str]
    length: int


class KnownSecrets:
    """The secrets of one process: those of its settings for good, of those learnt later the latest `MAX_LEARNT`."""

    def __init__(self) -> None:
        self._settings: dict[str, Spellings] = {}
        self._learnt: dict[str, Spellings] = {}
        self._all: tuple[Spellings, ...] = ()
        self._anchors: tuple[str, ...] = ()
        self.after_fork()

    def after_fork(self) -> None:
        """Replace the lock, which another thread of the parent may have held."""
        self._lock = threading.Lock()

    def keep(self, value: str) -> None:
        """Know `value` for good."""
        self._add(value, self._settings)

    def learn(self, value: str) -> None:
        """Know `value` until `MAX_LEARNT` others were learnt after it."""
        self._add(value, self._learnt)

    def _add(self, value: str, to: dict[str, Spellings]) -> None:
        for secret in _secrets_in(value):
            with self._lock:
                to[secret] = to.pop(secret) if secret in to else _spellings(secret)
                while len(self._learnt) > MAX_LEARNT:
                    del self._learnt[next(iter(self._learnt))]
                self._publish()

    def _publish(self) -> None:
        # Readers take these two without the lock. Longest first: a secret may be the beginning of another.
        merged = (self._settings | self._learnt).values()
        self._all = tuple(sorted(merged, key=lambda known: -known.length))
        self._anchors = tuple({anchor for known in self._all for anchor in known.anchors})

    def may_be_in(self, lowered: str) -> bool:
        """Whether a secret, however spelled, may stand in a text that was put in lower case; false means that none does."""
        return any(map(lowered.__contains__, self._anchors))

    def patterns_in(self, lowered: str) -> list[re.Pattern[str]]:
        """The patterns of the secrets that may stand in a text that was put in lower case."""
        return [known.pattern for known in self._all if any(map(lowered.__contains__, known.anchors))]


#: The secrets that no line of this process may show.
KNOWN = KnownSecrets()

os.register_at_fork(after_in_child=KNOWN.after_fork)


def register_secret(value: str) -> None:
    """Keep `value` (a token just received, a client secret just read) out of every log line from now on.

    Call it before the value is used. Values shorter than `MIN_LENGTH` characters are not looked for; of a URL its
    password is. Registering a value again keeps it known for longer.
    """
    KNOWN.learn(value)


def _secrets_in(value: str) -> Iterable[str]:
    try:
        password = urlsplit(value).password if "://" in value else None
    except ValueError:
        password = None
    found = {value.strip()} if password is None else {password, unquote(password)}
    return [secret for secret in found if len(secret) >= MIN_LENGTH]


def _spellings(secret: str) -> Spellings:
    cores = list(_base64_cores(secret.encode("utf-8", "surrogatepass")))
    anchors = [_longest_run(secret, UNRESERVED), *(_longest_run(core, UNRESERVED - {"-", "_"}) for core in cores)]
    encoded = "|".join("".join(BASE64_SPELLINGS.get(char, char) for char in core) for core in cores)
    # Up to three characters on each side of a core hold the rest of its first and last byte.
    pattern = re.compile(rf"{_spelled(secret)}|{BASE64_CHARACTER}{{0,3}}(?:{encoded}){BASE64_CHARACTER}{{0,3}}")
    return Spellings(tuple(anchor.lower() for anchor in anchors), pattern, len(secret))


def _base64_cores(secret: bytes) -> Iterator[str]:
    """The characters that `secret` alone decides, for each of the three places it can take in a group of three bytes."""
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + secret).decode()
        yield encoded[(offset * 8 + 5) // 6 : (offset + len(secret)) * 8 // 6]


def _longest_run(text: str, alphabet: frozenset[str]) -> str:
    words = "".join(char if char in alphabet else " " for char in text).split(" ")
    return max(words, key=len)


def _spelled(secret: str) -> str:
    """A pattern for `secret` in every way that URLs, JSON, Python's `repr` and HTML write it, at any depth."""
    # A run of backslashes merges with those that escape the character after it, so both are one piece.
    pieces = re.findall(r"(\\*)([^\\]?)", secret)
    return "".join((BACKSLASHES if run else "") + _character(char, escaped=bool(run)) for run, char in pieces)


def _character(char: str, *, escaped: bool) -> str:
    if not char or char in UNRESERVED:
        return re.escape(char)
    utf8, utf16 = char.encode("utf-8", "surrogatepass"), char.encode("utf-16-be", "surrogatepass")
    units = [f"u(?i:{high:02x}{low:02x})" for high, low in zip(utf16[::2], utf16[1::2], strict=True)]
    ways = [
        "".join(f"%(?:25)*(?i:{byte:02x})" for byte in utf8),
        BACKSLASHES.join(f"x(?i:{byte:02x})" for byte in utf8),
        BACKSLASHES.join(units),
        f"(?i:x{ord(char):02x}|u{ord(char):08x})",
        LETTER_ESCAPES.get(char, r"\+|%(?:25)*2[Bb]" if char == " " else re.escape(html.escape(char))),
        re.escape(char),  # last, because `%` and `&` also begin their own escapes
    ]
    return f"{'' if escaped else MAYBE_BACKSLASHES}(?:{'|'.join(ways)})"
