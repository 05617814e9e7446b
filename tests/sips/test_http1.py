"""HTTP/1.1: what is written, and what comes out of the bytes that are read."""

from __future__ import annotations

import gzip
import http.client
from itertools import pairwise
from typing import TYPE_CHECKING

import httptools
import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.sips.http1 import WIRE_ERRORS, AnswerReader, decompressed, request_head

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}'
CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n{"a\r\n4\r\n":1}\r\n0\r\nStatus: 9\r\n\r\n'
UNTIL_THE_END = b'HTTP/1.1 200 OK\r\n\r\n{"a":1}'


def incoming(*pieces: bytes) -> Callable[[int], bytes]:
    """What a socket gives that receives these pieces and then its end."""
    rest = [piece for piece in pieces if piece]

    def receive(size: int) -> bytes:
        if not rest:
            return b""
        piece, rest[0] = rest[0][:size], rest[0][size:]
        if not rest[0]:
            del rest[0]
        return piece

    return receive


def read(*pieces: bytes, reader: AnswerReader | None = None) -> tuple[AnswerReader, bytes]:
    """The answer and its body."""
    reader = reader or AnswerReader()
    reader.read_head(incoming(*pieces))
    return reader, b"".join(reader.body())


# Writing.


def test_a_request_head() -> None:
    """Line, headers, length, empty line."""
    head = request_head("POST", "/orders/List?a=b", {"Host": "sips", "Accept": "text/html"}, 3)
    assert b"POST /orders/List?a=b HTTP/1.1\r\nHost: sips\r\nAccept: text/html\r\nContent-Length: 3\r\n\r\n" == head
    assert b"GET / HTTP/1.1\r\n\r\n" == request_head("GET", "/", {}, None)


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nX: y", "a\rX", "a\0"])
def test_a_header_cannot_be_two(value: str) -> None:
    """Whoever chose the value could add headers, or a request; the error names the header and not its value."""
    with pytest.raises(ValueError, match="the request's Authorization holds a line end or a space") as caught:
        request_head("GET", "/", {"Accept": "text/html", "Authorization": value}, None)
    assert value not in str(caught.value)


@pytest.mark.parametrize("target", ["/a b", "/a HTTP/1.1\r\nX: y"])
def test_a_target_is_one_word(target: str) -> None:
    """So too."""
    with pytest.raises(ValueError, match="the request's target holds a"):
        request_head("GET", target, {}, None)


# Reading.


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([PLAIN, CHUNKED, UNTIL_THE_END]), st.lists(st.integers(1, 100), max_size=8))
def test_it_does_not_matter_where_the_bytes_are_cut(raw: bytes, places: list[int]) -> None:
    """The network gives what it has."""
    cuts = [0, *sorted(min(place, len(raw)) for place in places), len(raw)]
    answer, body = read(*(raw[start:end] for start, end in pairwise(cuts)))
    assert (200, b'{"a":1}', True) == (answer.status, body, answer.ended)
    assert (raw is not UNTIL_THE_END) == answer.reusable


def test_names_of_headers_are_of_any_case_and_repeated_values_are_joined() -> None:
    """As RFC 9110, 5.3 allows; a trailer is none of them."""
    answer, _ = read(CHUNKED.replace(b"\r\n\r\n", b"\r\nX-A: 1\r\nx-a: \xe92\r\n\r\n", 1))
    assert {"transfer-encoding": "chunked", "x-a": "1, \xe92"} == answer.headers


