"""What the store forgets: payloads of orders that ended a while ago, orders and watches that ended long ago, hints, tokens.

Orders go in small batches, so that no transaction is long. Nothing is touched that has not ended, or of which something said
is not known to be published. Ages are counted by the database's clock. Several processes may do this at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, null, or_, select, true, update

from worker.store.schema import events, hints, now, orders, timers, tokens, watches
from worker.store.transitions import SETTLED
from worker.store.watches import ORDERS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from worker.store.engine import Store

__all__ = ["Retention"]

#: A payload that is there; a withdrawal of an order that nobody has seen never had one.
_HAS_PAYLOAD = and_(orders.c.payload.is_not(None), orders.c.payload != "")


class Retention:
    """Takes out of one store what has been kept for long enough; each call is one short transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def empty_payloads(self, *, ended_for: float, limit: int) -> int:
        """Empty the payloads of up to `limit` orders that ended at least `ended_for` seconds ago; how many there were.

        Their outcomes and fingerprints stay: a command that comes again is told the same as before.
        """
        wanted = and_(_ended(ended_for), _HAS_PAYLOAD)
        if not (found := self._find(wanted, limit)):
            return 0
        with self._store.write() as connection:
            keys = _lock(connection, found, wanted)
            connection.execute(update(orders).where(orders.c.key.in_(keys)).values(payload=null()))
            return len(keys)

    def delete_orders(self, *, ended_for: float, limit: int) -> int:
        """Delete up to `limit` orders that ended at least `ended_for` seconds ago, with all that belongs to them."""
        wanted = _ended(ended_for)
        if not (found := self._find(wanted, limit)):
            return 0
        with self._store.write() as connection:
            keys = _lock(connection, found, wanted)
            connection.execute(delete(timers).where(timers.c.ref.in_(keys)))
            connection.execute(delete(events).where(events.c.key.in_(keys)))
            connection.execute(delete(orders).where(orders.c.key.in_(keys)))
            return len(keys)

    def delete_watches(self, *, ended_for: float, limit: int) -> int:
        """Delete up to `limit` watches that nobody has waited for since so long ago, with the facts that were told of them."""
        unpublished = select(true()).where(events.c.key == watches.c.key, events.c.published_at.is_(None))
        wanted = and_(watches.c.ended_at <= now() - ended_for, ~unpublished.exists())
        with self._store.read() as connection:
            found = list(connection.execute(select(watches.c.key).where(wanted).limit(limit)).scalars())
        if not found:
            return 0
        with self._store.write() as connection:
            statement = select(watches.c.key).where(watches.c.key.in_(found), wanted).with_for_update(skip_locked=True)
            keys = list(connection.execute(statement).scalars())
            # The timer of a customer whose code is this order's number has the same ref.
            connection.execute(delete(timers).where(timers.c.ref.in_(keys), timers.c.kind != ORDERS))
            connection.execute(delete(events).where(events.c.key.in_(keys)))
            connection.execute(delete(watches).where(watches.c.key.in_(keys)))
            return len(keys)

    def delete_hints(self, *, received_for: float, limit: int) -> int:
        """Delete up to `limit` hints that came so long ago and were looked up: none is told again by then."""
        old = and_(hints.c.received_at <= now() - received_for, hints.c.handled_at.is_not(None))
        with self._store.read() as connection:
            found = list(connection.execute(select(hints.c.id).where(old).limit(limit)).scalars())
        if not found:
            return 0
        with self._store.write() as connection:
            return connection.execute(delete(hints).where(hints.c.id.in_(found))).rowcount

    def delete_tokens(self, *, unused_for: float) -> int:
        """Delete what is known of credentials that were last used at least `unused_for` seconds ago; how many there were.

        There is one for each secret that ever was, so they are few.
        """
        with self._store.read() as connection:
            if not connection.execute(select(true()).where(_unused(unused_for)).limit(1)).first():
                return 0
        with self._store.write() as connection:
            return connection.execute(delete(tokens).where(_unused(unused_for))).rowcount

    def _find(self, wanted: ColumnElement[bool], limit: int) -> list[str]:
        """Candidates, looked for outside of any transaction that writes: there may be many rows to pass over."""
        with self._store.read() as connection:
            return list(connection.execute(select(orders.c.key).where(wanted).limit(limit)).scalars())


def _lock(connection: Connection, keys: list[str], wanted: ColumnElement[bool]) -> list[str]:
    """Those of the candidates that are still wanted, and that no other process is at."""
    statement = select(orders.c.key).where(orders.c.key.in_(keys), wanted).with_for_update(skip_locked=True)
    return list(connection.execute(statement).scalars())


def _ended(seconds: float) -> ColumnElement[bool]:
    """Ended so long ago, with everything published. The index has `updated_at`; an order that ended does not change any more."""
    unpublished = select(true()).where(events.c.key == orders.c.key, events.c.published_at.is_(None))
    return and_(
        orders.c.state.in_(list(SETTLED)),
        orders.c.updated_at <= now() - seconds,
        orders.c.ended_at <= now() - seconds,
        ~unpublished.exists(),
    )


def _unused(seconds: float) -> ColumnElement[bool]:
    """Whose token ended and whose last failure was so long ago; nobody fetches one, and nobody waits to."""
    long_ago = now() - seconds
    return and_(
        tokens.c.used_since <= long_ago,
        or_(tokens.c.expires_at.is_(None), tokens.c.expires_at <= long_ago),
        or_(tokens.c.failed_at.is_(None), tokens.c.failed_at <= long_ago),
        or_(tokens.c.lease_until.is_(None), tokens.c.lease_until < now()),
        or_(tokens.c.retry_at.is_(None), tokens.c.retry_at < now()),
    )
