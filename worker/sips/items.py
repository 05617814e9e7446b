"""Check and count a JSON list that is too long to hold, piece by piece: a list of objects, and all of it; pick some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ijson
from ijson.common import JSONError
from ijson.utils import sendable_list

from worker.sips.errors import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ItemCounter", "ItemPicker"]

#: What each event of the parser does to the depth of nesting; others are values and names.
_STEPS = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}


class ItemCounter:
    """Reads a list as it comes; holds no more of it than one piece and one value.

    Args:
        operation: id of the operation that answers it, for the errors.
    """

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._events = sendable_list()
        self._parser = ijson.basic_parse_coro(self._events)
        self._depth = 0
        self._count = 0

    def feed(self, piece: bytes) -> None:
        """Read on.

        Raises:
            Unreadable: it is no JSON, or no list of objects.
        """
        try:
            self._parser.send(piece)
        except (JSONError, SystemError):  # the latter for a number of more digits than Python reads
            raise self._unreadable("is not JSON") from None
        self._count_items()

    def end(self) -> int:
        """The number of items, once everything was read.

        Raises:
            Unreadable: the list is cut off.
        """
        try:
            self._parser.close()
        except JSONError:
            raise self._unreadable("is cut off before its end") from None
        self._count_items()
        return self._count

    def _count_items(self) -> None:
        depth = self._depth
        for event, _value in self._events:
            step = _STEPS.get(event, 0)
            # At the top stands one list; at its first level an object begins, or the list ends.
            if depth < 2 and event not in ((("start_array",), ("start_map", "end_array"))[depth]):  # noqa: PLR2004
                raise self._unreadable("is not a list of objects")
            depth += step
            self._count += event == "start_map" and depth == 2  # noqa: PLR2004
        self._depth = depth
        self._events.clear()

    def _unreadable(self, what: str) -> Unreadable:
        return Unreadable(self._operation, f"the answer {what}", status=200)


class ItemPicker:
    """Reads a list that `ItemCounter` has checked so far; holds one item, and those that are wanted. Fractions are decimals.

    Args:
        wanted: whether an item is kept.
    """

    def __init__(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        self.picked: list[dict[str, Any]] = []
        self._wanted = wanted
        self._items = sendable_list()
        self._parser = ijson.items_coro(self._items, "item")

    def feed(self, piece: bytes) -> None:
        """Read on."""
        self._parser.send(piece)
        self.picked += filter(self._wanted, self._items)
        self._items.clear()
