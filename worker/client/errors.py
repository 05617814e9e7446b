"""The one error of the client."""

from __future__ import annotations

__all__ = ["ClientError"]


class ClientError(Exception):
    """RabbitMQ cannot be reached, or does not do what was asked; the text says what to do."""
