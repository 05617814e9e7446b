"""Two pairs of credentials, of which SIPS may refuse one or both, and secrets that change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.sips.fleet import CURRENT, NEXT, Clock, Endpoint, Fleet
from tests.sips.making import ample
from worker.settings import Credentials, Pairs
from worker.sips.errors import SecretUnreadable, TokenRefused, TokenUnavailable
from worker.sips.token import TokenManager
from worker.sips.token_setbacks import OTHER_PAIR_SECONDS

UNREADABLE = "SIPS_CLIENT_SECRET_FILE=/x cannot be read"


def test_where_one_pair_is_refused_the_other_is_used(fleet: Fleet) -> None:
    """By all, and from then on: nobody asks with the refused one again."""
    fleet.pairs = [CURRENT, NEXT]
    fleet.endpoint.refused = {"us"}
    processes = [fleet.process(min_age_seconds=0) for _ in range(3)]
    assert {"token-2"} == {process.get(ample()).value for process in processes}
    fleet.later(100)  # the back-off is over
    assert "token-2" == fleet.process().get(ample()).value
    assert ["us", "us-2"] == fleet.endpoint.asked

    for process in processes:
        process.invalidate(process.get(ample()).fingerprint)
    processes.reverse()  # the last one was never told that a pair is refused
    assert {"token-3"} == {process.get(ample()).value for process in processes}
    assert ["us", "us-2", "us-2"] == fleet.endpoint.asked


def test_where_both_pairs_are_refused_both_are_told_and_the_other_is_left_alone(fleet: Fleet) -> None:
    """It is tried again after five minutes; the pair in use as often as ever."""
    fleet.pairs = [CURRENT, NEXT]
    fleet.endpoint.refused = {"us", "us-2"}
    told = "us is unknown; the other pair was refused as well: us-2 is unknown"

    def refused() -> None:
        with pytest.raises(TokenRefused, match=told):
            fleet.process().get(ample())

    refused()
    fleet.later(100)
    refused()
    assert ["us", "us-2", "us"] == fleet.endpoint.asked
    fleet.later(OTHER_PAIR_SECONDS - 110)
    refused()
    assert ["us", "us-2", "us", "us"] == fleet.endpoint.asked
    fleet.later(20)
    refused()
    assert ["us", "us-2", "us", "us", "us", "us-2"] == fleet.endpoint.asked


def test_processes_that_used_different_pairs_leave_the_same_one_alone(fleet: Fleet, clock: Clock) -> None:
    """All begin with the pair that had the newest token, so that the fleet asks with the other one each five minutes."""
    fleet.pairs = [CURRENT, NEXT]
    one, other = processes = [fleet.process(min_age_seconds=0) for _ in range(2)]
    old = one.get(ample())
    fleet.endpoint.refused = {"us"}
    clock.now += 1
    other.invalidate(other.get(ample()).fingerprint)
    assert "token-3" == other.get(ample()).value

    fleet.endpoint.refused = {"us", "us-2"}
    fleet.endpoint.asked.clear()
    one.invalidate(old.fingerprint)
    fleet.later(3_600)
    clock.now += 3_600
    for _ in range(9):
        for process in processes:
            with pytest.raises(TokenRefused, match="refused as well"):
                process.get(ample())
        clock.now += 31.0
        fleet.later(31.0)
    assert (9, 1) == (fleet.endpoint.asked.count("us-2"), fleet.endpoint.asked.count("us"))


def test_without_a_store_the_other_pair_is_left_alone_as_well(endpoint: Endpoint, clock: Clock) -> None:
    """A process remembers for itself."""
    endpoint.refused = {"us", "us-2"}
    tokens = TokenManager(endpoint.fetch, lambda: Pairs((CURRENT, NEXT)), jitter=lambda: 0.0)
    for _ in range(11):
        with pytest.raises(TokenRefused, match="refused as well: us-2 is unknown"):
            tokens.get(ample())
        clock.now += 31.0
    assert (11, 2) == (endpoint.asked.count("us"), endpoint.asked.count("us-2"))


def test_without_a_store_the_pair_that_worked_comes_first(endpoint: Endpoint, clock: Clock) -> None:
    """As the store would say."""
    endpoint.refused = {"us"}
    tokens = TokenManager(endpoint.fetch, lambda: Pairs((CURRENT, NEXT)), jitter=lambda: 0.0)
    for _ in range(3):
        tokens.get(ample())
        clock.now += 3_500
    assert ["us", "us-2", "us-2", "us-2"] == endpoint.asked


@pytest.mark.parametrize("shared", [True, False])
def test_a_next_pair_that_is_the_current_one_is_no_other(fleet: Fleet, shared: bool) -> None:
    """One refusal is told, once."""
    fleet.pairs = [CURRENT, replace(CURRENT, pair="next")]
    fleet.endpoint.refused = {"us"}
    with pytest.raises(TokenRefused) as caught:
        fleet.process(**({} if shared else {"storage": None})).get(ample())
    assert "SIPS' token endpoint: us is unknown" == str(caught.value)
    assert ["us"] == fleet.endpoint.asked


def test_an_endpoint_that_is_down_is_no_reason_to_change_the_pair(fleet: Fleet) -> None:
    """The other would fare no better."""
    fleet.pairs = [CURRENT, NEXT]
    fleet.endpoint.failure = TokenUnavailable("authenticationToken", "down", status=503)
    with pytest.raises(TokenUnavailable):
        fleet.process().get(ample())
    assert ["us"] == fleet.endpoint.asked


def test_a_failure_is_told_with_what_to_check(fleet: Fleet) -> None:
    """Where, who and why: the line of a refresh that failed is all there is while the old token serves."""
    fleet.endpoint.refused = {"us"}
    with capture_logs() as lines, pytest.raises(TokenRefused):
        fleet.process().get(ample())
    (line,) = lines
    assert ("SIPS token could not be fetched", "sips-token-refused", 401) == (line["event"], line["code"], line["status"])
    told = [line[name] for name in ("error", "pair", "client_id", "base_url")]
    assert ["us is unknown", "current", "us", "https://sips.example"] == told


def test_a_rewritten_secret_is_tried_at_once(fleet: Fleet) -> None:
    """The back-off is that of the old one."""
    fleet.endpoint.refused = {"us"}
    fleet.endpoint.failure = TokenRefused("authenticationToken", "no", status=401, retry_after=60.0)
    process = fleet.process()
    with pytest.raises(TokenRefused):
        process.get(ample())
    fleet.endpoint.failure = None
    fleet.pairs = [Credentials("current", "them", "another")]
    process._look_at = 0.0
    assert "token-2" == process.get(ample()).value
    assert "another" in fleet.learnt


def test_a_secret_that_is_rewritten_while_a_token_is_fetched_costs_no_call(fleet: Fleet) -> None:
    """The token that comes serves until its end; the next one is fetched with the new secret."""
    process = fleet.process(min_age_seconds=0)
    fleet.endpoint.answers.clear()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(process.get, ample())
        while not fleet.endpoint.asked:
            pass
        fleet.pairs = [Credentials("current", "them", "another")]
        fleet.endpoint.answers.set()
        token = call.result(30)
    assert "token-1" == token.value == process.get(ample()).value
    process.invalidate(token.fingerprint)
    assert "token-2" == process.get(ample()).value
    assert ["us", "them"] == fleet.endpoint.asked


def test_secrets_that_cannot_be_read_leave_the_old_token_in_service(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may be missing for the moment in which it is rewritten; that is told once, and again where it changes."""
    tokens = fleet.process()
    due = replace(tokens.get(ample()), refresh_at=0.0)
    monkeypatch.setattr(tokens._held, "token", due)
    fleet.pairs, fleet.unreadable = [], (UNREADABLE,)
    with capture_logs() as lines:
        for _ in range(2):
            assert due is tokens.get(ample())
            tokens._look_at = 0.0
        fleet.unreadable = (UNREADABLE, "another one")
        assert due is tokens.get(ample())
    what = "no client secret can be read; the token is not refreshed"
    assert [("error", what, UNREADABLE), ("error", what, f"{UNREADABLE}; another one")] == [
        (line["log_level"], line["event"], line["error"]) for line in lines
    ]
    with pytest.raises(SecretUnreadable) as caught:
        fleet.process(storage=None).get(ample())
    assert f"no client secret: {UNREADABLE}; another one" == str(caught.value)


