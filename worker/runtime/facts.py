"""Publish facts that belong to no command, such as `sips.service.down`: best effort, each once."""

from __future__ import annotations

import os
import socket
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from worker.messaging import events
from worker.messaging.publisher import PublishError

if TYPE_CHECKING:
    from worker.messaging.publisher import Publisher
    from worker.settings import Settings

__all__ = ["Facts"]

log = structlog.get_logger("worker")


class Facts:
    """What one process tells of SIPS as a whole."""

    def __init__(self, publisher: Publisher, settings: Settings) -> None:
        self._publisher = publisher
        self._settings = settings

    def publish(self, event_type: str, data: dict[str, Any]) -> None:
        """Publish one, with the host of SIPS and the process that saw it; what RabbitMQ does not take is only logged."""
        about = {"host": urlsplit(self._settings.base_url).netloc, "instance": f"{socket.gethostname()}/{os.getpid()}"}
        context = events.EventContext(environment=self._settings.sips_environment)
        message = events.event(event_type, str(uuid.uuid4()), data | about, context)
        try:
            self._publisher.publish(message, timeout=self._settings.publish_seconds)
        except PublishError as error:
            log.warning("a fact was not published", type=event_type, error=str(error), **data)
