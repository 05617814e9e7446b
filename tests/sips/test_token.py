"""One token for all threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.sips.making import ample
from worker.settings import Credentials, Pairs
from worker.sips.deadline import Deadline
from worker.sips.errors import TokenRefused, TokenUnavailable
from worker.sips.token import MIN_AGE_SECONDS, TokenManager
from worker.sips.token_rules import Grant, Token
from worker.sips.token_storage import Alone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sips.fleet import Clock

THREADS = 16

US = Credentials("current", "us", "Tr0ub4dor-and-3")


class Endpoint:
    """Hands out token-1, token-2 … until told to fail or to wait."""

    def __init__(self, expires_in: object = 3_600) -> None:
        self.expires_in = expires_in
        self.fetches = 0
        self.failure: Exception | None = None
        self.same = False
        self.budgets: list[float] = []
        self.asked, self.answers = threading.Event(), threading.Event()
        self.answers.set()

    def fetch(self, _credentials: Credentials, deadline: Deadline) -> Grant:
        """As `TokenEndpoint.fetch`."""
        self.fetches += 1
        self.budgets.append(deadline.remaining())
        self.asked.set()
        assert self.answers.wait(30)
        if self.failure is not None:
            raise self.failure
        return Grant("token-1" if self.same else f"token-{self.fetches}", self.expires_in)


@pytest.fixture
def endpoint() -> Endpoint:
    """A token endpoint."""
    return Endpoint()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Log lines go nowhere."""
    with capture_logs():
        yield


def manager(endpoint: Endpoint, **others: Any) -> TokenManager:
    """A manager without jitter: refreshed 2.5 minutes before the end."""
    return TokenManager(endpoint.fetch, lambda: Pairs((US,)), jitter=lambda: 0.0, **others)


def unavailable(retry_after: float | None = None) -> TokenUnavailable:
    """An endpoint that is down."""
    return TokenUnavailable("authenticationToken", "down", status=503, retry_after=retry_after)


def test_a_token_is_fetched_once(endpoint: Endpoint) -> None:
    """Later calls take it from memory."""
    tokens = manager(endpoint)
    assert ["token-1"] * 3 == [tokens.get(ample()).value for _ in range(3)]
    assert 1 == endpoint.fetches


def test_a_fresh_token_needs_no_lock(endpoint: Endpoint) -> None:
    """Even while another thread holds it."""
    tokens = manager(endpoint)
    tokens.get(ample())
    with tokens._turn:
        assert "token-1" == tokens.get(Deadline.after(0)).value


def test_threads_that_need_a_token_at_once_fetch_one(endpoint: Endpoint) -> None:
    """One asks, the others wait for what it gets."""
    tokens = manager(endpoint)
    endpoint.answers.clear()
    with ThreadPoolExecutor(THREADS) as pool:
        calls = [pool.submit(tokens.get, ample()) for _ in range(THREADS)]
        assert endpoint.asked.wait(30)
        endpoint.answers.set()
        assert {"token-1"} == {call.result(30).value for call in calls}
    assert 1 == endpoint.fetches


def test_a_thread_waits_for_the_token_no_longer_than_its_call_may_take(endpoint: Endpoint) -> None:
    """What another thread is still fetching comes too late for it; nothing was sent."""
    tokens = manager(endpoint)
    endpoint.answers.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(tokens.get, ample())
        assert endpoint.asked.wait(30)
        with pytest.raises(TokenUnavailable, match="another thread"):
            tokens.get(Deadline.after(0.02))
        endpoint.answers.set()
        assert "token-1" == first.result(30).value


def test_a_token_is_refreshed_ahead_of_its_end(endpoint: Endpoint, clock: Clock) -> None:
    """The first call within the margin fetches the next one."""
    tokens = manager(endpoint)
    tokens.get(ample())
    clock.now += 3_449
    assert "token-1" == tokens.get(ample()).value
    clock.now += 2
    assert "token-2" == tokens.get(ample()).value


