"""`sips-worker webhook`: take the calls by which SIPS tells of changes, and publish them to `sips.webhooks`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worker import settings as settings_module
from worker.main import make_topology, start_logs
from worker.messaging.keeper import TopologyKeeper
from worker.messaging.publisher import Publisher, PublishError
from worker.ops import register_secret
from worker.runtime.hints import hint
from worker.settings import WEBHOOK_FIELDS, Settings, SettingsError
from worker.webhook import NotTakenError, Receiver, Verifiers, check_addresses, serve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.webhook import Event

#: Seconds that closing the connection to RabbitMQ may take.
CLOSE_SECONDS = 2.0


@click.command()
def webhook() -> None:
    """Take the calls by which SIPS tells of changes.

    It listens at WEBHOOK_PORT of WEBHOOK_HOST for POST /webhooks/sips/<WEBHOOK_PATH_SECRET>, and at HEALTH_PORT, where that is
    set, for /livez and /readyz. Each event becomes a message in sips.webhooks. The answer is 200 when RabbitMQ has confirmed
    it; else 503 with Retry-After, so that the sender repeats.

    It needs RabbitMQ, no database and no credentials of SIPS. Outside the sandbox it needs a secret that SIPS' calls carry:
    WEBHOOK_PATH_SECRET, WEBHOOK_HEADER_SECRET or WEBHOOK_HMAC_SECRET.

    SIGTERM or Ctrl-C stops it: no call is taken any more, those that run get GRACE_SECONDS.
    """
    settings = settings_module.load_without_sips()
    verifiers = Verifiers.of(settings)
    if not verifiers.secrets:
        _mind_strangers(settings)
    sockets = check_addresses(settings)
    start_logs(settings)
    for secret in verifiers.secrets:
        register_secret(secret)
    publisher = make_publisher(settings)

    def publish(events: Sequence[Event]) -> None:
        messages = [
            hint(event.id, event.fields, event.content, is_json=event.is_json, environment=settings.sips_environment)
            for event in events
        ]
        try:
            publisher.publish(*messages, timeout=settings.webhook_publish_seconds)
        except PublishError as error:
            raise NotTakenError(str(error)) from None

    receiver = Receiver(
        settings, verifiers, WEBHOOK_FIELDS | settings.webhook_fields, publish=publish, is_up=lambda: publisher.is_up
    )
    publisher.start()
    try:
        serve(receiver, settings, sockets, register_secret)
    finally:
        publisher.stop(CLOSE_SECONDS)


def make_publisher(settings: Settings) -> Publisher:
    """What publishes, and has the topology declared on each new connection and where it is missing."""
    url = settings.amqp_url.get_secret_value()
    keeper = TopologyKeeper(url, make_topology(), heartbeat=settings.amqp_heartbeat)
    return Publisher(
        url,
        name="sips-worker webhook",
        heartbeat=settings.amqp_heartbeat,
        on_state=lambda is_up: keeper.repair_aside() if is_up else None,
        repair=keeper.repair_aside,
    )


def _mind_strangers(settings: Settings) -> None:
    if settings.sips_environment != "sandbox":
        raise SettingsError(
            "outside the sandbox `webhook` needs WEBHOOK_PATH_SECRET, WEBHOOK_HEADER_SECRET or WEBHOOK_HMAC_SECRET: "
            "without one anybody could tell of changes"
        )
    click.secho("sips-worker: no WEBHOOK_..._SECRET is set; every call is taken for one of SIPS", fg="yellow", err=True)
