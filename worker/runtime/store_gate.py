"""Keep the queues that need the store closed while it cannot be used, and while it is the wrong one for this broker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pika.exceptions
import structlog

from worker.messaging import topology
from worker.messaging.store_mark import mark_broker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.messaging.gate import Gate
    from worker.settings import Settings
    from worker.store.engine import Store

__all__ = ["STORE_DOWN", "StoreGate"]

#: Reason of a gate: the store cannot be used.
STORE_DOWN = "store-down"

#: Seconds before a broker that belongs to another store is asked again, and a line says so again: only a person can mend it.
REFUSED_SECONDS = 30.0

#: The queues whose messages are written down, or come from what is.
QUEUES = (topology.ORDERS, topology.WATCHES)

log = structlog.get_logger("worker")


class StoreGate:
    """Called with whether the store answers; closed until it did, and until the broker carries its mark."""

    def __init__(self, gates: Mapping[str, Gate], store: Store, settings: Settings) -> None:
        self._gates = [gates[queue] for queue in QUEUES]
        self._store = store
        self._settings = settings
        self._marked = False
        self._mark_at = 0.0
        self._close()

    def __call__(self, up: bool) -> None:
        """Open or close."""
        if not up:
            self._close()
        elif self._marked or (time.monotonic() >= self._mark_at and self._mark()):
            for gate in self._gates:
                gate.open(STORE_DOWN)

    def _close(self) -> None:
        for gate in self._gates:
            gate.close(STORE_DOWN)

    def _mark(self) -> bool:
        """Whether the broker belongs to this store."""
        try:
            mark_broker(self._settings.amqp_url.get_secret_value(), self._store.id, heartbeat=self._settings.amqp_heartbeat)
        except topology.TopologyError as error:
            log.error("orders are not taken", error=str(error))  # noqa: TRY400 - the text is the message
            self._mark_at = time.monotonic() + REFUSED_SECONDS
        except (pika.exceptions.AMQPError, OSError):
            pass  # the connections tell of it themselves, and without them nothing is consumed anyway
        else:
            self._marked = True
        return self._marked
