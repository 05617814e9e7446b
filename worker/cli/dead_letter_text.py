"""Dead letters as people and machines read them. What a message holds is never trusted to be printable."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from worker.messaging.dead_letters import CRASH_ON_READ

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.spec import BasicProperties

    from worker.messaging.dead_letters import DeadLetter, Held

__all__ = ["ADVICE", "DEFAULT_ADVICE", "as_object", "as_row", "details", "printable", "whole"]

DEFAULT_ADVICE = "mend what the detail says, then `sips-worker dead redrive --id ID`; or `sips-worker dead drop --id ID`"

_PUBLISHER = "its publisher must mend what it sends and publish again; then `sips-worker dead drop --id ID`"
_LATER = "when SIPS is well again, `sips-worker dead redrive --id ID`"
_CREDENTIALS = "`sips-worker doctor` tells whether SIPS takes the credentials; then `sips-worker dead redrive --id ID`"
_CRASH = "the workers' logs show how they died; after that is mended, `sips-worker dead redrive --id ID`"

#: What to do, by reason.
ADVICE = {
    **dict.fromkeys(
        (
            "no-id",
            "no-source",
            "no-type",
            "not-a-cloudevent",
            "not-json",
            "not-utf8",
            "too-deep",
            "too-long",
            "unreadable-headers",
            "unsupported-content-type",
            "unsupported-encoding",
            "wrong-type",
        ),
        _PUBLISHER,
    ),
    "too-large": "raise MAX_MESSAGE_BYTES of the workers and `sips-worker dead redrive --id ID`, or drop it",
    "unknown-type": "start workers that know the type, then `sips-worker dead redrive --id ID`",
    "idempotency-conflict": "its publisher used one id for two payloads: the second must be published under a new id; drop it",
    "gave-up": _LATER,
    "handler-fault": "a fault of the worker: its log has the traceback; on a version without it, redrive",
    "crash-loop": _CRASH,
    CRASH_ON_READ: _CRASH,
    **dict.fromkeys(
        (
            "call-limit",
            "connect-failed",
            "deadline",
            "lost-answer",
            "sips-error",
            "sips-gateway",
            "sips-throttled",
            "sips-token-unavailable",
            "sips-unexpected",
            "sips-unreadable",
        ),
        _LATER,
    ),
    **dict.fromkeys(("sips-forbidden", "sips-secret-unreadable", "sips-token-refused", "sips-unauthorized"), _CREDENTIALS),
    "delivery-limit": "RabbitMQ gave up on it; `sips-worker dead redrive --id ID`",
}

#: Bytes from which a size is told in KiB.
_KIB_FROM = 10_000

#: Width of the columns of `list`; the id, which may be long, comes last.
_ROW = "{since:<19}  {reason:<20}  {type:<22}  {size:>8}  {run}/{attempts}  {source}  {key}"


def printable(text: str) -> str:
    """The text with everything escaped that would move a terminal's cursor or change its colours."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def as_row(letter: DeadLetter) -> str:
    """One line for people."""
    return _ROW.format(
        since=f"{letter.since:%Y-%m-%d %H:%M:%S}" if letter.since else "-",
        reason=printable(letter.reason),
        type=printable(letter.type or "-"),
        size=_size(letter.size),
        run=letter.run,
        attempts=letter.attempts,
        source=printable(letter.source or "-"),
        key=printable(letter.key),
    )


def as_object(letter: DeadLetter) -> dict[str, Any]:
    """One JSON object for machines."""
    return {
        "key": letter.key,
        "id": letter.id,
        "source": letter.source,
        "type": letter.type,
        "reason": letter.reason,
        "detail": letter.detail,
        "queue": letter.queue,
        "deadSince": letter.since.isoformat() if letter.since else None,
        "attempts": letter.attempts,
        "run": letter.run,
        "size": letter.size,
        "redelivered": letter.redelivered,
    }


def details(held: Held, *, payload: bool) -> Iterator[str]:
    """Everything about one, a line each; the payload, which may hold names and addresses, only where it is asked for."""
    letter = held.letter
    for name, value in as_object(letter).items():
        if value is not None and name != "key":
            yield f"{name:<12} {printable(str(value))}"
    for name, value in _properties(held.properties).items():
        yield f"property     {name}: {printable(str(value))}"
    for name, value in sorted((held.properties.headers or {}).items()):
        yield f"header       {printable(name)}: {printable(str(value))}"
    if payload:
        yield f"payload      {printable(held.body.decode(errors='backslashreplace'))}"


def whole(held: Held) -> dict[str, Any]:
    """All of a dead letter, from which it can be published again."""
    return as_object(held.letter) | {
        "properties": _properties(held.properties),
        "headers": held.properties.headers or {},
        "bodyBase64": base64.b64encode(held.body).decode(),
    }


def _properties(properties: BasicProperties) -> dict[str, Any]:
    return {name: value for name, value in sorted(vars(properties).items()) if value is not None and name != "headers"}


def _size(number: int) -> str:
    return f"{number} B" if number < _KIB_FROM else f"{number / 1024:.0f} KiB"
