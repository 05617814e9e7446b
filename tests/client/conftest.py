"""A corner of the private RabbitMQ in which a test may have less than the topology."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.amqp import channel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.local.rabbitmq import RabbitMQNode

VHOST = "client"

#: Regular expressions of what the user may configure, write and read there.
EVERYTHING = (".*", ".*", ".*")
READ_ONLY = ("^$", "^$", ".*")


@pytest.fixture(scope="module")
def vhost_url(node: RabbitMQNode) -> Iterator[str]:
    """A virtual host of its own, without any exchange of ours."""
    node.rabbitmqctl("add_vhost", VHOST)
    node.rabbitmqctl("set_permissions", "-p", VHOST, "guest", *EVERYTHING)
    yield node.url.replace("/%2F", f"/{VHOST}")
    node.rabbitmqctl("delete_vhost", VHOST)


@pytest.fixture
def exchanges(vhost_url: str) -> Iterator[Any]:
    """A channel to that virtual host, in which the two exchanges exist, and no queue."""
    with channel(vhost_url) as opened:
        for name in ("sips.commands", "sips.events"):
            opened.exchange_declare(name, "topic")
        yield opened
    with channel(vhost_url) as opened:
        for name in ("sips.commands", "sips.events"):
            opened.exchange_delete(name)
