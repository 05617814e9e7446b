"""The state of SIPS for one process: real calls against a server whose state the test decides, and real gates."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import pytest
from structlog.testing import capture_logs

from tests.amqp import eventually
from tests.sips.making import settings
from tests.sips.servers import TOKEN_PATH, Peer, Server, answer, token_answer
from worker.messaging.gate import Gate
from worker.runtime.probe import Probe
from worker.runtime.service import CONFIGURATION_REFUSED, SIPS_DOWN, Service, WatchedTokens
from worker.settings import Pairs
from worker.sips import Deadline, Limits, SipsClient, SipsError, TokenManager, Transport
from worker.sips.token_endpoint import TokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sips.servers import Received

OK = answer([])
AWAY = answer({"message": "Service Unavailable"}, 503)
UNAUTHORIZED = answer({"message": "Unauthorized"}, 401)
FORBIDDEN = answer({"message": "Forbidden"}, 403)

PROBE_PATH = "/branches/v2/branchLocations"


@dataclass
class Sips:
    """What the server answers: to the token's request, to the probe, to everything else."""

    token: bytes = field(default_factory=token_answer)
    probe: bytes = OK
    other: bytes = OK

    def of(self, request: Received) -> bytes:
        """The answer to a request."""
        return {TOKEN_PATH: self.token, PROBE_PATH: self.probe}.get(request.target, self.other)

    def all(self, bytes_of_answer: bytes) -> None:
        """The same for everything but the token."""
        self.probe = self.other = bytes_of_answer


class Process:
    """What a worker process has of it."""

    def __init__(self, sips: Sips) -> None:
        def script(peer: Peer) -> None:
            while (request := peer.receive()) is not None:
                peer.send(sips.of(request))

        self.server = Server(script)
        self.gates = [Gate("sips.orders"), Gate("sips.queries")]
        self.facts: list[tuple[str, str]] = []
        self.data: list[dict[str, Any]] = []
        self.stopping = threading.Event()

    def __enter__(self) -> Self:
        self.server.__enter__()
        chosen = settings(self.server.url, sips_probe_max_seconds=0.1)
        self.limits = Limits(threads=4)
        self.service = Service(self.gates, self.limits, chosen, self._announce, self.stopping)
        transport = Transport(chosen, on_end=self.service.ended)
        self.tokens = TokenManager(TokenEndpoint(chosen, transport).fetch, chosen.pairs, min_age_seconds=0)
        watched = WatchedTokens(self.tokens, self.service)
        self.client = SipsClient(chosen, watched, transport, limits=self.limits, is_away=self.service.is_away)
        self.service.use(Probe(self.client, chosen))
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stopping.set()
        eventually(lambda: not probing(), "the probe's thread has ended")
        self.client.close()
        self.server.__exit__()

    def _announce(self, event_type: str, data: dict[str, Any]) -> None:
        self.facts.append((event_type, data["reason"]))
        self.data.append(data)

    def call(self, operation: str = "ordersList") -> SipsError | None:
        """The error of one call, if it has one."""
        path = {"orderId": "1"} if operation == "deliveryDetails" else None
        try:
            self.client.call(operation, path=path, deadline=Deadline.after(30))
        except SipsError as error:
            return error
        return None

    @property
    def reasons(self) -> set[frozenset[str]]:
        """What the gates say; one set if they agree."""
        return {gate.reasons for gate in self.gates}

    def asked(self) -> int:
        """How often the probe was asked."""
        return self.server.count(PROBE_PATH)

    def is_open(self) -> bool:
        """Whether the gates are."""
        return {frozenset()} == self.reasons


def probing() -> bool:
    """Whether the probe's thread runs."""
    return any(thread.name == "sips-probe" for thread in threading.enumerate())


@pytest.fixture
def sips() -> Sips:
    """Answers everything."""
    return Sips()


@pytest.fixture
def process(sips: Sips) -> Iterator[Process]:
    """Open."""
    with Process(sips) as started:
        yield started


def test_nothing_runs_while_sips_answers(process: Process) -> None:
    """Neither a thread nor a question, and the limits stay out of the way."""
    assert [None] * 5 == [process.call() for _ in range(5)]

    assert (False, 0, True, False) == (probing(), process.asked(), process.limits.free, process.service.is_away())


