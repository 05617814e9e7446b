"""The answer to a request, as it is read from the wire."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sips.making import LIST, ample, failure, request, send, transport
from tests.sips.servers import Peer, Server, answer, drips_a_body_without_length, serve
from worker.sips.errors import ConnectFailed, DeadlinePassed, Executed, LostAnswer, SipsError, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.sips.answers import Answer
    from worker.sips.operations import Operation


def sends(raw: bytes) -> Callable[[Peer], None]:
    """A script that reads one request, sends some bytes and closes."""

    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(raw)

    return script


def test_an_answer_is_read_whole_and_parsed() -> None:
    """Status, bytes, JSON, media type without parameters, time and wait."""
    raw = answer({"a": 1}, status=503, content_type="Application/JSON; charset=utf-8", Retry_After="7")
    with Server(serve(raw)) as server:
        client = transport(server.url)
        got = send(client)
        client.close()
    assert (503, {"a": 1}, b'{"a":1}', "application/json", 7.0) == (
        got.status,
        got.body,
        got.raw,
        got.media_type,
        got.retry_after,
    )
    assert "ordersV2Submit" == got.operation
    assert got.seconds > 0


def test_a_byte_order_mark_is_taken_off() -> None:
    """Some .NET servers send one, and JSON must not have one where it is passed on."""
    with Server(serve(answer(b'\xef\xbb\xbf{"a":1}'))) as server:
        client = transport(server.url)
        got = send(client)
        client.close()
    assert {"a": 1} == got.body
    assert b'{"a":1}' == got.raw


def test_a_compressed_answer_is_decompressed() -> None:
    """Catalogues are large, so gzip is asked for."""
    with Server(serve(answer(gzip.compress(b'{"a":1}'), Content_Encoding="gzip"))) as server:
        client = transport(server.url)
        assert {"a": 1} == send(client).body
        client.close()


def test_a_chunked_answer_is_put_together() -> None:
    """Servers that do not know the length in advance send chunks."""
    raw = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'
    with Server(serve(raw)) as server:
        client = transport(server.url)
        assert [{"a": 1}] * 2 == [send(client).body for _ in range(2)]
        assert 1 == server.accepted
        client.close()


@pytest.mark.parametrize(
    "raw",
    [
        answer(b" " * 100_001),
        answer(gzip.compress(b" " * 50_000_000), Content_Encoding="gzip"),
        b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 100_001,
    ],
    ids=["long", "compressed", "without a length"],
)
def test_an_answer_that_is_too_large_is_not_read_on(raw: bytes) -> None:
    """Whether it says its length or not: a hostile answer cannot eat the memory."""
    with Server(sends(raw)) as server:
        error = failure(server)
    assert isinstance(error, Unreadable)
    assert "larger than 100000 bytes" in str(error)
    assert Executed.MAYBE == error.executed


def test_an_answer_of_just_the_largest_size_is_read() -> None:
    """The limit itself is allowed."""
    with Server(serve(answer(b" " * 100_000))) as server:
        client = transport(server.url, max_answer_bytes=100_000)
        assert 100_000 == len(send(client).raw)
        client.close()


def test_broken_compression_is_unreadable() -> None:
    """The answer came, but nobody can read it."""
    with Server(serve(answer(b"no gzip", Content_Encoding="gzip"))) as server:
        error = failure(server)
    assert isinstance(error, Unreadable)
    assert Executed.MAYBE == error.executed


@pytest.mark.parametrize(
    "raw", [b"what?\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200]
)
def test_a_garbled_answer_is_a_lost_one(raw: bytes) -> None:
    """No HTTP, less than announced, more headers than sense."""
    with Server(sends(raw)) as server:
        error = failure(server)
    assert isinstance(error, LostAnswer)
    assert Executed.MAYBE == error.executed


def test_a_redirect_is_not_followed() -> None:
    """The request is written once, to the server it was meant for."""
    with Server(serve(answer({}, status=307, Location="/elsewhere"))) as server:
        client = transport(server.url)
        assert 307 == send(client).status
        assert 1 == len(server.received)
        client.close()


def test_an_error_shows_nothing_of_the_request() -> None:
    """Errors of requests hold the address with its query; ours hold neither it nor them."""
    with Server(Peer.receive) as server:
        client = transport(server.url)
        what = request(server.url, "/customers/validate/?accountNumber=SECRET-7", None)
        with pytest.raises(LostAnswer) as caught:
            client.send(LIST, what, ample())
        client.close()
    assert "SECRET-7" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "SECRET-7" not in repr(what)


def test_no_socket_is_left_open() -> None:
    """Neither answers, nor failures, nor time-outs leave a file descriptor behind."""
    scripts: list[Callable[[Peer], object]] = [serve(answer({})), Peer.receive, drips_a_body_without_length]
    before = len(list(Path("/dev/fd").iterdir()))
    for script in scripts:
        with Server(script) as server:
            client = transport(server.url)
            for _ in range(3):
                try:
                    send(client, LIST, seconds=0.3)
                except SipsError as error:
                    assert error.retryable
            client.close()
    assert before == len(list(Path("/dev/fd").iterdir()))


def test_each_end_is_told_once_and_nothing_of_a_request_that_was_not_tried() -> None:
    """What never left this process for want of time says nothing of SIPS; a repeat over a fresh connection is one end."""
    ends: list[tuple[str, object]] = []

    def note(operation: Operation, end: Answer | SipsError) -> None:
        ends.append((operation.id, end if isinstance(end, SipsError) else end.status))

    def closes_after_one_answer(peer: Peer) -> None:
        peer.receive()
        peer.send(answer([]))

    with Server(closes_after_one_answer) as server:
        client = transport(server.url, on_end=note)
        for _ in range(2):
            send(client, LIST)
        with pytest.raises(DeadlinePassed):
            send(client, LIST, seconds=0)
        client.close()
    with pytest.raises(ConnectFailed) as caught:
        send(client, LIST)

    assert [("ordersList", 200), ("ordersList", 200), ("ordersList", caught.value)] == ends
