"""Faults that can be switched on while the sandbox runs: which there are, what they take, and whether one strikes now."""

from __future__ import annotations

import random
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["FAULTS", "WEBHOOK", "FaultError", "Faults"]

#: Every fault and the parameters it takes beside `rate`, `count`, `operations` and `customers`, with their defaults.
FAULTS: dict[str, dict[str, Any]] = {
    "lost_answer": {},
    "error_after": {"status": 500},
    "error_before": {"status": 500},
    "slow": {"seconds": 5.0},
    "drip": {"interval": 1.0},
    "throttle": {"retry_after": 1},
    "unauthorized": {},
    "token_error": {"status": 500},
    "token_short": {"expires_in": 1},
    "queued": {"listed_after": 0.0},
    "queued_dropped": {},
    "large": {"mib": 2.0},
    "garbage": {},
    "waf": {},
    "not_found": {},
    "down": {"seconds": None},
    "webhook_drop": {},
    "webhook_repeat": {"times": 1},
    "webhook_delay": {"seconds": 60.0},
    "webhook_shuffle": {"seconds": 5.0},
    "webhook_burst": {"events": 10, "seconds": 5.0},
    "webhook_secret": {},
    "webhook_garbage": {},
}

#: Faults that strike a webhook and no request start so.
WEBHOOK = "webhook_"

_COMMON: dict[str, Any] = {"rate": 1.0, "count": None, "operations": None, "customers": None}

#: Longest time of a fault in seconds, one day, and the largest whole number (int32, as SIPS documents expires_in).
LONGEST = 86_400
LARGEST = 2**31 - 1

#: How often a webhook is repeated at most.
MOST_TIMES = 100

#: Largest answer in MiB.
LARGEST_MIB = 256


def _is_number(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def _is_whole(value: Any, least: int = 0, most: int = LARGEST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


_SECONDS = (lambda value: _is_number(value, LONGEST), f"a number of seconds from 0 to {LONGEST}")
_WHOLE = (_is_whole, f"a whole number from 0 to {LARGEST}")

#: What each parameter must be, and how a message says so. Where the default is None, null is allowed as well.
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "rate": (lambda value: _is_number(value, 1), "a number from 0 to 1"),
    "count": _WHOLE,
    "operations": (_are_names, "a list of operations"),
    "customers": (_are_names, "a list of customer codes"),
    "seconds": _SECONDS,
    "interval": _SECONDS,
    "listed_after": _SECONDS,
    "retry_after": _WHOLE,
    "expires_in": _WHOLE,
    "times": (lambda value: _is_whole(value, 1, MOST_TIMES), f"a whole number from 1 to {MOST_TIMES}"),
    "events": (lambda value: _is_whole(value, 1), f"a whole number from 1 to {LARGEST}"),
    "mib": (lambda value: _is_number(value, LARGEST_MIB), f"a number of MiB from 0 to {LARGEST_MIB}"),
    "status": (lambda value: _is_whole(value, 400, 599), "a status from 400 to 599"),
}


class FaultError(ValueError):
    """A fault or parameter that does not exist, or a value out of range; the text says what is allowed."""


@dataclass(slots=True)
class _Fault:
    rate: float
    left: int | None
    operations: frozenset[str] | None
    customers: frozenset[str] | None
    parameters: dict[str, Any] = field(default_factory=dict)

    def fits(self, operation: str, customer: str | None) -> bool:
        return (self.operations is None or operation in self.operations) and (
            self.customers is None or customer in self.customers
        )


class Faults:
    """The faults in force; thread-safe.

    Args:
        operations: the names that `operations` may hold.
        seed: makes the rates repeatable; by default one that nobody knows.
    """

    def __init__(self, operations: Iterable[str], seed: int | None = None) -> None:
        self._operations = frozenset(operations)
        self.seed = secrets.randbits(32) if seed is None else seed
        self._random = random.Random(self.seed)  # noqa: S311 - a test's chance, no secret
        self._lock = threading.Lock()
        self._faults: dict[str, _Fault] = {}
        self._given: dict[str, Any] = {}

    @property
    def given(self) -> dict[str, Any]:
        """The faults in force, as they were asked for."""
        return self._given

    def replace(self, given: Any) -> None:
        """Replace all faults: a mapping of name to a rate from 0 to 1 or to an object of parameters.

        Raises:
            FaultError: nothing was changed.
        """
        if not isinstance(given, dict):
            raise FaultError("faults are an object: name to rate, or name to parameters")
        faults = {name: _parse(name, value, self._operations) for name, value in given.items()}
        with self._lock:
            self._faults, self._given = faults, given

    def lift(self, name: str) -> None:
        """End one fault before it is replaced."""
        with self._lock:
            self._faults = {other: fault for other, fault in self._faults.items() if other != name}
            self._given = {other: value for other, value in self._given.items() if other != name}

    def share(self, key: str) -> float:
        """A number from 0 to 1 that follows from the seed and the key, whoever asks when."""
        return random.Random(f"{self.seed}/{key}").random()  # noqa: S311 - as above

    def strikes(self, name: str, operation: str, customer: str | None = None, *, key: str | None = None) -> dict[str, Any] | None:
        """The fault's parameters if it strikes this request, else None. With a key, the rate strikes the same keys each time."""
        if not self._faults:
            return None
        with self._lock:
            fault = self._faults.get(name)
            if fault is None or fault.left == 0 or not fault.fits(operation, customer):
                return None
            if (self._random.random() if key is None else self.share(f"{name}/{key}")) >= fault.rate:
                return None
            if fault.left is not None:
                fault.left -= 1
            return fault.parameters


def _parse(name: str, value: Any, operations: frozenset[str]) -> _Fault:
    if name not in FAULTS:
        raise FaultError(f"no fault {name!r}; there are {', '.join(FAULTS)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = {"rate": value}
    if not isinstance(value, dict):
        raise FaultError(f"{name}: a rate from 0 to 1, or an object of parameters")
    allowed = _allowed(name)
    if unknown := value.keys() - allowed.keys():
        raise FaultError(f"{name}: no parameter {', '.join(sorted(unknown))}; there are {', '.join(allowed)}")
    chosen = allowed | value
    for parameter, default in allowed.items():
        is_right, text = _RULES[parameter]
        if not (is_right(chosen[parameter]) or (default is None and chosen[parameter] is None)):
            raise FaultError(f"{name}: {parameter} must be {text}{' or null' if default is None else ''}")
    if unknown := set(chosen.get("operations") or ()) - operations:
        raise FaultError(f"{name}: no operation {', '.join(sorted(unknown))}; there are {', '.join(sorted(operations))}")
    return _Fault(
        rate=chosen["rate"],
        left=chosen["count"],
        operations=_names(chosen.get("operations")),
        customers=_names(chosen.get("customers")),
        parameters={key: chosen[key] for key in FAULTS[name]},
    )


def _allowed(name: str) -> dict[str, Any]:
    """The parameters of a fault with their defaults; a port that is down knows no customers, and like webhooks no operations."""
    unknown = {"operations", "customers"} if name == "down" else {"operations"} if name.startswith(WEBHOOK) else set()
    return {parameter: default for parameter, default in _COMMON.items() if parameter not in unknown} | FAULTS[name]


def _names(value: list[str] | None) -> frozenset[str] | None:
    return None if value is None else frozenset(value)
