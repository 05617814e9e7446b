"""Takes secrets and tokens out of a rendered log line: the last step before it is written, whoever logged it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from worker.ops.known_secrets import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["REDACTED", "is_secret_name", "redact"]

#: What stands where a secret stood.
REDACTED = "[redacted]"

#: Names whose values are secret, at the end of a longer name too (`sips_client_secret`, `access_token`, `token_2`).
NAMES = r"(?:token|secret|passw(?:or)?d|passphrase|(?<![a-z])pass|pwd|credential|bearer|(?<![a-z])auth)s?(?:[_-]?\d{1,3})?"

#: The same, of headers whose values have several parts.
HEADERS = r"(?:authorization|cookie)s?"

#: Words in lower case, one of which is in every text that `is_secret_name` or one of `_RULES` applies to.
WORDS = ("token", "secret", "pass", "pwd", "credential", "bearer", "auth", "cookie", "eyj", "@")

#: Between a name and its value: `name=`, `name: `, `"name": ` at any depth of escaping, percent-encoded, or `('name', `.
_BETWEEN = (
    r"(?:(?:\\*[\"']|%22|%27)?\s*(?:=>|[=:]|%3D|%3A)(?:\s|%20|\+)*"
    r"|\\*[\"']\s*,\s*(?=b?\\*[\"']))"
)

#: A value in quotes or brackets, to the end of the text where they are not closed.
_ENCLOSED = r"b?(?P<quote>\\*[\"']).*?(?:(?<!\\)(?P=quote)|\Z)|\[(?!redacted\]).*(?:\]|\Z)|[({].*(?:[)}]|\Z)"

#: Pydantic's own mask is left as it is.
_UNMASKED = r"(?!SecretStr\('\*)"

_SECRET_NAME = re.compile(rf"(?:{NAMES}|{HEADERS})\Z", re.IGNORECASE)

#: Pattern and replacement, in the order in which they are applied to each text.
_RULES = [
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), replacement)
    for pattern, replacement in (
        # A JSON Web Token: `{"` in base64, then up to four more parts (RFC 7515, RFC 7516).
        (r"eyJ[\w-]{8,}(?:\.[\w-]*){0,4}", REDACTED),
        # The password of a URL, up to the last @ because a careless one holds @ or / itself; a port is not one.
        (r"(:(?:\\*/){2}[^\s/?#@:\"']*:)(?!\d+(?:[/?#]|$))[^\s\"'<>]{0,2000}@", rf"\1{REDACTED}@"),
        # A header to the end of its line.
        (rf"({HEADERS}{_BETWEEN}){_UNMASKED}(?:{_ENCLOSED}|[^\r\n]+)", rf"\1{REDACTED}"),
        (rf"({NAMES}{_BETWEEN}){_UNMASKED}(?:{_ENCLOSED}|[^\s&\"'<>]+)", rf"\1{REDACTED}"),
        (r"(bearer(?:\s|%20|\+)+)(?!tokens?\b)(?:b?\\*[\"'])?[^\s\"',;&<>]+", rf"\1{REDACTED}"),
    )
]


def is_secret_name(name: str) -> bool:
    """Whether what stands under `name` is a secret by its name alone."""
    return _SECRET_NAME.search(name) is not None


def redact(line: bytes) -> bytes:
    """`line` without the secrets this process knows, and without what looks like one or stands under a secret's name.

    Judging the rendered line covers every way into it: message, fields, nested values, exceptions, third parties. Almost
    all lines hold neither a word of `WORDS` nor a piece of a known secret and are returned as they are; the others are
    taken apart and rendered again, so that what is cut out never breaks the JSON.

    Args:
        line: one JSON object, as `orjson.dumps` renders it: letters, digits and non-ASCII characters stand for
            themselves in it.

    Raises:
        orjson.JSONDecodeError: `line` is not JSON.
    """
    lowered = line.lower().decode("latin-1")  # one byte a character: twice as fast to search as bytes
    if not KNOWN.may_be_in(lowered) and not _has_word(lowered):
        return line
    return orjson.dumps(_clean(orjson.loads(line), KNOWN.patterns_in(lowered)))


def _has_word(lowered: str) -> bool:
    return any(map(lowered.__contains__, WORDS))


def _clean(value: Any, known: Iterable[re.Pattern[str]]) -> Any:
    match value:
        case bool() | None:
            return value
        case str():
            return _clean_text(value, known)
        case int() | float():
            return REDACTED if any(pattern.search(str(value)) for pattern in known) else value
        case [str(name), second] if _hides(name, second):  # a header as a pair
            return [name, REDACTED]
        case list():
            return [_clean(item, known) for item in value]
        case _:
            return {_clean_text(name, known): _clean_field(name, item, known) for name, item in value.items()}


def _clean_field(name: str, value: Any, known: Iterable[re.Pattern[str]]) -> Any:
    return REDACTED if _hides(name, value) else _clean(value, known)


def _hides(name: str, value: Any) -> bool:
    return bool(value) and value is not True and is_secret_name(name)


def _clean_text(text: str, known: Iterable[re.Pattern[str]]) -> str:
    for pattern in known:
        text = pattern.sub(REDACTED, text)
    if _has_word(text.lower()):
        for rule, replacement in _RULES:
            text = rule.sub(replacement, text)
    return text
