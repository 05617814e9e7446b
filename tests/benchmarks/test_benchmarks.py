"""The parts of the benchmark that only count: statistics, table, picture, the line of JSON; and what every worker is given.

What needs the peers' packages runs in `make bench` alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import job
from tests.benchmarks.contenders import CELERY, CONTENDERS, DRAMATIQ, FASTSTREAM, OURS
from tests.benchmarks.figures import Figures, percentile, spread
from tests.benchmarks.picture import svg
from tests.benchmarks.process import family, processor_seconds
from tests.benchmarks.queues import ResultsError, outcomes
from tests.benchmarks.server import Sips
from tests.benchmarks.session import Plan, Sample
from worker.messaging.envelope import parse
from worker.messaging.topology import COMMANDS, QUERIES

NAMES = [OURS, DRAMATIQ, CELERY, FASTSTREAM]


def sample(name: str, cpu: float, per_second: float = 100.0) -> Sample:
    """One session of a worker."""
    return Sample(
        name,
        start_seconds=1.234,
        cpu_us={0: cpu, 20: cpu + 1, 100: cpu + 2},
        per_second={0: per_second, 20: per_second / 2, 100: per_second / 4},
        latencies_ms=[float(latency) for latency in range(1, 101)],
        rss_mib=75.04,
        pss_mib=41.3,
        idle_cpu_percent=0.5,
    )


@pytest.fixture
def figures() -> Figures:
    """Three rounds of each worker."""
    samples = [sample(name, cpu * scale) for cpu in (500.0, 900.0, 600.0) for scale, name in enumerate(NAMES, 1)]
    return Figures(samples, {"sqlite": [1400.0, 1500.0], "postgresql": [1600.0]}, {10: [600.0], 10_000: [610.0]})


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([5.0], 50, 5.0),
        ([5.0], 99, 5.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 50, 2.0),
        (list(range(1, 101)), 99, 99),
        (list(range(1, 201)), 99, 198),
        (list(range(1, 51)), 99, 50),
        ([1.0, 2.0], 0, 1.0),
        ([1.0, 2.0], 100, 2.0),
    ],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], percent: float, expected: float
) -> None:
    """It is one of the values, whatever their order."""
    assert expected == percentile(values, percent)


def test_the_spread_is_told_in_percent_of_the_median() -> None:
    """Where nothing was measured there is none."""
    assert (0, 0, 50) == (spread([3.0]), spread([0.0, 1.0, 0.0]), spread([8.0, 10.0, 13.0]))


def test_the_line_has_every_key_and_the_median_of_the_rounds(figures: Figures) -> None:
    """Of each worker where it tells of all of them."""
    line = json.loads(figures.line())

    assert dict(zip(NAMES, (600, 1200, 1800, 2400), strict=True)) == line["cpu_us"]
    assert {"0": 100, "20": 50, "100": 25} == {delay: rates[CELERY] for delay, rates in line["messages_per_second"].items()}
    assert {"sqlite": 1450, "postgresql": 1600} == line["order_cpu_us"]
    assert (dict.fromkeys(NAMES, 50.0), dict.fromkeys(NAMES, 99.0)) == (line["p50_ms"], line["p99_ms"])
    assert (75.0, 1.23, 0.5) == (line["rss_mib"], line["start_seconds"], line["idle_cpu_percent"])
    assert {"10": 600, "10000": 610} == line["growth_cpu_us"]
    assert (dict.fromkeys(NAMES, 67), 3) == (line["spread_percent"]["cpu_us"], line["rounds"])
    assert "\n" not in figures.line()


def test_a_run_without_this_worker_has_no_figures_of_it() -> None:
    """Nor does one of it alone compare it."""
    line = json.loads(Figures([sample(CELERY, 900.0)]).line())

    assert ({CELERY: 900}, {}, None, None) == (line["cpu_us"], line["order_cpu_us"], line["rss_mib"], line["start_seconds"])
    assert not [note for note in Figures([sample(OURS, 500.0)]).notes() if "of the CPU of" in note]


def test_the_table_has_a_row_for_each_worker_with_its_figures(figures: Figures) -> None:
    """As Markdown whose columns stand below each other."""
    head, rule, *rows = figures.table().splitlines()

    assert NAMES == [row.split("|")[1].strip() for row in rows]
    assert ["1 200", "100", "50", "25", "50.0", "99.0", "75.0", "1.23", "0.5"] == [
        cell.strip() for cell in rows[1].split("|")[2:-1]
    ]
    assert {len(head)} == {len(line) for line in (rule, *rows)}


def test_the_notes_compare_this_worker_with_the_peers(figures: Figures) -> None:
    """And say how far the rounds lie apart."""
    notes = " ".join(figures.notes())

    assert "0.50 of the CPU of dramatiq" in notes
    assert "0.25 of the CPU of faststream" in notes
    assert "up to 67 %" in notes


def test_the_picture_has_a_bar_for_each_figure_as_long_as_its_value(figures: Figures) -> None:
    """In well-formed SVG; the longest of a panel fills it."""
    namespace = {"svg": "http://www.w3.org/2000/svg"}
    picture = ET.fromstring(svg(figures))

    bars = [float(bar.attrib["width"]) for bar in picture.findall("svg:rect", namespace)[1:]]

    assert 5 * len(NAMES) == len(bars)
    assert pytest.approx([0.25, 0.5, 0.75, 1.0], rel=0.01) == [bar / max(bars) for bar in bars[: len(NAMES)]]
    assert {"600", "2 400", *NAMES} <= {text.text for text in picture.findall("svg:text", namespace)}


def test_a_slow_answer_takes_fewer_commands_where_few_are_under_way() -> None:
    """So that no figure takes much longer than another."""
    plan = Plan(messages=2000)

    numbers = {name: [plan.number(CONTENDERS[name], delay) for delay in (0, 20, 100)] for name in NAMES}

    assert [2000, 1200, 240] == numbers[DRAMATIQ]
    assert [2000, 2000, 2000] == numbers[FASTSTREAM]


def came(*commands: str, kind: str = "succeeded") -> list[tuple[float, dict[str, Any]]]:
    """Events of commands, one second after the other."""
    return [(float(at), {"type": f"sips.x.{kind}", "causationid": command}) for at, command in enumerate(commands)]


def test_each_command_must_have_succeeded_once() -> None:
    """Then it is known when its outcome came, also where it has other events."""
    assert {"a": 0.0, "b": 1.0} == outcomes(came("a", "b"), ["b", "a"], per_command=1)
    assert {"a": 0.0} == outcomes(came("a") + came("a", kind="confirmed"), ["a"], per_command=2)


@pytest.mark.parametrize(
    "events",
    [came("a"), came("a", "a"), came("a", "c"), came("a", "b", "b"), came("a") + came("b", kind="failed")],
    ids=["lost", "twice and lost", "a strange one", "twice", "failed"],
)
def test_a_run_in_which_a_command_did_not_fails(events: list[tuple[float, dict[str, Any]]]) -> None:
    """Its figures would be of another job."""
    with pytest.raises(ResultsError):
        outcomes(events, ["a", "b"], per_command=1)


def test_the_command_has_a_kibibyte_and_is_one_that_this_worker_reads() -> None:
    """Whoever gets it, the same is in it."""
    message = CONTENDERS[OURS].message("c-1")

    assert (job.COMMAND_BYTES, COMMANDS) == (len(message.body), message.exchange)
    command = parse(message.body, message.properties, message.routing_key, max_bytes=10_000)
    assert ("c-1", job.COMMAND_TYPE) == (command.id, command.type)
    assert QUERIES == CONTENDERS[OURS].queue
    for name in NAMES:
        assert job.encoded(job.command("c-1")) in CONTENDERS[name].message("c-1").body
        assert name == OURS or CONTENDERS[name].message("c-1").routing_key == CONTENDERS[name].queue


def test_the_event_of_a_peer_tells_of_its_command_in_about_a_kibibyte() -> None:
    """As this worker's own does."""
    event = job.event(job.command("c-1"), job.ANSWER)

    assert ("c-1", f"{job.COMMAND_TYPE}.succeeded") == (event["causationid"], event["type"])
    assert 900 < len(job.encoded(event)) < 1500