def test_a_secret_that_cannot_be_read_is_told_while_the_other_pair_serves(fleet: Fleet) -> None:
    """In a log line, once, and in the refusal of the pair that is left, which does not grow when it is repeated."""
    fleet.pairs, fleet.unreadable, fleet.endpoint.refused = [NEXT], (UNREADABLE,), {"us-2"}
    process = fleet.process()
    with capture_logs() as lines:
        for _ in range(3):
            process._look_at = 0.0
            with pytest.raises(TokenRefused) as caught:
                process.get(ample())
        fleet.unreadable, process._look_at = (), 0.0
        with pytest.raises(TokenRefused, match=r"us-2 is unknown$"):
            process.get(ample())
    assert f"us-2 is unknown; the other pair was not tried: {UNREADABLE}" == caught.value.reason
    told = [(line["log_level"], line.get("error")) for line in lines if "client secret" in line["event"]]
    assert [("warning", UNREADABLE), ("info", None)] == told


def test_a_look_at_the_other_pair_does_not_change_the_pair(fleet: Fleet) -> None:
    """Neither the fleet nor the process that looked uses what it got; a refusal that is over is forgotten."""
    fleet.pairs = [CURRENT, NEXT]
    fleet.endpoint.refused = {"us-2"}
    process = fleet.process(min_age_seconds=0)
    with pytest.raises(TokenRefused):
        process.check(NEXT, ample())
    fleet.endpoint.refused = set()
    assert [pytest.approx(3_600)] * 2 == [process.check(pair, ample()) for pair in (CURRENT, NEXT)]
    assert "token-3" in fleet.learnt
    assert ["token-2"] * 2 == [process.get(ample()).value, fleet.process().get(ample()).value]

    fleet.endpoint.refused = {"us"}
    process.invalidate(process.get(ample()).fingerprint)
    assert "token-5" == process.get(ample()).value
    assert ["us-2", "us", "us-2", "us", "us-2"] == fleet.endpoint.asked


def test_a_pair_that_was_tried_in_vain_does_not_come_first(fleet: Fleet) -> None:
    """The secret of the current pair was rewritten, so that the store knows nothing of it."""
    fleet.pairs = [CURRENT, NEXT]
    fleet.endpoint.refused = {"us-2"}
    process = fleet.process()
    with pytest.raises(TokenRefused):
        process.check(NEXT, ample())
    fleet.later(100)
    assert "token-2" == fleet.process().get(ample()).value
    assert ["us-2", "us"] == fleet.endpoint.asked