def test_the_old_token_serves_while_the_new_one_is_fetched(endpoint: Endpoint, clock: Clock) -> None:
    """Only one call waits for the refresh."""
    tokens = manager(endpoint)
    tokens.get(ample())
    clock.now += 3_500
    endpoint.asked.clear()
    endpoint.answers.clear()
    with ThreadPoolExecutor(1) as pool:
        refreshing = pool.submit(tokens.get, ample())
        assert endpoint.asked.wait(30)
        assert ["token-1"] * 5 == [tokens.get(ample()).value for _ in range(5)]
        endpoint.answers.set()
        assert "token-2" == refreshing.result(30).value
    assert "token-2" == tokens.get(ample()).value
    assert 2 == endpoint.fetches


def test_a_refresh_that_another_thread_just_made_is_not_repeated(
    endpoint: Endpoint, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the token and the turn to refresh it, another thread may have had its own turn."""
    tokens = manager(endpoint)
    tokens.get(ample())
    clock.now += 3_500
    turn = threading.Lock()

    class LateTurn:
        """A lock that is had only after another thread's refresh."""

        release = turn.release

        def acquire(self, *, blocking: bool) -> bool:
            monkeypatch.setattr(tokens, "_turn", turn)
            assert "token-2" == tokens.get(ample()).value
            return turn.acquire(blocking=blocking)

    monkeypatch.setattr(tokens, "_turn", LateTurn())
    assert tokens.get(ample()).value in {"token-1", "token-2"}
    assert 2 == endpoint.fetches


def test_the_call_that_refreshes_does_not_spend_all_its_time(endpoint: Endpoint, clock: Clock) -> None:
    """A silent endpoint costs it seconds, since the old token serves as well."""
    tokens = manager(endpoint)
    tokens.get(ample())
    clock.now += 3_500
    tokens.get(ample())
    assert endpoint.budgets[0] > 10
    assert endpoint.budgets[1] <= 5


def test_the_old_token_serves_until_its_end_while_the_refresh_fails(endpoint: Endpoint, clock: Clock) -> None:
    """An outage of the endpoint is not noticed before; afterwards no call is sent without a token."""
    tokens = manager(endpoint)
    tokens.get(ample())
    endpoint.failure = unavailable()
    clock.now += 3_500
    assert "token-1" == tokens.get(ample()).value
    clock.now += 99
    assert "token-1" == tokens.get(ample()).value
    clock.now += 1
    with pytest.raises(TokenUnavailable):
        tokens.get(ample())
    endpoint.failure = None
    clock.now += 60
    assert "token-5" == tokens.get(ample()).value


def test_failed_refreshes_back_off(endpoint: Endpoint, clock: Clock) -> None:
    """The endpoint is not asked again with every call: after 0.5 s, then 1 s, then 2 s (without jitter)."""
    tokens = manager(endpoint)
    tokens.get(ample())
    endpoint.failure = unavailable()
    clock.now += 3_500
    asked = []
    for _ in range(32):
        tokens.get(ample())
        asked.append(endpoint.fetches)
        clock.now += 0.125  # exact in binary, so that half a second is four steps on every machine
    assert [2] * 4 + [3] * 8 + [4] * 16 + [5] * 4 == asked


@pytest.mark.parametrize("error", [TokenRefused("authenticationToken", "no", status=401), unavailable()])
def test_calls_without_a_token_fail_at_once_while_backing_off(
    endpoint: Endpoint, clock: Clock, error: TokenRefused | TokenUnavailable
) -> None:
    """With the kind of the last failure, and with the time of the next attempt."""
    tokens = manager(endpoint)
    endpoint.failure = error
    for _ in range(3):
        with pytest.raises(type(error)) as caught:
            tokens.get(ample())
        assert pytest.approx(0.5) == caught.value.retry_after
        assert error.status == caught.value.status
    assert 1 == endpoint.fetches
    endpoint.failure = None
    clock.now += 0.6
    assert "token-2" == tokens.get(ample()).value


def test_a_retry_after_of_the_endpoint_is_respected(endpoint: Endpoint, clock: Clock) -> None:
    """It was asked to wait 30 s."""
    tokens = manager(endpoint)
    endpoint.failure = unavailable(retry_after=30.0)
    for _ in range(3):
        with pytest.raises(TokenUnavailable):
            tokens.get(ample())
        clock.now += 9
    assert 1 == endpoint.fetches


def test_a_success_ends_the_backing_off(endpoint: Endpoint, clock: Clock) -> None:
    """The next failure starts again with the shortest wait."""
    tokens = manager(endpoint)
    for _ in range(5):
        endpoint.failure = unavailable()
        with pytest.raises(TokenUnavailable):
            tokens.get(ample())
        clock.now += 60
    endpoint.failure = None
    tokens.get(ample())
    assert {} == tokens._refresher._setbacks._last


def test_a_refused_token_is_replaced(endpoint: Endpoint, clock: Clock) -> None:
    """The next call gets another one."""
    tokens = manager(endpoint)
    old = tokens.get(ample())
    clock.now += MIN_AGE_SECONDS
    tokens.invalidate(old.fingerprint)
    assert "token-2" == tokens.get(ample()).value


def test_a_refused_token_does_not_serve_where_no_other_can_be_had(endpoint: Endpoint, clock: Clock) -> None:
    """If SIPS has revoked it, each call with it would use up an attempt; without a token commands wait."""
    tokens = manager(endpoint)
    old = tokens.get(ample())
    clock.now += MIN_AGE_SECONDS
    endpoint.failure = unavailable()
    tokens.invalidate(old.fingerprint)
    for _ in range(3):
        with pytest.raises(TokenUnavailable):
            tokens.get(ample())
    assert 2 == endpoint.fetches
    endpoint.failure = None
    clock.now += 1
    assert "token-3" == tokens.get(ample()).value


def test_a_call_whose_time_is_up_fails_alone(endpoint: Endpoint) -> None:
    """What it could not wait for is no reason for others to wait, or to fail."""
    tokens = manager(endpoint)
    endpoint.failure = TokenUnavailable("authenticationToken", "the call ended with its deadline")
    with pytest.raises(TokenUnavailable):
        tokens.get(Deadline.after(0))
    endpoint.failure = None

    assert "token-2" == tokens.get(ample()).value


def test_an_endpoint_that_was_silent_for_long_has_failed_although_the_calls_time_is_up(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else calls that come with less time than an endpoint may take would ask it again and again."""
    monkeypatch.setattr("worker.sips.token_refresh.REFRESH_SECONDS", 0.0)
    tokens = manager(endpoint)
    endpoint.failure = TokenUnavailable("authenticationToken", "no token, the call ended with deadline")
    for deadline in (Deadline.after(0), ample()):
        with pytest.raises(TokenUnavailable):
            tokens.get(deadline)
    assert 1 == endpoint.fetches


def test_a_storage_that_hangs_leaves_time_to_fetch(endpoint: Endpoint, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh ahead of the end has its own time without the storage: a call that is made too late fails for nothing."""
    patience = 0.05
    monkeypatch.setattr("worker.sips.token.REFRESH_SECONDS", patience)

    class Hanging(Alone):
        """Answers nothing, for longer than a refresh may take."""

        down = (OSError,)

        def read(self, _key: str, /) -> None:
            """As a database that is locked."""
            threading.Event().wait(patience + 0.01)
            raise OSError("locked")

    tokens = manager(endpoint, storage=Hanging())
    tokens.get(ample())
    clock.now += 3_500

    assert "token-2" == tokens.get(ample()).value

    assert endpoint.budgets[1] > 0


def test_a_silent_endpoint_is_asked_less_and_less_while_the_old_token_serves(
    endpoint: Endpoint, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call that refreshes has time left when it gives up, so it is the endpoint that failed: 0.5 s, then 1 s, then 2 s."""
    monkeypatch.setattr("worker.sips.token.REFRESH_SECONDS", 0.0)
    tokens = manager(endpoint)
    tokens.get(ample())
    endpoint.failure = TokenUnavailable("authenticationToken", "no token, the call ended with deadline")
    clock.now += 3_500
    asked = []
    for _ in range(8):
        assert "token-1" == tokens.get(ample()).value
        asked.append(endpoint.fetches)
        clock.now += 0.5
    assert [2, 3, 3, 4, 4, 4, 4, 5] == asked


def test_a_token_that_is_given_again_is_as_old_as_it_is(endpoint: Endpoint, clock: Clock) -> None:
    """An endpoint that keeps a token until its end gives it again ahead of that: refused at its end, it is replaced at once."""
    endpoint.same = True
    tokens = manager(endpoint)
    old = tokens.get(ample())
    clock.now += 3_590
    assert old.value == tokens.get(ample()).value
    clock.now += 10
    endpoint.same = False
    tokens.invalidate(old.fingerprint)
    assert "token-3" == tokens.get(ample()).value


def test_a_young_token_is_kept_though_refused(endpoint: Endpoint, clock: Clock) -> None:
    """It is the command that is refused then, not the fleet's token."""
    tokens = manager(endpoint)
    token = tokens.get(ample())
    clock.now += MIN_AGE_SECONDS - 1
    tokens.invalidate(token.fingerprint)
    assert token == tokens.get(ample())
    assert 60.0 == MIN_AGE_SECONDS


def test_a_young_token_that_is_due_is_replaced_when_refused(endpoint: Endpoint, clock: Clock) -> None:
    """It lives for seconds only, and ended at SIPS a bit before it does here."""
    endpoint.expires_in = 10
    tokens = manager(endpoint)
    token = tokens.get(ample())
    clock.now += 9.5
    tokens._look_at = clock.now + 100  # as while another process refreshes it
    assert token == tokens.get(ample())
    tokens.invalidate(token.fingerprint)
    assert "token-2" == tokens.get(ample()).value


def test_only_the_token_that_was_refused_is_dropped(endpoint: Endpoint) -> None:
    """Threads that were refused with the old one do not each drop the new one."""
    tokens = manager(endpoint, min_age_seconds=0)
    old = tokens.get(ample())
    with ThreadPoolExecutor(THREADS) as pool:

        def refused(_: int) -> Token:
            tokens.invalidate(old.fingerprint)
            return tokens.get(ample())

        assert {"token-2"} == {token.value for token in pool.map(refused, range(THREADS))}
    assert 2 == endpoint.fetches
    with capture_logs() as lines:
        tokens.invalidate(old.fingerprint)
    assert [] == lines


def test_an_endpoint_that_repeats_a_refused_token_is_asked_no_more_than_once_a_minute(endpoint: Endpoint, clock: Clock) -> None:
    """Some keep a token until its end: it is young again, so it is kept."""
    endpoint.same = True
    tokens = manager(endpoint)
    token = tokens.get(ample())
    clock.now += MIN_AGE_SECONDS
    for _ in range(5):
        tokens.invalidate(token.fingerprint)
        assert "token-1" == tokens.get(ample()).value
    assert 2 == endpoint.fetches


def test_a_check_fetches_whatever_is_in_memory(endpoint: Endpoint) -> None:
    """For a person who asks whether the credentials are good."""
    tokens = manager(endpoint)
    tokens.get(ample())
    assert pytest.approx(3_600) == tokens.check(US, ample())
    assert 2 == endpoint.fetches
    endpoint.failure = TokenRefused("authenticationToken", "no", status=401)
    with pytest.raises(TokenRefused):
        tokens.check(US, ample())


def test_log_lines_name_tokens_by_their_fingerprint(endpoint: Endpoint, clock: Clock) -> None:
    """No token stands in them."""
    tokens = manager(endpoint)
    with capture_logs() as lines:
        token = tokens.get(ample())
        tokens.invalidate(token.fingerprint)
        clock.now += MIN_AGE_SECONDS
        tokens.invalidate(token.fingerprint)
        endpoint.failure = unavailable()
        with pytest.raises(TokenUnavailable):
            tokens.get(ample())
    assert [
        ("info", token.fingerprint, None),
        ("warning", token.fingerprint, None),
        ("warning", token.fingerprint, None),
        ("warning", None, "sips-token-unavailable"),
    ] == [(line["log_level"], line.get("fingerprint"), line.get("code")) for line in lines]
    assert "token-1" not in repr(lines)