def test_the_stand_in_takes_no_call_without_the_token() -> None:
    """And waits with its answer as long as it was told."""
    sips = Sips()
    sips.answer("/_delay/20", b"", b"")
    bearing = f"Authorization: Bearer {job.TOKEN}".encode()

    refused, _ = sips.answer(job.PRICES_PATH, b"Authorization: Bearer wrong", b"")
    answered, delay = sips.answer(job.PRICES_PATH, bearing, b"")

    assert (b"401", b"200", 0.02) == (refused[9:12], answered[9:12], delay)
    assert {job.PRICES_PATH: 2, "refused": 1} == dict(sips.counts)


def test_the_processor_time_of_a_process_holds_that_of_its_children() -> None:
    """Of those that run, and of those that have ended."""
    burn = "import sys, time\nwhile time.process_time() < 0.4: pass\n"
    script = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n"
    script += f"child = subprocess.Popen([sys.executable, '-c', {burn + 'sys.stdin.read()'!r}], stdin=subprocess.PIPE)\n"
    script += "print('there', flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + 30
        while processor_seconds(process.pid) < 0.7 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert 2 == len(family(process.pid))
        assert processor_seconds(process.pid) >= 0.7
        process.kill()


def test_the_peers_need_nothing_of_this_worker() -> None:
    """What they share with the benchmark is imported by a Python that has no package at all."""
    root = Path(__file__).parent.parent.parent
    arguments = ["-S", "-c", "import tests.benchmarks.job, tests.benchmarks.server"]
    subprocess.run([sys.executable, *arguments], cwd=root, env={"PATH": os.defpath}, check=True)
