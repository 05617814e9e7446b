"""What was written of a request, and which connections are kept for the next one."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.sips.making import LIST, ORDER, SUBMIT, failure, send, transport
from tests.sips.servers import Peer, Server, answer, serve
from worker.sips import transport as transport_module
from worker.sips.connections import Connection
from worker.sips.errors import ConnectFailed, Executed, LostAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.sips.operations import Operation
    from worker.sips.transport import Transport

# What can have been executed.


def test_a_refused_connection_is_not_executed() -> None:
    """Nobody listens: no byte was written."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    client = transport(f"http://127.0.0.1:{port}")
    with pytest.raises(ConnectFailed) as caught:
        send(client)
    assert Executed.NO == caught.value.executed
    assert "ConnectionRefusedError ECONNREFUSED" in str(caught.value)
    client.close()


def test_a_host_without_an_address_is_not_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is unknown: no byte was written."""

    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    client = transport("http://sips.example")
    with pytest.raises(ConnectFailed) as caught:
        send(client)
    assert Executed.NO == caught.value.executed
    assert "gaierror" in str(caught.value)
    client.close()


def test_a_server_that_closes_at_once_may_have_executed() -> None:
    """The request went into a connection that was already closing: nobody can tell who read it."""
    with Server(lambda _: None) as server:
        error = failure(server)
    assert isinstance(error, LostAnswer)
    assert Executed.MAYBE == error.executed


def test_a_server_that_closes_after_reading_may_have_executed() -> None:
    """The request came in whole and was written once."""
    with Server(Peer.receive) as server:
        error = failure(server)
        assert [ORDER] == server.bodies(SUBMIT.path)
    assert isinstance(error, LostAnswer)
    assert Executed.MAYBE == error.executed


def test_a_server_that_resets_after_reading_may_have_executed() -> None:
    """As with a clean end."""

    def script(peer: Peer) -> None:
        peer.receive()
        peer.reset()

    with Server(script) as server:
        error = failure(server)
    assert isinstance(error, LostAnswer)
    assert Executed.MAYBE == error.executed


@pytest.mark.usefixtures("trusted")
def test_a_tls_error_after_reading_may_have_executed() -> None:
    """A broken TLS record raises the same class as a failed handshake, yet SIPS has the order."""

    def script(peer: Peer) -> None:
        peer.receive()
        assert peer.plain is not None
        peer.plain.sendall(b"\x17\x03\x03\x00\x20" + b"no record of this session, 32 b.")

    with Server(script, tls=True) as server:
        error = failure(server)
        assert [ORDER] == server.bodies(SUBMIT.path)
    assert isinstance(error, LostAnswer)
    assert Executed.MAYBE == error.executed
    assert "SSLError" in str(error)


def test_an_untrusted_certificate_is_not_executed() -> None:
    """The handshake fails here: no request byte was written."""
    with Server(serve(answer([])), tls=True) as server:
        error = failure(server)
        assert [] == server.received
    assert isinstance(error, ConnectFailed)
    assert Executed.NO == error.executed
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("script", [lambda peer: peer.send(b"HTTP/1.1 400 No TLS here\r\n\r\n"), lambda _: None])
def test_a_handshake_that_fails_there_is_not_executed(script: Callable[[Peer], None]) -> None:
    """The other side speaks no TLS, or closes: the handshake's bytes are none of the request's."""
    with Server(script) as server:
        server.url = server.url.replace("http:", "https:")
        error = failure(server)
    assert isinstance(error, ConnectFailed)
    assert Executed.NO == error.executed


@pytest.mark.usefixtures("trusted")
def test_a_trusted_certificate_is_accepted() -> None:
    """The CA bundle of the environment counts, and connections over TLS are kept as well."""
    with Server(serve(answer({"message": "Order Submitted"})), tls=True) as server:
        client = transport(server.url)
        assert [200, 200] == [send(client).status for _ in range(2)]
        assert 1 == server.accepted
        client.close()


def test_a_kept_connection_that_was_reset_is_not_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the pool does not notice: the operating system refuses the first byte, so nothing was written.

    urllib3 swallows that refusal and reads on, which would look like a lost answer.
    """

    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(answer({}))
        peer.reset()
        server.gone.set()

    with Server(script) as server:
        client = transport(server.url)
        send(client)
        assert server.gone.wait(30)
        monkeypatch.setattr(Connection, "is_connected", True)
        with pytest.raises(ConnectFailed) as caught:
            send(client)
        assert Executed.NO == caught.value.executed
        assert 1 == server.count(SUBMIT.path)
        client.close()


