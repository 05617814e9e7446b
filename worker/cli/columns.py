"""Tables for people: a line of titles, then one line for each thing, columns as wide as they need to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worker.runtime.order_words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Column", "table"]

#: Title and smallest width.
Column = tuple[str, int]

#: Widest a column grows, so that one odd value does not push the others off the screen.
_WIDEST = 40


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], colours: Sequence[Mapping[int, str | None]] = ()
) -> Iterator[str]:
    """The lines; an empty cell is `-`, and the last one of a line is as long as it is.

    Args:
        columns: from left to right.
        rows: one cell per column; what cannot be printed is escaped.
        colours: for each row number of the column to colour, where any has one.
    """
    cells = [[printable(cell) or "-" for cell in row] for row in rows]
    widths = [
        min(max([smallest, *(len(row[number]) for row in cells)]), _WIDEST) for number, (_title, smallest) in enumerate(columns)
    ]
    yield click.style(_line([title for title, _width in columns], widths, {}), bold=True)
    for number, row in enumerate(cells):
        yield _line(row, widths, colours[number] if colours else {})


def _line(cells: Sequence[str], widths: Sequence[int], colours: Mapping[int, str | None]) -> str:
    padded = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)]
    for number, colour in colours.items():
        padded[number] = click.style(padded[number], fg=colour)
    return "  ".join(padded).rstrip()
