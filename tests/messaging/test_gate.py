"""Gates."""

from __future__ import annotations

from worker.messaging.gate import Gate


def test_a_gate_is_open_until_it_has_a_reason_and_again_when_the_last_is_gone() -> None:
    """Reasons are a set: each is taken away by itself."""
    gate = Gate("sips.orders")
    changes: list[frozenset[str]] = []
    gate.on_change(lambda: changes.append(gate.reasons))

    gate.close("a")
    gate.close("b")
    gate.close("b")
    gate.open("a")
    assert frozenset({"b"}) == gate.reasons
    gate.open("b")
    gate.open("b")

    assert gate.is_open
    assert [frozenset({"a"}), frozenset()] == changes
