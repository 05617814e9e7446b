"""Decode AMQP header tables without ever failing: one hostile header must not cost the connection.

pika raises inside its frame decoder for a time stamp beyond the year 9999, a NaN, an unknown field type, a truncated or
deeply nested table; the connection then dies, the message returns, and so on for ever. RabbitMQ itself passes such
tables through. `install` replaces pika's decoder (and lets its encoder write doubles back); what cannot be read
becomes an `Unreadable`, which the envelope turns into a dead letter.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pika.data

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_BYTES", "MAX_DEPTH", "OWN_BYTES", "Unreadable", "decode_table", "encoded_size", "install"]

#: Tables and arrays nested deeper than this are not followed; a frame of 128 KiB has room for 20 000 levels.
MAX_DEPTH = 16

#: Largest table of a publisher's that is carried on, in bytes. All properties of a message must fit one frame (128 KiB by
#: default), and a copy has headers of ours as well; a frame that is too large costs the connection.
MAX_BYTES = 65_536

#: Bytes that headers of ours, and RabbitMQ's record of where the message has been, may add to that.
OWN_BYTES = 4_096


class Unreadable(str):
    """A header value that could not be decoded; the text says why. As a string, it can be published again."""

    __slots__ = ()


def _timestamp(seconds: int) -> datetime | Unreadable:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return Unreadable(f"impossible time stamp {seconds} (seconds since 1970 expected)")


#: Field types of a fixed size: their struct format and what makes a value of it (RabbitMQ's errata of AMQP 0-9-1).
_FIXED: dict[bytes, tuple[struct.Struct, Callable[[Any], Any]]] = {
    b"t": (struct.Struct(">?"), bool),
    b"b": (struct.Struct(">b"), int),
    b"B": (struct.Struct(">B"), int),
    b"s": (struct.Struct(">h"), int),
    b"U": (struct.Struct(">h"), int),
    b"u": (struct.Struct(">H"), int),
    b"I": (struct.Struct(">i"), int),
    b"i": (struct.Struct(">I"), int),
    b"l": (struct.Struct(">q"), int),
    b"L": (struct.Struct(">q"), int),
    b"f": (struct.Struct(">f"), float),
    b"d": (struct.Struct(">d"), float),
    b"T": (struct.Struct(">Q"), _timestamp),
}
_LENGTH = struct.Struct(">I")
_DECIMAL = struct.Struct(">Bi")
#: Field types that carry their length: long string, bytes, array, table.
_SIZED = frozenset((b"S", b"x", b"A", b"F"))


def decode_table(encoded: bytes, offset: int) -> tuple[dict[str, Any], int]:
    """The table at `offset` and the offset behind it; never raises.

    Keys are text (bytes that are no UTF-8 are escaped). Where the table is broken, the key `""` holds an `Unreadable`.
    """
    return _table(encoded, offset, 0)


def _table(encoded: bytes, offset: int, depth: int) -> tuple[dict[str, Any], int]:
    size = _LENGTH.unpack_from(encoded, offset)[0] if len(encoded) >= offset + 4 else len(encoded)
    offset, end = offset + 4, offset + 4 + size
    table: dict[str, Any] = {}
    try:
        _require(end <= len(encoded))
        while offset < end:
            name_end = offset + 1 + encoded[offset]
            name = encoded[offset + 1 : name_end].decode(errors="backslashreplace")
            table[name], offset = _value(encoded, name_end, end, depth)
    except _BrokenError as error:
        table[""] = Unreadable(str(error))
    return table, min(end, len(encoded))


def _value(encoded: bytes, offset: int, end: int, depth: int) -> tuple[Any, int]:
    """The value at `offset`, which must not reach beyond `end`, and the offset behind it."""
    kind, offset = encoded[offset : offset + 1], offset + 1
    if fixed := _FIXED.get(kind):
        layout, make = fixed
        _require(offset + layout.size <= end)
        return make(layout.unpack_from(encoded, offset)[0]), offset + layout.size
    if kind == b"V":
        return None, offset
    if kind == b"D":
        _require(offset + _DECIMAL.size <= end)
        places, digits = _DECIMAL.unpack_from(encoded, offset)
        return Decimal(digits).scaleb(-places), offset + _DECIMAL.size
    if kind not in _SIZED:
        raise _BrokenError(f"unknown header field type {kind!r}")
    _require(offset + 4 <= end)
    start = offset + 4
    stop = start + _LENGTH.unpack_from(encoded, offset)[0]
    _require(stop <= end)
    return _sized_value(kind, encoded, start, stop, depth), stop


def _sized_value(kind: bytes, encoded: bytes, start: int, stop: int, depth: int) -> Any:
    if kind == b"S":
        return _text(encoded[start:stop])
    if kind == b"x":
        return encoded[start:stop]
    if depth >= MAX_DEPTH:
        return Unreadable(f"headers nested deeper than {MAX_DEPTH} levels")
    if kind == b"F":
        return _table(encoded, start - 4, depth + 1)[0]
    items = []
    while start < stop:
        item, start = _value(encoded, start, stop, depth + 1)
        items.append(item)
    return items


def _require(fits: bool) -> None:
    if not fits:
        raise _BrokenError("a header value is cut off")


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


class _BrokenError(Exception):
    """The rest of a table cannot be read."""


def encoded_size(table: dict[str, Any]) -> int | None:
    """Bytes of the table when it is published again; None where pika cannot write it (a name that grew past 255 bytes)."""
    install()
    try:
        return pika.data.encode_table([], table)
    except Exception:  # noqa: BLE001 - whatever pika objects to
        return None


def install() -> None:
    """Make pika use this decoder; repeated calls change nothing.

    `pika.data.decode_table` is looked up by name on every use (`pika.spec`), so one assignment is enough; a test with a
    raw frame holds this against the locked version of pika.
    """
    if pika.data.decode_table is decode_table:
        return
    encode_value = pika.data.encode_value

    def encode_value_or_double(pieces: list[bytes], value: Any) -> int:
        if isinstance(value, float):
            pieces.append(struct.pack(">cd", b"d", value))
            return 9
        return encode_value(pieces, value)

    pika.data.decode_table = decode_table  # type: ignore[assignment]
    pika.data.encode_value = encode_value_or_double
