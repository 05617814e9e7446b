"""Ask SIPS one harmless thing to learn whether it is there: a GET, at growing intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.runtime.outage import End, end_of
from worker.sips import Deadline, SipsError

if TYPE_CHECKING:
    from random import Random

    from worker.settings import Settings
    from worker.sips import SipsClient

__all__ = ["FIRST_PAUSE", "REFUSED_FACTOR", "Probe", "pause"]

#: Seconds after the first question; doubles with each up to SIPS_PROBE_MAX_SECONDS.
FIRST_PAUSE = 1.0

#: Where SIPS is there and refuses, a person has to mend it: it is asked less often by this factor.
REFUSED_FACTOR = 4.0

#: Spread around the mean, so that a fleet does not ask all at once.
JITTER = 0.5


class Probe:
    """The question; asked by one thread at a time.

    Args:
        client: of SIPS; fetches a token where there is none, as for any call.
        settings: SIPS_PROBE_PATH, and the time of a call.

    Attributes:
        found: what the last one came to, for a log line.
    """

    def __init__(self, client: SipsClient, settings: Settings) -> None:
        self._client = client
        self._path = settings.sips_probe_path
        self._seconds = settings.sips_call_seconds
        self.found = ""

    def ask(self) -> End:
        """How it ended; a 404 counts as an answer, as SIPS must have given it."""
        try:
            answer = self._client.probe(self._path, deadline=Deadline.after(self._seconds))
        except SipsError as error:
            end = end_of(error)
            self.found = f"HTTP {error.status}" if end is End.ANSWERED else f"{error.code}: {error}"
            return end
        self.found = f"HTTP {answer.status}"
        return End.ANSWERED


def pause(asked: int, *, refused: bool, longest: float, random: Random) -> float:
    """Seconds before the next question, after `asked` of them; `longest` is the longest mean."""
    mean: float = min(FIRST_PAUSE * 2 ** min(asked - 1, 30), longest) * (REFUSED_FACTOR if refused else 1)
    return mean * random.uniform(1 - JITTER, 1 + JITTER)
