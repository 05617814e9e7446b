"""What the receiver asks of its sockets."""

from __future__ import annotations

import socket

from worker.local.processes import free_ports
from worker.settings import Settings
from worker.webhook import check_addresses


def test_an_answer_does_not_wait_for_the_caller_to_acknowledge_half_of_it() -> None:
    """On each connection that is accepted, at either port."""
    webhook_port, health_port = free_ports(2)

    for listening in check_addresses(Settings(webhook_port=webhook_port, health_port=health_port)):
        with listening, socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
