"""Whether SIPS can be called, as this process sees it: holds the gates of the queues that need it, and looks after them.

Workers that call tell how each call ended. While something is wrong one thread asks SIPS a harmless question now and then;
only its answer opens the gates again. Nothing of this runs, and nothing is locked, while SIPS answers.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from worker.runtime.outage import End, Row, Verdict, end_of
from worker.runtime.probe import pause
from worker.sips import PROBE, SipsError
from worker.sips.classify import error_of
from worker.sips.errors import SecretUnreadable, TokenError, TokenRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from worker.messaging.gate import Gate
    from worker.runtime.probe import Probe
    from worker.settings import Settings
    from worker.sips import Answer, Deadline, Limits, Operation, TokenSource
    from worker.sips.token_rules import Token

__all__ = ["CONFIGURATION_REFUSED", "SIPS_DOWN", "Service", "WatchedTokens"]

#: Operations whose requests are not judged one by one. The probe's thread tells what the probe came to; the token's request
#: counts only where a call could not be made for want of a token, as the endpoint may be a server of its own, and an older
#: token may serve.
_TOLD_OTHERWISE = frozenset({PROBE, "authenticationToken"})

#: Reasons of a gate that speak of SIPS.
SIPS_DOWN = "sips-down"
CONFIGURATION_REFUSED = "configuration-refused"

log = structlog.get_logger("worker")


class Service:
    """The state of SIPS for one process; thread-safe.

    Args:
        gates: of the queues whose handlers call SIPS.
        limits: told to start slowly when SIPS comes back.
        settings: of the process.
        announce: publishes a fact, `sips.service.down` or `sips.service.up`, from its data; does not raise.
        stopping: set when the process is to end.
    """

    def __init__(
        self,
        gates: Iterable[Gate],
        limits: Limits,
        settings: Settings,
        announce: Callable[[str, dict[str, Any]], None],
        stopping: threading.Event,
    ) -> None:
        self._gates = tuple(gates)
        self._limits = limits
        self._settings = settings
        self._announce = announce
        self._stopping = stopping
        self._probe: Probe | None = None
        self._lock = threading.Lock()
        self._row = Row()
        self._reason: str | None = None
        self._since = datetime.now(UTC)
        self._closed_at = 0.0
        self._up_since = time.monotonic()
        self._looking = False
        self._news: deque[tuple[str, dict[str, Any]]] = deque()
        self._random = random.Random()  # noqa: S311 - jitter, no secret

    def use(self, probe: Probe) -> None:
        """Give it its question; to be done before the first call, as the probe needs the client that reports to here."""
        self._probe = probe

    def is_away(self) -> bool:
        """Whether the gates are closed, for whatever reason."""
        return self._reason is not None

    def up_seconds(self) -> float:
        """For how long SIPS has been there, as far as this process can tell: since it came back, or since the process began."""
        return 0.0 if self.is_away() else time.monotonic() - self._up_since

    def ended(self, operation: Operation, end: Answer | SipsError) -> None:
        """A request ended; called in its thread for each."""
        error = end if isinstance(end, SipsError) else error_of(operation, end)
        if (error is None and not self._row.length) or operation.id in _TOLD_OTHERWISE:
            return
        with self._lock:
            if self._reason is None:
                self._judge(operation.id, end_of(error), _text(error))

    def has_no_token(self, error: TokenError) -> None:
        """A call could not be made, for want of a token; where credentials were refused or cannot be read, there can be none."""
        with self._lock:
            if self._reason is not None:
                return
            if isinstance(error, TokenRefused | SecretUnreadable):
                self._close(CONFIGURATION_REFUSED, _text(error))
            else:
                self._judge(error.operation, end_of(error), _text(error))

    # Under the lock.

    def _judge(self, operation: str, end: End, found: str) -> None:
        self._row = self._row.then(operation, end)
        match self._row.verdict:
            case Verdict.DOWN:
                self._close(SIPS_DOWN, f"{self._row.length} calls failed in a row, the last with {found}")
            case Verdict.REFUSED:
                self._close(CONFIGURATION_REFUSED, f"{self._row.length} calls were refused in a row, the last with {found}")
            case Verdict.SUSPECT:
                self._look_after()

    def _close(self, reason: str, found: str) -> None:
        """Close the gates, or keep them closed for another reason."""
        before, self._reason = self._reason, reason
        if before is None:
            self._since, self._closed_at = datetime.now(UTC), time.monotonic()
        for gate in self._gates:
            gate.close(reason)
            if before is not None:
                gate.open(before)
        self._tell("sips.service.down", reason)
        if reason == SIPS_DOWN:
            log.warning("SIPS is down; its queues are closed until it answers", reason=reason, found=found, **self._place())
        else:
            check = (
                "SIPS_CLIENT_ID, the client secret or its file, and that both belong to this base URL; if only the path of the "
                "probe is refused, SIPS_PROBE_PATH"
            )
            log.error(
                "SIPS cannot be called as configured; its queues are closed",
                reason=reason,
                found=found,
                check=check,
                **self._place(),
            )
        self._look_after()

    def _open(self, reason: str) -> None:
        self._up_since = time.monotonic()
        seconds = round(self._up_since - self._closed_at, 1)
        self._row, self._reason = Row(), None
        self._limits.start_slowly()
        for gate in self._gates:
            gate.open(reason)
        self._tell("sips.service.up", reason)
        log.info("SIPS answers again; its queues are open", reason=reason, seconds=seconds)

    def _tell(self, event_type: str, reason: str) -> None:
        data = {
            "reason": reason,
            "since": self._since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "seconds": round(time.monotonic() - self._closed_at, 1),
        }
        self._news.append((event_type, data))

    def _place(self) -> dict[str, str]:
        return {"base_url": self._settings.base_url, "client_id": self._settings.client_id}

    # The thread that looks after SIPS while something is wrong; there is none while nothing is.

    def _look_after(self) -> None:
        if not self._looking:
            self._looking = True
            threading.Thread(target=self._ask_until_all_is_well, name="sips-probe", daemon=True).start()

    def _ask_until_all_is_well(self) -> None:
        asked, reason = 0, None
        while not self._stopping.is_set():
            self._announce_news()
            with self._lock:
                if self._reason is None and self._row.verdict is Verdict.UP:
                    self._looking = False
                    return
            end = self._ask()
            with self._lock:
                self._judge_answer(end)
                asked = asked + 1 if reason == self._reason else 1
                reason = self._reason
            self._announce_news()
            refused, longest = reason == CONFIGURATION_REFUSED, self._settings.sips_probe_max_seconds
            self._stopping.wait(pause(asked, refused=refused, longest=longest, random=self._random))

    def _ask(self) -> End:
        assert self._probe is not None  # noqa: S101 - given when the process was wired
        try:
            return self._probe.ask()
        except Exception:
            log.exception("the probe of SIPS broke; it is tried again")
            return End.FAILED

    def _judge_answer(self, end: End) -> None:
        reason, found = self._reason, self._probe.found if self._probe else ""
        if reason is None:
            self._judge(PROBE, end, found)
        elif end is End.ANSWERED:
            self._open(reason)
        elif (other := CONFIGURATION_REFUSED if end is End.REFUSED else SIPS_DOWN) != reason:
            self._close(other, found)

    def _announce_news(self) -> None:
        while self._news:
            self._announce(*self._news.popleft())


def _text(error: SipsError | None) -> str:
    return f"{error.code}: {error}" if error else "an answer"


class WatchedTokens:
    """A source of tokens that tells the service when a call gets none."""

    def __init__(self, tokens: TokenSource, service: Service) -> None:
        self._tokens = tokens
        self._service = service

    def get(self, deadline: Deadline) -> Token:
        """As the source's own.

        Raises:
            TokenError: as the source's own.
        """
        try:
            return self._tokens.get(deadline)
        except TokenError as error:
            self._service.has_no_token(error)
            raise

    def invalidate(self, fingerprint: str) -> None:
        """As the source's own."""
        self._tokens.invalidate(fingerprint)
