"""SIPS being down: its port refuses connections until the fault is replaced or its time is up."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from worker.sandbox.faults import Faults
    from worker.sandbox.listener import Listener

__all__ = ["Outage"]


class Outage:
    """Opens and closes the port as the fault `down` says; thread-safe."""

    def __init__(self, listener: Listener, faults: Faults) -> None:
        self._listener = listener
        self._faults = faults
        self._lock = threading.Lock()
        self._return: threading.Timer | None = None
        self._stopped = False

    def follow(self, asked_on: socket.socket | None = None) -> None:
        """Go down or come back after the faults were replaced.

        Args:
            asked_on: the connection that asked for it, which still gets its answer.
        """
        with self._lock:
            if self._stopped:
                return
            self._forget_return()
            down = self._faults.strikes("down", "")
            if down is None:
                self._listener.open()
                return
            self._listener.refuse(spare=asked_on)
            if down["seconds"] is not None:
                timer = self._return = threading.Timer(down["seconds"], self._come_back)
                timer.daemon = True
                timer.start()

    def stop(self) -> None:
        """Never come back."""
        with self._lock:
            self._stopped = True
            self._forget_return()

    def _forget_return(self) -> None:
        if self._return:
            self._return.cancel()
        self._return = None

    def _come_back(self) -> None:
        with self._lock:
            if self._return is threading.current_thread():  # else the faults were replaced at this very moment
                self._faults.lift("down")
                self._listener.open()
                self._return = None