def test_one_connection_has_one_answer_after_the_other() -> None:
    """Nothing of the first stands in the second."""
    reader, _ = read(CHUNKED)
    answer, body = read(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", reader=reader)
    assert (404, {"content-length": "0"}, b"", True) == (answer.status, answer.headers, body, answer.reusable)


def test_interim_answers_are_passed_over() -> None:
    """They come before the answer, and their headers are not its own."""
    answer, body = read(b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: z\r\n\r\n" + PLAIN)
    assert (200, b'{"a":1}', True) == (answer.status, body, answer.reusable)
    assert {"content-type", "content-length"} == set(answer.headers)


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body_whatever_they_say(status: int) -> None:
    """RFC 9112, 6.3; waiting for one would last until the deadline."""
    answer, body = read(f"HTTP/1.1 {status} Nothing\r\n\r\n".encode())
    assert (status, b"", True) == (answer.status, body, answer.reusable)


@pytest.mark.parametrize(
    ("raw", "reusable"),
    [
        (PLAIN, True),
        (PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"), False),
        (PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n"), False),
        (PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"), True),
        (UNTIL_THE_END, False),
        (PLAIN + PLAIN, False),
        (PLAIN + b"?", False),
        (PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + PLAIN, False),
    ],
    ids=["kept", "old", "closed", "old and kept", "until the end", "twice", "and more", "closed and more"],
)
def test_which_connections_take_another_request(raw: bytes, reusable: bool) -> None:
    """None whose end was announced, and none on which more came than was asked for: it would be the next one's answer."""
    answer, body = read(raw)
    assert (200, b'{"a":1}', reusable) == (answer.status, body, answer.reusable)


@pytest.mark.parametrize(
    "raw",
    [
        PLAIN.replace(b"\r\n", b"\n"),
        PLAIN.replace(b"OK", b"\xe9t\xe9"),
        PLAIN.replace(b" OK", b""),
        PLAIN.replace(b"Content-Type:", b"X-Folded: a\r\n b\r\nContent-Type:"),
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 99\r\n\r\n", 1),
        CHUNKED.replace(b"3;x=y", b"3   "),
    ],
    ids=["bare newlines", "another language", "no reason", "folded", "two lengths", "padded chunks"],
)
def test_what_gateways_get_wrong_is_read(raw: bytes) -> None:
    """An order that was taken must not be in doubt for a missing carriage return."""
    answer, body = read(raw)
    assert (200, b'{"a":1}') == (answer.status, body)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", http.client.RemoteDisconnected),
        (PLAIN[:20], http.client.IncompleteRead),
        (PLAIN[:-1], http.client.IncompleteRead),
        (CHUNKED[:-30], http.client.IncompleteRead),
        (CHUNKED[:-2], http.client.IncompleteRead),
        (b"SSH-2.0-OpenSSH\r\n\r\n", httptools.HttpParserError),
        (b"HTTP/2 200\r\n\r\n", httptools.HttpParserError),
        (CHUNKED.replace(b"3;x=y", b"what"), httptools.HttpParserError),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", http.client.UnknownProtocol),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000, http.client.LineTooLong),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000, http.client.LineTooLong),
        (CHUNKED[:-2] + b"A: b\r\n" * 20_000, http.client.LineTooLong),
    ],
)
def test_what_is_no_answer_is_told(raw: bytes, error: type[Exception]) -> None:
    """It ends short, is no HTTP/1.1, or has a head without an end; all of these are known to the caller."""
    assert issubclass(error, WIRE_ERRORS)
    with pytest.raises(error):
        read(raw)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_bytes_raise_anything_else(data: st.DataObject) -> None:
    """Whatever comes, it is an answer or one of the known errors."""
    raw = bytearray(data.draw(st.sampled_from([PLAIN, CHUNKED, UNTIL_THE_END])))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=5)):
        raw[place] = data.draw(st.integers(0, 255))
    try:
        answer, _ = read(bytes(raw))
    except WIRE_ERRORS:
        return
    assert answer.ended
    assert 200 <= answer.status


# Compression.


def test_a_body_that_is_not_compressed_is_passed_on() -> None:
    """Nothing is copied."""
    pieces = iter([b"a", b"b"])
    assert pieces is decompressed(pieces, None)


def test_a_compressed_body_is_unpacked_piece_by_piece() -> None:
    """However it was cut; of a bomb, no more than is asked for."""
    packed = gzip.compress(b"a" * 1_000_000)
    pieces = decompressed((packed[place : place + 7] for place in range(0, len(packed), 7)), "gzip")
    sizes = [len(piece) for piece in pieces]
    assert 1_000_000 == sum(sizes)
    assert 65_536 == max(sizes)


def test_an_unknown_compression_is_left() -> None:
    """It was not asked for."""
    assert [b"ab"] == list(decompressed(iter([b"a", b"b"]), "identity"))


def test_a_body_that_is_not_compressed_as_it_says_is_an_error() -> None:
    """The answer came, but cannot be read."""
    with pytest.raises(urllib3.exceptions.DecodeError):
        list(decompressed(iter([b"no gzip"]), "gzip"))