def test_an_outage_closes_every_gate_until_the_probe_is_answered(process: Process, sips: Sips) -> None:
    """Each change is told once, in order; what ended meanwhile carries that SIPS was away; then it starts slowly."""
    process.call()
    sips.all(AWAY)
    gone = time.monotonic()
    with capture_logs() as logs:
        for operation in ("ordersList", "deliveryDetails") * 3:
            process.call(operation)

        assert ({frozenset({SIPS_DOWN})}, 0) == (process.reasons, process.service.up_seconds())
        error = process.call()
        assert error is not None
        assert error.while_away
        sips.all(OK)
        eventually(process.is_open, "the gates are open")
        eventually(lambda: not probing(), "nothing runs any more")

    assert [("sips.service.down", SIPS_DOWN), ("sips.service.up", SIPS_DOWN)] == process.facts
    assert process.data[0]["since"] == process.data[1]["since"]
    assert 0 <= process.data[0]["seconds"] <= process.data[1]["seconds"]
    assert [("warning", SIPS_DOWN), ("info", SIPS_DOWN)] == [(line["log_level"], line["reason"]) for line in logs]
    assert (False, False) == (process.limits.free, process.service.is_away())
    assert 0 < process.service.up_seconds() < time.monotonic() - gone


def test_no_command_opens_a_gate(process: Process, sips: Sips) -> None:
    """Only the probe's answer does: an answer to a call that was under way may be one of an hour ago."""
    process.call()
    sips.all(AWAY)
    for operation in ("ordersList", "deliveryDetails") * 3:
        process.call(operation)
    asked = process.asked()
    sips.other = OK

    process.call()

    eventually(lambda: process.asked() > asked + 1, "the probe was asked again")
    assert {frozenset({SIPS_DOWN})} == process.reasons


def test_answers_in_between_leave_no_suspicion(process: Process, sips: Sips) -> None:
    """Two failures in a row are everyday life, however often."""
    for _ in range(4):
        for state in (AWAY, AWAY, OK):
            sips.other = state
            process.call("deliveryDetails" if state is AWAY else "ordersList")

    assert ({frozenset()}, 0) == (process.reasons, process.asked())


def test_an_operation_that_fails_alone_closes_nothing(process: Process, sips: Sips) -> None:
    """SIPS is asked about something else, and answers."""
    process.call()
    sips.other = AWAY

    for _ in range(12):
        error = process.call()
        assert error is not None
        assert not error.while_away

    eventually(lambda: process.asked() > 0, "the probe was asked")
    assert ({frozenset()}, []) == (process.reasons, process.facts)


def test_the_probes_failures_make_up_the_row_where_one_operation_is_all_there_is(process: Process, sips: Sips) -> None:
    """Or an installation that only reads prices would never see an outage."""
    process.call()
    sips.all(AWAY)

    for _ in range(3):
        process.call()

    eventually(lambda: {frozenset({SIPS_DOWN})} == process.reasons, "the gates are closed")


@pytest.mark.parametrize("bytes_of_answer", [AWAY, answer({"message": "System Error"}, 500)])
def test_a_token_endpoint_that_gives_none_is_an_outage(process: Process, sips: Sips, bytes_of_answer: bytes) -> None:
    """Without a token nothing can be called, whatever the endpoint says; the probe cannot get one either.

    It is asked no more often than its back-off has it, however many calls wait for it.
    """
    sips.token = bytes_of_answer

    for _ in range(5):
        process.call()

    eventually(lambda: {frozenset({SIPS_DOWN})} == process.reasons, "the gates are closed")
    assert 1 == process.server.count(TOKEN_PATH)


def test_a_token_that_cannot_be_refreshed_yet_closes_nothing(process: Process, sips: Sips) -> None:
    """The old one serves until it expires."""
    process.call()
    assert process.tokens._held.token is not None
    process.tokens._held.token = replace(process.tokens._held.token, refresh_at=0)
    sips.token = UNAUTHORIZED

    assert process.call() is None

    assert (3, {frozenset()}, False) == (process.server.count(TOKEN_PATH), process.reasons, probing())


