"""The dead letters of one command: the place where they come into `sips-worker explain`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from worker.cli.connection import connected
from worker.messaging.envelope import EnvelopeError, parse
from worker.messaging.topology import DEAD
from worker.runtime.order_words import printable
from worker.runtime.timeline import Moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.spec import BasicProperties

    from worker.settings import Settings

__all__ = ["MOST", "dead_letters_of"]

#: Dead letters that are looked at, at most; each is held by RabbitMQ until the look is over.
MOST = 10_000


def dead_letters_of(settings: Settings, names: frozenset[str], source: str | None = None) -> list[Moment]:
    """What lies in the queue of dead letters under one of these names; nothing is taken out.

    Args:
        settings: where RabbitMQ is, and how much of a body is parsed.
        names: command ids and idempotency keys.
        source: of the command; any by default.

    Raises:
        CommandError: RabbitMQ cannot be reached, has no such queue, or went away.
    """
    found = []
    with connected(settings.amqp_url.get_secret_value()) as connection:  # whose end gives everything back
        for properties, body in _browse(connection.channel()):
            command_names, command_source = _named(properties, body, settings.max_message_bytes)
            if names & command_names and source in {None, command_source}:
                found.append(_moment(properties.headers or {}))
    return found


def _browse(channel: Any) -> Iterator[tuple[BasicProperties, bytes]]:
    for _ in range(MOST):
        method, properties, body = channel.basic_get(DEAD)
        if method is None:
            return
        yield properties, body


def _named(properties: BasicProperties, body: bytes, max_bytes: int) -> tuple[set[str], str | None]:
    """The names that a dead letter goes by, and its source."""
    try:
        command = parse(body, properties, "", max_bytes=max_bytes)
    except EnvelopeError as error:
        return {error.id} if error.id else set(), error.source
    return {command.id, command.idempotency_key}, command.source


def _moment(headers: dict[str, Any]) -> Moment:
    at, queue = headers.get("sips-dead-at"), headers.get("sips-queue")
    reason, detail = headers.get("sips-reason") or "set aside by RabbitMQ", headers.get("sips-detail")
    text = f"set aside from {queue or 'its queue'}: {reason}{f': {detail}' if detail else ''}"
    return Moment(_seconds(at), "dead", printable(text))


def _seconds(at: Any) -> float | None:
    if isinstance(at, datetime):
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return float(at) if isinstance(at, int) and 0 <= at < 253_402_300_800 else None  # noqa: PLR2004 - the year 10000
