"""A connection to RabbitMQ for one command of the command line."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pika

from worker.cli.errors import CommandError
from worker.client.explain import CONNECTION_ERRORS, explain
from worker.messaging.connection import parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["connected"]


@contextlib.contextmanager
def connected(url: str, *, name: str = "sips-worker command line", heartbeat: int = 30) -> Iterator[pika.BlockingConnection]:
    """An open connection, closed at the end.

    Args:
        url: where RabbitMQ is, as `AMQP_URL` says.
        name: shown in RabbitMQ's list of connections.
        heartbeat: seconds.

    Raises:
        CommandError: RabbitMQ cannot be reached, or the connection breaks while it is used.
    """
    try:
        connection = pika.BlockingConnection(parameters(url, name=name, heartbeat=heartbeat))
        try:
            yield connection
        except Exception:
            with contextlib.suppress(*CONNECTION_ERRORS):  # of one that is broken; what broke it is told
                _close(connection)
            raise
        _close(connection)  # but not after Ctrl-C, which may have interrupted pika in the middle of a change
    except CONNECTION_ERRORS as error:
        raise CommandError(explain(error)) from None


def _close(connection: pika.BlockingConnection) -> None:
    if connection.is_open:
        connection.close()