def void(_: object) -> None:
    """Nothing, whatever it is given."""


def test_an_answer_to_nothing_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that takes no byte may still hold bytes that came unasked; they are not the answer to an order."""
    read = threading.Event()

    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(answer({}))
        assert read.wait(30)  # sent together, the second answer could be read into the first one's buffer, and go with it
        peer.send(answer({"orderID": "of somebody else"}))
        peer.receive()

    with Server(script) as server:
        client = transport(server.url)
        send(client)
        read.set()
        connection = kept(client, SUBMIT)
        assert connection.sock.recv(1, socket.MSG_PEEK)
        connection.sock.shutdown(socket.SHUT_WR)
        monkeypatch.setattr(Connection, "is_connected", True)
        with pytest.raises(ConnectFailed) as caught:
            send(client)
        assert Executed.NO == caught.value.executed
        client.close()


# Kept connections.


def kept(client: Transport, operation: Operation = LIST) -> Connection:
    """The connection that a client used last for an operation like this one, and keeps."""
    return client._pool._idle[operation is SUBMIT][-1]


@pytest.mark.parametrize("operation", [LIST, SUBMIT], ids=["read", "mutation"])
def test_connections_are_kept(operation: Operation) -> None:
    """Calls that follow each other share one."""
    with Server(serve(answer({}))) as server:
        client = transport(server.url)
        for _ in range(3):
            send(client, operation)
        assert 1 == server.accepted
        client.close()


def test_an_order_never_goes_over_a_connection_that_reads_do_not_ask_after() -> None:
    """A gateway that answers a read twice would have the next read take the second answer, and an order that of the read."""
    second = threading.Event()

    def answers_reads_twice(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            peer.send(answer({"to": request.target}))
            if request.target == LIST.path:
                peer.send(answer({"to": request.target}))
                second.set()

    with Server(answers_reads_twice) as server:
        client = transport(server.url)
        send(client, LIST)
        assert second.wait(30)
        assert {"to": SUBMIT.path} == send(client, SUBMIT).body
        assert {"to": SUBMIT.path} == send(client, SUBMIT).body
        assert 2 == server.accepted
        client.close()


def test_a_mutation_takes_no_connection_that_was_idle_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read may take any; a mutation one that was idle for less than the limit, else a fresh one."""
    with Server(serve(answer({}))) as server:
        client = transport(server.url)
        send(client, LIST)
        monkeypatch.setattr(transport_module, "MUTATION_MAX_IDLE", 0.0)
        send(client, LIST)
        assert 1 == server.accepted
        send(client, SUBMIT)
        send(client, SUBMIT)
        assert 3 == server.accepted
        client.close()


def test_connections_that_are_too_old_do_not_stand_in_the_way_of_others() -> None:
    """Where only orders are sent, nobody else takes them."""
    with Server(serve(answer({}))) as server:
        client = transport(server.url)
        client._pool._keep = 1
        send(client, SUBMIT)
        kept(client, SUBMIT).idle_since -= 3_600
        send(client, SUBMIT)
        send(client, SUBMIT)
        assert 2 == server.accepted
        client.close()


def test_idle_connections_are_trusted_for_less_time_than_gateways_keep_them() -> None:
    """A gateway that closes earlier than after two seconds has not been seen."""
    assert 2.0 == transport_module.MUTATION_MAX_IDLE


