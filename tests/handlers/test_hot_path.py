"""What a command costs apart from its envelope and its call: the payload checked, the request made, the answer read."""

from __future__ import annotations

import json
import statistics
import time
import timeit
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest

from tests.handlers.commands import CASES
from tests.handlers.conftest import SOURCE_SYSTEM, SUBMISSION
from tests.sips.making import ample
from worker.runtime.files import JSON
from worker.sips import OPERATIONS, Answer, Sips

if TYPE_CHECKING:
    from tests.handlers.commands import Case
    from worker.sips import Operation

#: Commands of a kind that are timed at once, and how often.
COMMANDS, ROUNDS = 300, 9


class Ready:
    """A client whose answer is there at once; the request is written as for one that is sent."""

    source_system = SOURCE_SYSTEM

    def __init__(self, case: Case) -> None:
        body = case.answers[0]
        self._answer = Answer(case.operation, 200, body, orjson.dumps(body), JSON, 0.0)

    def operation(self, operation_id: str) -> Operation:
        """As `SipsClient.operation`."""
        return OPERATIONS[operation_id]

    def call(self, _operation_id: str, *, json: Any = None, **_call: Any) -> Answer:
        """As `SipsClient.call`."""
        orjson.dumps(json)
        return self._answer


@pytest.mark.soak
def test_what_checking_and_mapping_a_command_costs() -> None:
    """Microseconds of CPU for a command of each kind, the median of nine rounds of 300; 100 is the most for an ordinary one.

    From the payload to the result as JSON, warnings included. The documented order costs the most.
    """
    deadline, figures = ample(), dict[str, float]()

    def carry_out(case: Case, client: Any) -> None:
        payload = case.handler.payload.model_validate(case.payload)
        payload.identity()
        sips = Sips(client, deadline)
        result = case.handler.run(payload, sips, *([SUBMISSION] if case.handler.changes else []))
        orjson.dumps(result.model_dump(mode="json"))

    for case in CASES:
        if not case.handler.keeps_files:
            client = cast("Any", Ready(case))
            costs = timeit.repeat(partial(carry_out, case, client), timer=time.process_time, repeat=ROUNDS, number=COMMANDS)
            # Of two documented orders, or questions, the one that costs more.
            figures[str(case)] = max(figures.get(str(case), 0.0), round(statistics.median(costs) / COMMANDS * 1e6, 1))
    dearest = max(figures, key=lambda name: figures[name])
    told = {"proof": "checking and mapping", "us_most": figures[dearest], "of": dearest, "us": figures}
    print(json.dumps(told))  # noqa: T201 - the figures of the proof
