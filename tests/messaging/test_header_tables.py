"""Tolerant header tables."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pika
import pika.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame, spec

from worker.messaging import header_tables
from worker.messaging.header_tables import MAX_DEPTH, Unreadable, decode_table


def table(*entries: bytes) -> bytes:
    """An encoded table of already encoded entries."""
    inner = b"".join(entries)
    return struct.pack(">I", len(inner)) + inner


def entry(name: bytes, kind: bytes, value: bytes) -> bytes:
    """One encoded entry."""
    return bytes([len(name)]) + name + kind + value


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        (b"t", b"\x01", True),
        (b"b", b"\xff", -1),
        (b"B", b"\xff", 255),
        (b"s", b"\xff\xff", -1),
        (b"u", b"\xff\xff", 65535),
        (b"I", b"\xff\xff\xff\xff", -1),
        (b"i", b"\xff\xff\xff\xff", 4294967295),
        (b"l", b"\xff" * 8, -1),
        (b"d", struct.pack(">d", 1.5), 1.5),
        (b"D", b"\x02\x00\x00\x00\x7b", Decimal("1.23")),
        (b"S", b"\x00\x00\x00\x02ok", "ok"),
        (b"S", b"\x00\x00\x00\x01\xff", b"\xff"),
        (b"x", b"\x00\x00\x00\x01\xff", b"\xff"),
        (b"V", b"", None),
        (b"T", struct.pack(">Q", 0), datetime(1970, 1, 1, tzinfo=UTC)),
        (b"A", b"\x00\x00\x00\x02t\x01", [True]),
        (b"F", table(entry(b"k", b"V", b"")), {"k": None}),
    ],
)
def test_every_field_type_is_decoded(kind: bytes, raw: bytes, expected: Any) -> None:
    """Each type of AMQP 0-9-1, in RabbitMQ's reading of it."""
    encoded = table(entry(b"name", kind, raw), entry(b"next", b"t", b"\x01"))

    assert ({"name": expected, "next": True}, len(encoded)) == decode_table(encoded, 0)


def test_an_impossible_time_stamp_is_unreadable_and_the_rest_is_read() -> None:
    """Milliseconds where seconds belong give the year 57868."""
    encoded = table(entry(b"when", b"T", struct.pack(">Q", 1_764_000_000_000)), entry(b"next", b"t", b"\x01"))

    decoded, offset = decode_table(encoded, 0)

    assert isinstance(decoded["when"], Unreadable)
    assert (True, len(encoded)) == (decoded["next"], offset)


@pytest.mark.parametrize(
    "encoded",
    [
        table(entry(b"k", b"?", b"")),
        table(entry(b"k", b"S", b"\x00\x00\xff\xffshort")),
        table(entry(b"k", b"I", b"\x00")),
        b"\x00\x00\xff\xff",
        b"\x00",
        b"",
        table(b"\xffname"),
    ],
    ids=["unknown type", "long string", "short int", "size too large", "one byte", "nothing", "name too long"],
)
def test_a_broken_table_says_so_and_ends_at_its_size(encoded: bytes) -> None:
    """Whatever is broken stands under the empty key; the frame goes on behind the table."""
    decoded, offset = decode_table(encoded, 0)

    assert isinstance(decoded[""], Unreadable)
    assert offset <= max(len(encoded), 0)


def test_deep_nesting_is_not_followed() -> None:
    """20 000 levels fit into one frame and would end the stack."""
    encoded = table()
    for _ in range(20_000):
        encoded = table(entry(b"k", b"F", encoded))

    decoded: Any = decode_table(encoded, 0)[0]

    depth = 0
    while isinstance(decoded, dict):
        decoded, depth = decoded["k"], depth + 1
    assert isinstance(decoded, Unreadable)
    assert depth == MAX_DEPTH + 1


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_raise(encoded: bytes) -> None:
    """The decoder has no failing input."""
    decoded, _offset = decode_table(encoded, 0)

    assert isinstance(decoded, dict)


def test_a_raw_frame_goes_through_pikas_own_decoder() -> None:
    """The locked version of pika looks the decoder up where `install` puts it."""
    header_tables.install()
    hostile = table(
        entry(b"when", b"T", struct.pack(">Q", 1_764_000_000_000)), entry(b"nan", b"d", struct.pack(">d", float("nan")))
    )
    properties = struct.pack(">H", spec.BasicProperties.FLAG_HEADERS) + hostile
    payload = struct.pack(">HxxQ", spec.Basic.INDEX, 7) + properties
    raw = struct.pack(">BHL", spec.FRAME_HEADER, 1, len(payload)) + payload + bytes([spec.FRAME_END])

    consumed, decoded = frame.decode_frame(raw)

    assert len(raw) == consumed
    assert isinstance(decoded, frame.Header)
    headers: Any = decoded.properties.headers
    assert isinstance(headers["when"], Unreadable)
    assert headers["nan"] != headers["nan"]


def test_what_was_decoded_can_be_published_again() -> None:
    """Doubles and unreadable values survive a republish."""
    header_tables.install()
    original = {"double": 1.5, "bad": Unreadable("why"), "text": "ok", "bytes": b"\xff", "when": datetime(2026, 1, 1, tzinfo=UTC)}
    pieces: list[bytes] = []

    pika.data.encode_table(pieces, original)

    assert original == decode_table(b"".join(pieces), 0)[0]
