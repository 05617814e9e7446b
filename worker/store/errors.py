"""What can be wrong with the store.

```
StoreError
├── StoreDown           cannot be used now; it passes by itself, or a person must mend it
│   └── CommitInDoubt   ... and nobody knows whether the last transaction was committed
├── SchemaBehind        the database must be migrated first
├── SchemaAhead         the database was migrated for a newer release
├── WrongStore          it is not a store, or not ours
└── RowAhead            a newer release wrote the row
```

A text says what happened, to which database and what to do; it holds no password and no value of a row. Faults of our own
(a wrong statement, a broken constraint) stay what SQLAlchemy raises.
"""

from __future__ import annotations

__all__ = ["CommitInDoubt", "RowAhead", "SchemaAhead", "SchemaBehind", "StoreDown", "StoreError", "WrongStore"]


class StoreError(Exception):
    """The store cannot be used. No transaction that raised this was committed, but for `CommitInDoubt`."""


class StoreDown(StoreError):  # noqa: N818 - reads as what is the case
    """The database cannot be reached, cut the connection, has no room, or kept us waiting for too long."""


class CommitInDoubt(StoreDown):
    """The answer to a commit was lost: look at the rows before doing anything that must not be done twice."""


class SchemaBehind(StoreError):  # noqa: N818
    """The database was never migrated, or not as far as this release needs."""


class SchemaAhead(StoreError):  # noqa: N818
    """A newer release has migrated the database further than this release understands."""


class WrongStore(StoreError):  # noqa: N818
    """What DATABASE_URL names is no store of sips-worker, or not the one that belongs to this RabbitMQ."""


class RowAhead(StoreError):  # noqa: N818
    """A newer release wrote the row of an order; this one leaves it alone."""

    def __init__(self, key: str, version: int) -> None:
        super().__init__(f"the ledger's row {key} was written by a newer release (row version {version}); upgrade this worker")
