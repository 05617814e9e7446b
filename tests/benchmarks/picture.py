"""The figures as a picture: bars in SVG, one panel for each question."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tests.benchmarks.contenders import OURS
from tests.benchmarks.figures import CPU, P99, rate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.figures import Figures

__all__ = ["svg"]

#: Sizes in pixels.
WIDTH, LEFT, BAR, GAP, TITLE, MARGIN = 760, 110, 20, 6, 34, 16

#: Room to the right of the longest bar, for its value.
VALUE = 70

OUR_COLOUR, PEER_COLOUR, TEXT_COLOUR = "#1f6feb", "#9aa4b2", "#1f2328"


def svg(figures: Figures) -> str:
    """The whole picture."""
    panels = [("Worker CPU per message, µs (less is better)", figures.of_each(CPU))]
    panels += [(f"Messages per second, SIPS answers in {delay} ms", figures.of_each(rate(delay))) for delay in figures.delays]
    panels.append(("Latency at 20 messages/s, SIPS answers in 20 ms: p99 in ms (less is better)", figures.of_each(P99)))
    parts, top = [], MARGIN
    for title, values in panels:
        parts.append(_panel(title, values, top))
        top += TITLE + len(values) * (BAR + GAP) + MARGIN
    size = f'width="{WIDTH}" height="{top}"'
    font = f'font-family="system-ui, sans-serif" font-size="13" fill="{TEXT_COLOUR}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {top}" {font} role="img">',
            "<title>The same job done by each worker</title>",
            f'<rect {size} fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _panel(title: str, values: Mapping[str, float], top: int) -> str:
    longest = max(values.values(), default=0) or 1
    lines = [f'<text x="{MARGIN}" y="{top + TITLE // 2}" font-weight="600">{escape(title)}</text>']
    for row, (name, value) in enumerate(values.items()):
        y = top + TITLE + row * (BAR + GAP)
        width = round((WIDTH - LEFT - VALUE) * value / longest, 1)
        middle = y + BAR * 0.72
        colour = OUR_COLOUR if name == OURS else PEER_COLOUR
        lines += [
            f'<text x="{LEFT - 8}" y="{middle:.1f}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{width}" height="{BAR}" rx="2" fill="{colour}"/>',
            f'<text x="{LEFT + width + 6}" y="{middle:.1f}">{value:,}</text>'.replace(",", " "),
        ]
    return "\n".join(lines)
