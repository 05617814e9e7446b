"""Facts of watches until they are published: stored with the state that they tell of, in the sequence of their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from worker.store.orders import StoredEvent
from worker.store.schema import events, now, timers, watches
from worker.store.timers import hasten_timer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

__all__ = ["PUBLISH_SOON", "TELL", "mark_told", "store_facts", "unpublished"]

#: Kind of timer: what was said of one order and may not be published. Not the ledger's kind: workers of an earlier release
#: would find no order in the ledger, and end the timer.
TELL = "tell"

#: Seconds in which whoever stored a fact publishes it; then somebody else does.
PUBLISH_SOON = 10.0


def store_facts(connection: Connection, key: str, said: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
    """Store facts, and tell what is to be published now, in its sequence: nobody shall hear of a later one first.

    Facts that were stored a moment ago are being published by whoever stored them, who goes on with these.
    """
    if not said:
        return ()
    rows = [{"id": event.id, "key": key, "type": event.type, "run": event.run, "body": event.body} for event in said]
    others = select(events.c.id).where(
        events.c.key == key, events.c.published_at.is_(None), events.c.created_at > now() - PUBLISH_SOON
    )
    is_being_published = connection.execute(others.limit(1)).first() is not None
    connection.execute(insert(events).values(created_at=now()), rows)
    hasten_timer(connection, TELL, key, PUBLISH_SOON)
    return () if is_being_published else unpublished(connection, key)


def unpublished(connection: Connection, key: str) -> list[StoredEvent]:
    """What was said of an order and is not known to be published, in its sequence."""
    statement = select(events).where(events.c.key == key, events.c.published_at.is_(None)).order_by(events.c.run)
    return [StoredEvent(row.id, row.type, row.run, row.body) for row in connection.execute(statement)]


def mark_told(connection: Connection, key: str, ids: Sequence[str]) -> list[StoredEvent]:
    """RabbitMQ has these facts of an order; what was stored meanwhile and is to be published next."""
    # Whoever stores a fact holds the row, so that it sees these published, or is seen here.
    connection.execute(select(watches.c.key).where(watches.c.key == key).with_for_update())
    connection.execute(update(events).where(events.c.id.in_(list(ids))).values(published_at=now()))
    waiting = unpublished(connection, key)
    if not waiting:
        connection.execute(delete(timers).where(timers.c.kind == TELL, timers.c.ref == key))
    return waiting
