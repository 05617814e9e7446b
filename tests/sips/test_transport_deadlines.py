"""Calls that would not end by themselves."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.sips.making import LIST, SUBMIT, failure, request, send, transport
from tests.sips.servers import Peer, Server, answer, drips_a_body_without_length, serve
from worker.sips.deadline import Deadline
from worker.sips.errors import DeadlinePassed, Executed

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.sips.operations import Operation


def drips_the_head(peer: Peer) -> None:
    """Send the head of an answer byte by byte."""
    peer.receive()
    peer.drip(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 100_000)


def drips_the_body(peer: Peer) -> None:
    """Send the body of an answer byte by byte."""
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    peer.drip(b" " * 100_000)


def reads_nothing(peer: Peer) -> None:
    """Leave everything in the buffers."""
    peer.server.stopping.wait(30)


def says_nothing(peer: Peer) -> None:
    """Read a request and wait for the client to go."""
    peer.receive()
    peer.receive()
    peer.server.gone.set()


@pytest.mark.parametrize("script", [drips_the_head, drips_the_body, drips_a_body_without_length, says_nothing])
@pytest.mark.parametrize("operation", [LIST, SUBMIT], ids=["read", "mutation"])
def test_an_answer_that_does_not_end_is_ended_at_the_deadline(script: Callable[[Peer], None], operation: Operation) -> None:
    """Time-outs per read would wait for ever; the server sees its client go."""
    with Server(script) as server:
        error = failure(server, operation, seconds=0.3)
        assert server.gone.wait(30)
        assert 1 == server.count(operation.path)
    assert isinstance(error, DeadlinePassed)
    assert Executed.MAYBE == error.executed


def test_a_kept_connection_is_ended_at_the_deadline_as_well() -> None:
    """A call on a connection that served others before has its own deadline."""

    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.receive()
            peer.send(answer({}))
        drips_the_body(peer)

    with Server(script) as server:
        client = transport(server.url)
        for _ in range(2):
            send(client, LIST)
        with pytest.raises(DeadlinePassed):
            send(client, LIST, seconds=0.3)
        assert server.gone.wait(30)
        assert 1 == server.accepted
        client.close()


@pytest.mark.usefixtures("trusted")
def test_an_answer_over_tls_that_does_not_end_is_ended_at_the_deadline() -> None:
    """The socket is shut down below TLS."""
    with Server(drips_the_body, tls=True) as server:
        error = failure(server, seconds=0.5)
        assert server.gone.wait(30)
    assert isinstance(error, DeadlinePassed)
    assert Executed.MAYBE == error.executed


@pytest.mark.usefixtures("trusted")
def test_a_handshake_that_does_not_end_is_ended_at_the_deadline() -> None:
    """Nothing of the request was written by then."""

    def script(peer: Peer) -> None:
        peer.drip(b"\x16\x03\x03\x40\x00" + b"\x02" * 16_384)

    with Server(script) as server:
        server.url = server.url.replace("http:", "https:")
        error = failure(server, seconds=0.3)
        assert server.gone.wait(30)
    assert isinstance(error, DeadlinePassed)
    assert Executed.NO == error.executed


def test_a_request_that_nobody_reads_is_ended_at_the_deadline() -> None:
    """A body larger than the buffers in between blocks in the write; its head went out."""
    with Server(reads_nothing) as server:
        error = failure(server, body=b" " * 20_000_000, seconds=0.3)
    assert isinstance(error, DeadlinePassed)
    assert Executed.MAYBE == error.executed


def test_a_call_that_starts_too_late_is_not_sent() -> None:
    """No connection is opened for it."""
    with Server(serve(answer({}))) as server:
        error = failure(server, seconds=0)
        assert 0 == server.accepted
    assert isinstance(error, DeadlinePassed)
    assert Executed.NO == error.executed


def test_a_deadline_does_not_reach_beyond_its_call() -> None:
    """The kept connection of a call that ended in time serves on after that call's deadline."""
    with Server(serve(answer({}))) as server:
        client = transport(server.url)
        deadline = Deadline.after(0.5)
        client.send(LIST, request(server.url, LIST.path), deadline)
        mine, theirs = socket.socketpair()
        with mine, theirs:
            client._watchdog.watch(mine, deadline.or_after(60))
            assert b"" == mine.recv(1)
        send(client, LIST)
        assert 1 == server.accepted
        client.close()
