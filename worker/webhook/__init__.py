"""Takes the calls by which SIPS tells of changes: HTTP in, events out through a port; knows neither RabbitMQ nor orders."""

from worker.webhook.events import Event
from worker.webhook.receiver import NotTakenError, Receiver
from worker.webhook.server import check_addresses, serve
from worker.webhook.verifiers import Verifiers

__all__ = ["Event", "NotTakenError", "Receiver", "Verifiers", "check_addresses", "serve"]
