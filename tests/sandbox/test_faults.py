"""Which faults there are, what they take, and when one strikes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sandbox.faults import FAULTS, FaultError, Faults

SUBMIT, PRICE = "ordersV2Submit", "productsV2Price"
OPERATIONS = (SUBMIT, PRICE)


def faults(**given: Any) -> Faults:
    """The faults in force."""
    made = Faults(OPERATIONS, seed=1)
    made.replace(given)
    return made


def strikes(made: Faults, times: int, *about: str) -> int:
    """How many of so many requests are struck by `waf`."""
    return sum(made.strikes("waf", *about) is not None for _ in range(times))


def test_there_are_the_promised_faults() -> None:
    """With the parameters that are their own."""
    assert {
        "lost_answer": set(),
        "error_after": {"status"},
        "error_before": {"status"},
        "slow": {"seconds"},
        "drip": {"interval"},
        "throttle": {"retry_after"},
        "unauthorized": set(),
        "token_error": {"status"},
        "token_short": {"expires_in"},
        "queued": {"listed_after"},
        "queued_dropped": set(),
        "large": {"mib"},
        "garbage": set(),
        "waf": set(),
        "not_found": set(),
        "down": {"seconds"},
        "webhook_drop": set(),
        "webhook_repeat": {"times"},
        "webhook_delay": {"seconds"},
        "webhook_shuffle": {"seconds"},
        "webhook_burst": {"events", "seconds"},
        "webhook_secret": set(),
        "webhook_garbage": set(),
    } == {name: set(parameters) for name, parameters in FAULTS.items()}


def test_nothing_strikes_by_default() -> None:
    """Nor does a fault that was not asked for."""
    assert 0 == strikes(Faults(OPERATIONS), 100, SUBMIT)
    assert 0 == strikes(faults(garbage=1), 100, SUBMIT)


@pytest.mark.parametrize(("rate", "least", "most"), [(0, 0, 0), (1, 1_000, 1_000), (0.5, 400, 600), (0.05, 10, 120)])
def test_a_rate_is_the_share_of_requests_that_are_struck(rate: float, least: int, most: int) -> None:
    """As a number or among the parameters; 0 is never and 1 is always."""
    for asked in (rate, {"rate": rate}):
        assert least <= strikes(faults(waf=asked), 1_000, SUBMIT) <= most


def test_a_seed_makes_rates_repeatable() -> None:
    """The same requests are struck again; with another seed others are."""

    def struck(seed: int) -> list[bool]:
        made = Faults(OPERATIONS, seed)
        made.replace({"waf": 0.5})
        return [made.strikes("waf", SUBMIT) is not None for _ in range(100)]

    assert struck(7) == struck(7)
    assert struck(7) != struck(8)


def test_a_key_is_struck_each_time_or_never() -> None:
    """Whatever else was asked before; about as many keys are struck as the rate says, and others under another seed."""

    def struck(seed: int, keys: list[str]) -> set[str]:
        made = Faults(OPERATIONS, seed)
        made.replace({"webhook_drop": 0.5})
        return {key for key in keys if made.strikes("webhook_drop", "", key=key) is not None}

    keys = [str(number) for number in range(1_000)]
    assert struck(7, keys) == struck(7, keys[::-1])
    assert 400 <= len(struck(7, keys)) <= 600
    assert struck(7, keys) != struck(8, keys)


def test_a_count_ends_a_fault() -> None:
    """After so many strikes, not so many requests; and exactly then, whichever threads ask."""
    assert 3 == strikes(faults(waf={"rate": 0.3, "count": 3}), 1_000, SUBMIT)
    made = faults(waf={"count": 50})
    with ThreadPoolExecutor(8) as pool:
        assert 50 == sum(pool.map(lambda _: strikes(made, 100, SUBMIT), range(8)))


def test_a_fault_can_be_for_some_operations() -> None:
    """Of the others none is struck."""
    made = faults(waf={"operations": [PRICE]})
    assert (10, 0) == (strikes(made, 10, PRICE), strikes(made, 10, SUBMIT))


def test_a_fault_can_be_for_some_customers() -> None:
    """A request that is about nobody is not struck."""
    made = faults(waf={"customers": ["A", "B"]})
    assert (10, 0, 0) == (strikes(made, 10, SUBMIT, "B"), strikes(made, 10, SUBMIT, "C"), strikes(made, 10, SUBMIT))


def test_what_does_not_fit_uses_up_no_count() -> None:
    """Else a fault for one customer would be gone before that customer came."""
    made = faults(waf={"count": 1, "customers": ["A"]})
    assert (0, 1) == (strikes(made, 10, SUBMIT, "B"), strikes(made, 10, SUBMIT, "A"))


def test_parameters_have_defaults() -> None:
    """What is given wins."""
    assert {"seconds": 5.0} == faults(slow=1).strikes("slow", SUBMIT)
    assert {"seconds": 0} == faults(slow={"seconds": 0}).strikes("slow", SUBMIT)
    assert {"seconds": None} == faults(down=1).strikes("down", SUBMIT)


def test_faults_are_replaced_as_a_whole() -> None:
    """What is not named again is over, its count included."""
    made = faults(waf={"count": 1}, garbage=1)
    made.strikes("waf", SUBMIT)
    made.replace({"waf": {"count": 1}})
    assert made.strikes("garbage", SUBMIT) is None
    assert 1 == strikes(made, 10, SUBMIT)
    assert {"waf": {"count": 1}} == made.given


def test_one_fault_can_be_lifted() -> None:
    """The others stay, and what was given is told without it."""
    made = faults(waf=1, garbage=0.5)
    made.lift("garbage")
    made.lift("slow")
    assert {"waf": 1} == made.given
    assert made.strikes("garbage", SUBMIT) is None
    assert 5 == strikes(made, 5, SUBMIT)


NUMBER, WHOLE, SECONDS = "a number from 0 to 1", "a whole number from 0 to 2147483647", "a number of seconds from 0 to 86400"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "faults are an object: name to rate, or name to parameters"),
        (None, "faults are an object: name to rate, or name to parameters"),
        ({"nonsense": 1}, f"no fault 'nonsense'; there are {', '.join(FAULTS)}"),
        ({"waf": True}, "waf: a rate from 0 to 1, or an object of parameters"),
        ({"waf": None}, "waf: a rate from 0 to 1, or an object of parameters"),
        ({"waf": "1"}, "waf: a rate from 0 to 1, or an object of parameters"),
        ({"waf": 1.01}, f"waf: rate must be {NUMBER}"),
        ({"waf": -0.1}, f"waf: rate must be {NUMBER}"),
        ({"waf": float("nan")}, f"waf: rate must be {NUMBER}"),
        ({"waf": {"rate": True}}, f"waf: rate must be {NUMBER}"),
        ({"waf": {"rate": None}}, f"waf: rate must be {NUMBER}"),
        ({"waf": {"seconds": 1}}, "waf: no parameter seconds; there are rate, count, operations, customers"),
        ({"slow": {"b": 1, "a": 1}}, "slow: no parameter a, b; there are rate, count, operations, customers, seconds"),
        ({"waf": {"count": -1}}, f"waf: count must be {WHOLE} or null"),
        ({"waf": {"count": 1.5}}, f"waf: count must be {WHOLE} or null"),
        ({"waf": {"count": True}}, f"waf: count must be {WHOLE} or null"),
        ({"waf": {"operations": SUBMIT}}, "waf: operations must be a list of operations or null"),
        ({"waf": {"operations": 5}}, "waf: operations must be a list of operations or null"),
        ({"waf": {"operations": [["a"]]}}, "waf: operations must be a list of operations or null"),
        ({"waf": {"operations": ["x"]}}, "waf: no operation x; there are ordersV2Submit, productsV2Price"),
        ({"waf": {"customers": "DEMO001"}}, "waf: customers must be a list of customer codes or null"),
        ({"waf": {"customers": [1]}}, "waf: customers must be a list of customer codes or null"),
        ({"slow": {"seconds": None}}, f"slow: seconds must be {SECONDS}"),
        ({"slow": {"seconds": -1}}, f"slow: seconds must be {SECONDS}"),
        ({"slow": {"seconds": 1e300}}, f"slow: seconds must be {SECONDS}"),
        ({"slow": {"seconds": "1"}}, f"slow: seconds must be {SECONDS}"),
        ({"drip": {"interval": True}}, f"drip: interval must be {SECONDS}"),
        ({"throttle": {"retry_after": 0.5}}, f"throttle: retry_after must be {WHOLE}"),
        ({"token_error": {"status": 200}}, "token_error: status must be a status from 400 to 599"),
        ({"token_error": {"status": 1_000}}, "token_error: status must be a status from 400 to 599"),
        ({"token_short": {"expires_in": 0.5}}, f"token_short: expires_in must be {WHOLE}"),
        ({"queued": {"listed_after": None}}, f"queued: listed_after must be {SECONDS}"),
        ({"down": {"seconds": "x"}}, f"down: seconds must be {SECONDS} or null"),
        ({"down": {"operations": [SUBMIT]}}, "down: no parameter operations; there are rate, count, seconds"),
        ({"down": {"customers": ["A"]}}, "down: no parameter customers; there are rate, count, seconds"),
        ({"webhook_drop": {"operations": []}}, "webhook_drop: no parameter operations; there are rate, count, customers"),
        ({"webhook_repeat": {"times": 0}}, "webhook_repeat: times must be a whole number from 1 to 100"),
        ({"webhook_burst": {"events": 0}}, "webhook_burst: events must be a whole number from 1 to 2147483647"),
    ],
)
def test_a_wrong_name_or_value_is_told_and_changes_nothing(given: Any, message: str) -> None:
    """What is allowed stands in the message; a right fault beside the wrong one is not taken either."""
    made = faults(garbage=0.5)
    with pytest.raises(FaultError) as caught:
        made.replace(given if not isinstance(given, dict) else {"slow": 1} | given)
    assert message == str(caught.value)
    assert {"garbage": 0.5} == made.given
    assert made.strikes("slow", SUBMIT) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(OPERATIONS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FAULTS, "rate", "count", "seconds"]), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(sorted(FAULTS)),
        json_values
        | st.dictionaries(st.sampled_from(["rate", "count", "operations", "customers", "seconds", "status"]), json_values),
    )
    | json_values
)
def test_whatever_is_given_is_taken_or_told(given: Any) -> None:
    """Nothing but the one error is raised, neither now nor when a request meets the fault."""
    made = Faults(OPERATIONS)
    try:
        made.replace(given)
    except FaultError:
        assert {} == made.given
    else:
        assert given == made.given
        for name in FAULTS:
            made.strikes(name, SUBMIT, "DEMO001")
