"""What an error of RabbitMQ's is said to mean, on real ones."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pika
import pika.exceptions
import pytest

from worker.client.explain import CONNECTION_ERRORS, explain

if TYPE_CHECKING:
    from worker.local.rabbitmq import RabbitMQNode

AWAY = "no connection to RabbitMQ ({}); is it running, and is AMQP_URL right?"


def explained(url: str) -> str:
    """What is said when this address is tried."""
    with pytest.raises(CONNECTION_ERRORS) as caught:
        pika.BlockingConnection(pika.URLParameters(url))
    return explain(caught.value)


def test_nobody_listens() -> None:
    """In the system's words."""
    assert AWAY.format("Connection refused") == explained("amqp://us:pa55word@127.0.0.1:1/")


def test_the_host_is_unknown() -> None:
    """Its words differ from system to system."""
    text = explained("amqp://us:pa55word@nowhere.invalid/")

    assert ("no connection to RabbitMQ (", True) == (text[:27], text.endswith("); is it running, and is AMQP_URL right?"))
    assert "pa55word" not in text


def test_the_login_is_refused(node: RabbitMQNode) -> None:
    """By the server, so it is there."""
    url = node.url.replace("guest:guest", "guest:pa55word")

    assert "RabbitMQ refused the login; check user and password in AMQP_URL" == explained(url)


def test_the_virtual_host_is_not_there(node: RabbitMQNode) -> None:
    """In the server's words."""
    said = "RabbitMQ refused the virtual host (NOT_ALLOWED - vhost shop not found); "

    assert said + "check the end of AMQP_URL and the user's permissions" == explained(node.url.replace("%2F", "shop"))


def test_something_else_answers() -> None:
    """Such as a web server on the port that was meant."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            end, _address = server.accept()
            with end:
                end.recv(100)
                end.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        text = explained(f"amqp://us:pa55word@127.0.0.1:{server.getsockname()[1]}/")
        thread.join()

    assert "what answers is no RabbitMQ, or not on this port; check host and port in AMQP_URL" == text


def test_nothing_answers() -> None:
    """It was connected, and no more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = explained(f"amqp://us:pa55word@127.0.0.1:{server.getsockname()[1]}/?stack_timeout=0.2")

    assert AWAY.format("Timeout during AMQP handshake") == text


def test_tls_is_spoken_to_a_plain_port(node: RabbitMQNode) -> None:
    """OpenSSL's words, which differ from version to version."""
    text = explained(node.url.replace("amqp://", "amqps://"))

    assert ("no connection to RabbitMQ (", "") == (text[:27], "" if "SSL" in text else text)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (403, "; the user in AMQP_URL lacks that right, which RabbitMQ's administrator can give"),
        (404, "; declare the topology with `sips-worker topology declare`"),
        (406, ""),
    ],
)
def test_a_closed_channel_is_explained_by_its_code(code: int, advice: str) -> None:
    """Advice only where it is known to help."""
    assert f"RabbitMQ refused: why{advice}" == explain(pika.exceptions.ChannelClosedByBroker(code, "why"))


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("Stream connection lost: BrokenPipeError(32, 'Broken pipe')", "Stream connection lost: BrokenPipeError"),
        ("Transport indicated EOF", "Transport indicated EOF"),
    ],
)
def test_a_lost_connection_is_told_without_what_pika_quotes(words: str, cause: str) -> None:
    """It may be a whole address."""
    assert AWAY.format(cause) == explain(pika.exceptions.StreamLostError(words))


def test_an_error_without_words_is_named() -> None:
    """Better than nothing."""
    assert AWAY.format("StreamLostError") == explain(pika.exceptions.StreamLostError())
