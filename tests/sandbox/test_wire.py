"""Requests as bytes, whole, broken and hostile; replies as bytes."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sandbox import wire
from worker.sandbox.wire import LINGER_BYTES, MAX_BODY, MAX_HEAD, Reply, Request, UnreadableRequestError, read

if TYPE_CHECKING:
    from collections.abc import Iterator

GET = b"GET /orders/1 HTTP/1.1\r\n\r\n"
PUT = b"PUT /_sandbox/faults HTTP/1.1\r\nHost: x\r\nContent-Type: application/JSON; a=b\r\nContent-Length: 2\r\n\r\n{}"


def reader(*parts: bytes) -> io.BufferedReader:
    """A connection on which so much comes before it ends."""
    return io.BufferedReader(io.BytesIO(b"".join(parts)))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a connection; neither waits for ever."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(30)
        theirs.settimeout(30)
        yield ours, theirs


def test_a_request_is_read() -> None:
    """Header names in lower case, the media type without parameters, path and query apart and as they were encoded."""
    assert Request("GET", "/orders/1", {}, b"") == read(reader(GET))
    request = read(reader(PUT.replace(b"faults", b"faults?a=/b%20")))
    assert request
    assert ("PUT", "/_sandbox/faults", "a=/b%20", "application/json", b"{}", "x") == (
        request.method,
        request.path,
        request.query,
        request.media_type,
        request.raw,
        request.headers["host"],
    )


def test_requests_on_one_connection_are_read_one_after_the_other() -> None:
    """Also where both came at once; then there is no more."""
    both = reader(PUT, GET)
    assert ["PUT", "GET"] == [request.method for request in iter(lambda: read(both), None)]


@pytest.mark.parametrize("whole", [GET, PUT])
def test_half_a_request_is_none(whole: bytes) -> None:
    """Wherever it breaks off: an order whose end did not come must not be accepted."""
    for end in range(len(whole)):
        assert read(reader(whole[:end])) is None, whole[:end]


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (b"GET / HTTP/1.1", False),
        (b"GET / HTTP/1.1\r\nConnection: keep-alive", False),
        (b"GET / HTTP/1.1\r\nConnection: Close", True),
        (b"GET / HTTP/1.0", True),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive", False),
        (b"GET / HTTP/1.1\nConnection: close", True),
    ],
)
def test_a_request_says_whether_its_connection_ends(head: bytes, closes: bool) -> None:
    """Kept by default since HTTP/1.1."""
    request = read(reader(head, b"\r\n\r\n"))
    assert request
    assert closes == request.closes


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"\r\n\r\n", "this is no HTTP/1.1 request line"),
        (b"hello\r\n\r\n", "this is no HTTP/1.1 request line"),
        (b"GET /\r\n\r\n", "this is no HTTP/1.1 request line"),
        (b"GET / HTTP/2\r\n\r\n", "this is no HTTP/1.1 request line"),
        (b"GET http://x/ HTTP/1.1\r\n\r\n", "this is no HTTP/1.1 request line"),
        (b"get / HTTP/1.1\r\n\r\n", "this is no HTTP/1.1 request line"),
        (b"\x16\x03\x01\x02\x00\x01\n\r\n", "this is no HTTP/1.1 request line"),
        (b"AMQP\x00\x00\x09\x01\n\n", "this is no HTTP/1.1 request line"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "a header has no colon"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "Content-Length is no number of bytes"),
        (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx", "Content-Length is no number of bytes"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n", "Content-Length is no number of bytes"),
        (b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", "Content-Length is no number of bytes"),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 9_999 + b"\r\n\r\n", "Content-Length is no number of bytes"),
        (b"POST / HTTP/1.1\r\nContent-Length: 67108865\r\n\r\n", f"the body has more than {MAX_BODY} bytes"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n", f"the body has more than {MAX_BODY} bytes"),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "the sandbox reads bodies with a Content-Length, not in chunks",
        ),
        (b"GET /" + b"a" * MAX_HEAD, f"the head of the request has more than {MAX_HEAD} bytes"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * MAX_HEAD, f"the head of the request has more than {MAX_HEAD} bytes"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_what_is_no_request_is_told(sent: bytes, message: str) -> None:
    """Rather than read as something else."""
    with pytest.raises(UnreadableRequestError) as caught:
        read(reader(sent))
    assert message == str(caught.value)


@given(st.binary(max_size=60), st.integers(0, len(PUT)), st.integers(0, 20))
def test_whatever_bytes_come_are_read_or_told(junk: bytes, at: int, cut: int) -> None:
    """Also in the middle of what would be a request."""
    for sent in (junk, PUT[:at] + junk + PUT[at + cut :]):
        try:
            request = read(reader(sent))
        except UnreadableRequestError:
            continue
        assert request is None or (request.path.startswith("/") and len(request.raw) <= len(sent))


def test_a_reply_is_sent(pair: tuple[socket.socket, socket.socket]) -> None:
    """Status line, headers, body."""
    ours, theirs = pair
    wire.send(ours, Reply(429, b"{}", headers=(("Retry-After", "7"),)))
    wire.send(ours, Reply(599, b"", "text/html"))
    ours.close()
    with theirs.makefile("rb") as answers:
        assert (
            b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n"
            b"Retry-After: 7\r\n\r\n{}"
            b"HTTP/1.1 599 Unknown\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n"
        ) == answers.read()


def test_a_reply_is_sent_byte_by_byte(pair: tuple[socket.socket, socket.socket]) -> None:
    """With a pause after each; the head comes at once."""
    ours, theirs = pair
    seen = []

    def pause() -> bool:
        seen.append(theirs.recv(65_536))
        return False

    assert wire.send_slowly(ours, Reply(200, b"abc"), pause)
    assert (b"\r\n\r\na", b"b", b"c") == (seen[0][-5:], *seen[1:])


def test_a_slow_reply_can_be_given_up(pair: tuple[socket.socket, socket.socket]) -> None:
    """Then it was not sent."""
    ours, theirs = pair
    assert not wire.send_slowly(ours, Reply(200, b"abc"), lambda: True)
    assert theirs.recv(65_536).endswith(b"\r\n\r\na")


def test_a_refusal_can_be_read_by_who_is_still_sending(pair: tuple[socket.socket, socket.socket]) -> None:
    """Closing with bytes unread would reset the connection, and the answer with it."""
    ours, theirs = pair

    def refuse() -> None:
        wire.refuse(ours, "no")
        ours.close()

    refusing = threading.Thread(target=refuse)
    refusing.start()
    theirs.sendall(b"x" * (LINGER_BYTES // 2))
    theirs.shutdown(socket.SHUT_WR)
    with theirs.makefile("rb") as answer:
        text = answer.read()
    refusing.join(30)
    assert (b"HTTP/1.1 400 Bad Request", True, b'{"message":"no"}') == (
        text.partition(b"\r\n")[0],
        b"Connection: close" in text,
        text.rpartition(b"\r\n\r\n")[2],
    )


def test_a_refusal_does_not_wait_for_the_end_of_what_never_ends(pair: tuple[socket.socket, socket.socket]) -> None:
    """It reads so much and no more."""
    ours, theirs = pair

    def send_for_ever() -> None:
        with contextlib.suppress(OSError):
            while True:
                theirs.sendall(b"x" * 65_536)

    sending = threading.Thread(target=send_for_ever)
    sending.start()
    wire.refuse(ours, "no")
    ours.close()
    sending.join(30)
    assert b"HTTP/1.1 400" == theirs.recv(12)


def test_a_refusal_does_not_wait_for_who_falls_silent(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it an error that nothing more came."""
    monkeypatch.setattr(wire, "LINGER_SECONDS", 0.05)
    ours, theirs = pair
    ours.settimeout(None)
    wire.refuse(ours, "no")
    assert b"HTTP/1.1 400" == theirs.recv(12)