@pytest.mark.parametrize("operation", [LIST, SUBMIT], ids=["read", "mutation"])
def test_a_kept_connection_that_was_closed_is_replaced(operation: Operation) -> None:
    """Where the end of the connection is known already, nothing is written to it and nothing fails."""

    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(answer({}))
        with contextlib.suppress(OSError):  # the client is gone already
            peer.sock.shutdown(socket.SHUT_WR)
        peer.receive()
        server.gone.set()

    with Server(script) as server:
        client = transport(server.url)
        send(client, LIST)
        assert b"" == kept(client).sock.recv(1, socket.MSG_PEEK)
        kept(client).idle_since -= transport_module.READ_UNASKED_IDLE
        send(client, operation)
        assert 2 == server.accepted
        assert 2 == len(server.received)
        client.close()


def test_a_read_does_not_ask_after_a_connection_that_was_just_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutation always does: it is not repeated where that goes wrong."""
    asked: list[bool] = []

    def ask(connection: Connection) -> bool:
        asked.append(True)
        return bool(is_connected.__get__(connection))

    is_connected: Any = Connection.is_connected
    monkeypatch.setattr(Connection, "is_connected", property(ask))
    with Server(serve(answer({}))) as server:
        client = transport(server.url)
        send(client, LIST)
        kept(client).idle_since += 3_600
        send(client, LIST)
        assert [] == asked
        send(client, SUBMIT)
        send(client, SUBMIT)
        assert [True] == asked
        assert 2 == server.accepted
        client.close()


def closes_the_second_request(peer: Peer) -> None:
    """Answer the first request of a server's life, close on the second unanswered, answer the rest."""
    while peer.receive() is not None:
        if len(peer.server.received) == 2:
            return
        peer.send(answer({}))


def test_a_read_on_a_connection_that_ends_unanswered_is_repeated_once() -> None:
    """The gateway closed the kept connection while the request was on its way; a fresh one is asked."""
    with Server(closes_the_second_request) as server:
        client = transport(server.url)
        send(client, LIST)
        assert 200 == send(client, LIST).status
        assert 3 == server.count(LIST.path)
        assert 2 == server.accepted
        client.close()


def test_a_mutation_on_a_connection_that_ends_unanswered_is_written_once() -> None:
    """Nobody can tell whether it was executed, so it is not repeated."""
    with Server(closes_the_second_request) as server:
        client = transport(server.url)
        send(client, SUBMIT)
        with pytest.raises(LostAnswer) as caught:
            send(client, SUBMIT)
        assert Executed.MAYBE == caught.value.executed
        assert 2 == server.count(SUBMIT.path)
        client.close()


def test_a_read_on_a_fresh_connection_is_not_repeated() -> None:
    """What ends unanswered there has nothing to do with kept connections."""
    with Server(Peer.receive) as server:
        assert isinstance(failure(server, LIST), LostAnswer)
        assert 1 == server.count(LIST.path)


def test_a_read_is_not_repeated_after_a_part_of_its_answer() -> None:
    """A kept connection that breaks within an answer is no stale one."""

    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(answer({}))
        peer.receive()
        peer.send(answer({})[:-1])

    with Server(script) as server:
        client = transport(server.url)
        send(client, LIST)
        with pytest.raises(LostAnswer):
            send(client, LIST)
        assert 2 == server.count(LIST.path)
        client.close()


def test_close_closes_what_is_idle() -> None:
    """The server sees its client go at once; what is called afterwards fails without a byte."""

    def script(peer: Peer) -> None:
        while peer.receive() is not None:
            peer.send(answer({}))
        server.gone.set()

    with Server(script) as server:
        client = transport(server.url)
        send(client)
        client.close()
        assert server.gone.wait(30)
        with pytest.raises(ConnectFailed) as caught:
            send(client)
        assert Executed.NO == caught.value.executed


def test_many_threads_do_not_wait_for_each_other() -> None:
    """Every thread of the setting has a connection at once."""
    together = threading.Barrier(4)

    def script(peer: Peer) -> None:
        while peer.receive() is not None:
            together.wait(30)
            peer.send(answer({}))

    with Server(script) as server:
        client = transport(server.url)
        threads = [threading.Thread(target=send, args=(client, LIST)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not together.broken
        assert 4 == server.accepted
        client.close()
