"""pika's connection, with the way of every message made shorter: deliveries, confirms, and what is sent in one go.

pika sends each frame by itself (a message has three), asks the kernel each time to be told when it may, receives again until
there is nothing more, and looks each frame up among all callbacks, by name. What is overridden here goes past that for the
frames that come with every message; all others, and whatever is not complete or not plain TCP, take pika's own way.
`tests/messaging/test_wire.py` holds what this rests on against the locked version of pika.
"""

# ruff: noqa: SLF001 - what is private of pika's is what this is about; only a fork of pika could do without

from __future__ import annotations

import contextlib
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pika
from pika import frame, spec
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pika.channel import Channel

__all__ = ["WireConnection"]

#: Bytes received at once, at most. pika takes 4096.
RECEIVE_BYTES = 65_536

#: A frame: its type, its channel and the size of its payload; the payload; one byte that ends it (AMQP 0-9-1, 4.2.3).
_FRAME = struct.Struct(">BHI")
_END_BYTES = spec.FRAME_END_SIZE

#: The payload of a method begins with its class and number; that of a header has the size of the body, then the properties.
_METHOD = struct.Struct(">I")
_BODY_SIZE = struct.Struct(">4xQ")


class WireConnection(pika.SelectConnection):
    """A `SelectConnection` that takes less of the processor, and is otherwise like any."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._gathered: list[bytes] | None = None
        self._confirms: dict[int, Callable[[frame.Method[Any]], None]] = {}
        super().__init__(*args, **kwargs)

    def on_confirm(self, channel: Channel, callback: Callable[[frame.Method[Any]], None]) -> None:
        """Call `callback` with each `Basic.Ack` of a channel; with a `Basic.Nack`, pika calls what it was given itself."""
        self._confirms[channel.channel_number] = callback

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is sent within goes out in one piece at the end."""
        if self._gathered is not None:
            yield
            return
        self._gathered = []
        try:
            yield
        finally:
            gathered, self._gathered = self._gathered, None
            if gathered and self._transport is not None:
                self._send(b"".join(gathered))

    def _adapter_emit_data(self, data: bytes) -> None:
        if self._gathered is None:
            self._send(data)
        else:
            self._gathered.append(data)

    def _send(self, data: bytes) -> None:
        """As much as the kernel takes at once; the rest goes pika's way, and so does an error, which it then finds itself."""
        transport: Any = self._transport
        if _is_plain(transport) and transport._state == transport._STATE_ACTIVE and not transport._tx_buffers:
            with contextlib.suppress(OSError):
                data = data[transport._sock.send(data) :]
        if data:
            transport.write(data)

    def _proto_connection_made(self, transport: Any) -> None:
        if _is_plain(transport):
            transport._MAX_RECV_BYTES = RECEIVE_BYTES
            transport._MAX_CONSUME_BYTES = 1  # one receive each time: the poller tells of what is left
        super()._proto_connection_made(transport)

    def _on_data_available(self, data_in: bytes) -> None:
        with self.together():
            self._frame_buffer += data_in
            while self._take_one():
                pass
            super()._on_data_available(b"")

    def _take_one(self) -> bool:
        """Whether a delivery or a confirm was all there, up to its end, at the front of what was received."""
        data = self._frame_buffer
        if len(data) < _FRAME.size + _METHOD.size or data[0] != spec.FRAME_METHOD:
            return False
        (method,) = _METHOD.unpack_from(data, _FRAME.size)
        if method == spec.Basic.Deliver.INDEX:
            return self._take_delivery()
        return method == spec.Basic.Ack.INDEX and self._take_confirm()

    def _take_confirm(self) -> bool:
        data = self._frame_buffer
        found = _frame(data, 0, spec.FRAME_METHOD)
        if found is None or (callback := self._confirms.get(found[0])) is None:
            return False
        number, start, end = found
        method = spec.Basic.Ack()
        method.decode(data, start + _METHOD.size)
        self._has_taken(end, frames=1)
        callback(frame.Method(number, method))
        return True

    def _take_delivery(self) -> bool:
        data = self._frame_buffer
        if (found := _frame(data, 0, spec.FRAME_METHOD)) is None:
            return False
        number, method_start, method_end = found
        if (found := _frame(data, method_end, spec.FRAME_HEADER)) is None:
            return False
        header_number, header_start, header_end = found
        (body_size,) = _BODY_SIZE.unpack_from(data, header_start)
        if (found := _frame(data, header_end, spec.FRAME_BODY)) is None:
            return False
        body_number, body_start, body_end = found
        body = data[body_start : body_end - _END_BYTES]
        channel = self._channels.get(number)
        if not number == header_number == body_number or len(body) != body_size or channel is None:
            return False
        method, properties = spec.Basic.Deliver(), spec.BasicProperties()
        method.decode(data, method_start + _METHOD.size)
        properties.decode(data[header_start + _BODY_SIZE.size : header_end - _END_BYTES])
        self._has_taken(body_end, frames=3)
        channel._on_deliver(frame.Method(number, method), frame.Header(number, body_size, properties), body)
        return True

    def _has_taken(self, size: int, *, frames: int) -> None:
        self._trim_frame_buffer(size)
        self.frames_received += frames


def _is_plain(transport: Any) -> bool:
    return type(transport) is _AsyncPlaintextTransport


def _frame(data: bytes, at: int, kind: int) -> tuple[int, int, int] | None:
    """A frame's channel, where its payload begins and where the next frame does; None where it is another or not all there."""
    if len(data) < at + _FRAME.size:
        return None
    found, number, size = _FRAME.unpack_from(data, at)
    start = at + _FRAME.size
    end = start + size + _END_BYTES
    return (number, start, end) if found == kind and len(data) >= end and data[end - 1] == spec.FRAME_END else None
