"""What the samples come to: medians over the rounds, the table for people, and the line of JSON for programs."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.benchmarks.contenders import DRAMATIQ, FASTSTREAM, OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tests.benchmarks.session import Sample

__all__ = ["Figure", "Figures", "percentile", "spread"]

HEADINGS = ("worker", "CPU µs", "messages/s at 0 ms", "20 ms", "100 ms", "p50 ms", "p99 ms", "MiB", "start s", "idle %")


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def spread(values: Sequence[float]) -> float:
    """How far the values lie apart, in percent of their median; 0 where that is 0."""
    median = statistics.median(values)
    return (max(values) - min(values)) / median * 100 if median else 0.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a sample: how it is got, and with how many digits it is told."""

    of: Callable[[Sample], float]
    digits: int = 0


CPU = Figure(lambda sample: sample.cpu_us[0])
P50 = Figure(lambda sample: percentile(sample.latencies_ms, 50), 1)
P99 = Figure(lambda sample: percentile(sample.latencies_ms, 99), 1)
RSS = Figure(lambda sample: sample.rss_mib, 1)
PSS = Figure(lambda sample: sample.pss_mib, 1)
START = Figure(lambda sample: sample.start_seconds, 2)
IDLE = Figure(lambda sample: sample.idle_cpu_percent, 2)


def rate(delay: int) -> Figure:
    """Messages per second where SIPS takes so many milliseconds."""
    return Figure(lambda sample: sample.per_second[delay])


class Figures:
    """Everything that a run measured.

    Args:
        samples: of every round.
        orders: CPU µs of an order, by database, of every round.
        growth: CPU µs of a command, by backlog, of every round.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        orders: Mapping[str, Sequence[float]] | None = None,
        growth: Mapping[int, Sequence[float]] | None = None,
    ) -> None:
        self._samples: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            self._samples[sample.contender].append(sample)
        self._orders = orders or {}
        self._growth = dict(sorted((growth or {}).items()))
        self.delays = sorted({delay for sample in samples for delay in sample.per_second})

    @property
    def names(self) -> list[str]:
        """The workers that were measured."""
        return list(self._samples)

    def median(self, name: str, figure: Figure) -> float:
        """Over the rounds."""
        return round(statistics.median(map(figure.of, self._samples[name])), figure.digits or None)

    def of_each(self, figure: Figure) -> dict[str, float]:
        """The median of each worker."""
        return {name: self.median(name, figure) for name in self.names}

    def spread_of_each(self, figure: Figure) -> dict[str, int]:
        """Percent between the lowest and the highest round of each worker."""
        return {name: round(spread([figure.of(sample) for sample in samples])) for name, samples in self._samples.items()}

    def line(self) -> str:
        """All of it as JSON."""
        values: dict[str, Any] = {
            "cpu_us": self.of_each(CPU),
            "messages_per_second": {str(delay): self.of_each(rate(delay)) for delay in self.delays},
            "order_cpu_us": {database: round(statistics.median(values)) for database, values in self._orders.items()},
            "p50_ms": self.of_each(P50),
            "p99_ms": self.of_each(P99),
            **{name: self.of_each(figure).get(OURS) for name, figure in OURS_ALONE.items()},
            "growth_cpu_us": {str(size): round(statistics.median(values)) for size, values in self._growth.items()},
            "of_each": {name: self.of_each(figure) for name, figure in (OURS_ALONE | {"pss_mib": PSS}).items()},
            "spread_percent": {"cpu_us": self.spread_of_each(CPU)}
            | {f"messages_per_second_{delay}": self.spread_of_each(rate(delay)) for delay in self.delays}
            | {"p99_ms": self.spread_of_each(P99)},
            "rounds": max(map(len, self._samples.values()), default=0),
        }
        return json.dumps(values)

    def table(self) -> str:
        """For people, as Markdown."""
        columns = (CPU, *map(rate, self.delays), P50, P99, RSS, START, IDLE)
        rows = [(name, *(_text(self.median(name, figure)) for figure in columns)) for name in self.names]
        lines = [HEADINGS, tuple("---" for _ in HEADINGS), *rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
        return "\n".join(
            f"| {' | '.join(text.ljust(width) for text, width in zip(line, widths, strict=True))} |" for line in lines
        )

    def notes(self) -> list[str]:
        """What does not fit into the table, a sentence each."""
        found = [f"An order with its ledger on {name}: {statistics.median(of):.0f} µs." for name, of in self._orders.items()]
        found += [f"{size} commands waiting: {statistics.median(of):.0f} µs of CPU each." for size, of in self._growth.items()]
        for peer in (DRAMATIQ, FASTSTREAM):
            if {OURS, peer} <= self._samples.keys():
                share = self.median(OURS, CPU) / self.median(peer, CPU)
                found.append(f"This worker takes {share:.2f} of the CPU of {peer}.")
        apart = [*self.spread_of_each(CPU).values()]
        found.append(f"Between the rounds of one worker, CPU differed by up to {max(apart, default=0)} %.")
        return found


#: Figures that the line has for this worker alone.
OURS_ALONE = {"rss_mib": RSS, "start_seconds": START, "idle_cpu_percent": IDLE}


def _text(value: float) -> str:
    return f"{value:,}".replace(",", " ")
