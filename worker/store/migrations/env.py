"""Run migrations, in the transaction that `worker.store.migrate` has begun."""

from __future__ import annotations

from alembic import context

from worker.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