def test_refused_credentials_close_the_gates_until_they_are_mended(process: Process, sips: Sips) -> None:
    """At once, as no call can be made; one error line says where and what to check."""
    sips.token = UNAUTHORIZED
    with capture_logs() as logs:
        process.call()

        assert {frozenset({CONFIGURATION_REFUSED})} == process.reasons
        sips.token = token_answer()
        eventually(process.is_open, "the gates are open")

    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert (process.server.url, "client-1") == (line["base_url"], line["client_id"])
    assert "SIPS_CLIENT_ID" in line["check"]
    assert [("sips.service.down", CONFIGURATION_REFUSED), ("sips.service.up", CONFIGURATION_REFUSED)] == process.facts


def test_a_secret_that_cannot_be_read_is_no_outage(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says which file; nothing is asked of SIPS until it can be read."""
    unreadable = Pairs((), ("SIPS_CLIENT_SECRET_FILE=/x cannot be read",))
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(process.tokens._refresher, "_credentials", lambda: unreadable)
        process.call()
        assert ({frozenset({CONFIGURATION_REFUSED})}, 0) == (process.reasons, len(process.server.received))
    eventually(process.is_open, "the gates are open")

    (found,) = [line["found"] for line in logs if line.get("reason") == CONFIGURATION_REFUSED]
    assert "sips-secret-unreadable: no client secret: SIPS_CLIENT_SECRET_FILE=/x cannot be read" == found


@pytest.mark.parametrize("refusal", [UNAUTHORIZED, FORBIDDEN])
def test_calls_that_are_refused_close_the_gates_if_the_probe_is_refused_too(process: Process, sips: Sips, refusal: bytes) -> None:
    """Though the token endpoint gave a token."""
    sips.all(refusal)
    for _ in range(3):
        process.call()

    eventually(lambda: {frozenset({CONFIGURATION_REFUSED})} == process.reasons, "the gates are closed")


def test_a_customer_that_is_refused_closes_nothing(process: Process, sips: Sips) -> None:
    """The probe is answered."""
    sips.other = FORBIDDEN

    for _ in range(6):
        process.call()

    eventually(lambda: process.asked() > 0, "the probe was asked")
    eventually(lambda: not probing(), "and was satisfied")
    assert (True, []) == (process.is_open(), process.facts)


def test_another_reason_takes_over_without_opening_the_gate_in_between(process: Process, sips: Sips) -> None:
    """SIPS comes back with other credentials."""
    process.call()
    sips.all(AWAY)
    for operation in ("ordersList", "deliveryDetails") * 3:
        process.call(operation)
    assert {frozenset({SIPS_DOWN})} == process.reasons
    changes: list[frozenset[str]] = []
    process.gates[0].on_change(lambda: changes.append(process.gates[0].reasons))

    sips.probe = FORBIDDEN
    eventually(lambda: {frozenset({CONFIGURATION_REFUSED})} == process.reasons, "the reason has changed")
    assert [] == changes
    sips.all(OK)
    eventually(process.is_open, "the gates are open")

    assert [frozenset()] == changes
    assert [SIPS_DOWN, CONFIGURATION_REFUSED, CONFIGURATION_REFUSED] == [reason for _type, reason in process.facts]


def test_a_gate_that_is_closed_for_something_else_too_stays_closed(process: Process, sips: Sips) -> None:
    """Each reason is taken away by itself."""
    process.gates[0].close("publisher-down")
    sips.token = UNAUTHORIZED
    process.call()

    sips.token = token_answer()

    eventually(lambda: not process.service.is_away(), "SIPS is back")
    assert [frozenset({"publisher-down"}), frozenset()] == [gate.reasons for gate in process.gates]


def test_a_stop_ends_the_questions_at_once(process: Process, sips: Sips) -> None:
    """The gates stay as they are; what is in RabbitMQ is safe there."""
    sips.token = UNAUTHORIZED
    process.call()
    assert probing()

    process.stopping.set()

    eventually(lambda: not probing(), "the thread has ended")
    assert {frozenset({CONFIGURATION_REFUSED})} == process.reasons
