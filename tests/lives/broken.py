"""`sips-worker` without one of its protections: `BREAK=repeats`; the proof must notice.

repeats: what was seen before is taken for something new, be it a state or a webhook.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import null, update

from worker.cli import main
from worker.store.hints import Hints
from worker.store.schema import watches
from worker.store.watches import Watches

if TYPE_CHECKING:
    from worker.store.hints import StoredHint
    from worker.store.watched import Observed, Part, Watch

__all__ = ["BREAKS"]


def _repeats() -> None:
    observe, find = Watches.observe, Hints.find

    def forgetful(self: Watches, watch: Watch, part: Part, *how: Any) -> Observed:
        nothing = {watches.c[part]: null(), watches.c[f"{part}_seen_at"]: null()}
        with self._store.write() as connection:
            connection.execute(update(watches).where(watches.c.key == watch.key).values(nothing))
        return observe(self, watch, part, *how)

    def never_handled(self: Hints, hint_id: str) -> StoredHint | None:
        found = find(self, hint_id)
        return None if found is None else replace(found, is_handled=False)

    Watches.observe = forgetful  # type: ignore[assignment]
    Hints.find = never_handled  # type: ignore[method-assign]


#: What can be broken, and how. dramatiq forks its processes, so that what is changed here is changed in them.
BREAKS = {"repeats": _repeats}

if __name__ == "__main__":
    BREAKS[os.environ["BREAK"]]()
    main()
