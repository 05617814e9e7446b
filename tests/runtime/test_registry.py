"""The registry of handlers."""

from __future__ import annotations

import pytest

import handlers
from worker.messaging.topology import BULK, CONTROL, ORDERS, QUERIES
from worker.runtime.payload import Payload, Result
from worker.runtime.registry import Registry, command, registry
from worker.sips import Sips


class Question(Payload):
    """A payload."""

    text: str


class Reply(Result):
    """A result."""

    text: str


def answer(question: Question, _sips: Sips) -> Reply:
    """Answer a question.

    At length.
    """
    return Reply(text=question.text)


def test_a_decorated_function_is_the_handler_of_its_command() -> None:
    """Models come from the annotations, the summary from the docstring."""
    own = Registry()

    command("sips.question.ask", queue=QUERIES, into=own)(answer)

    handler = own.find("sips.question.ask")
    assert handler
    assert (QUERIES, Question, Reply, (Sips,), False, "Answer a question.") == (
        handler.queue,
        handler.payload,
        handler.result,
        handler.ports,
        handler.changes,
        handler.summary,
    )
    assert {"sips.question.ask": QUERIES} == own.bindings()


def test_a_type_has_one_handler() -> None:
    """Two would make it a matter of luck."""
    own = Registry()
    command("sips.question.ask", queue=QUERIES, into=own)(answer)

    with pytest.raises(ValueError, match=r"two handlers for sips\.question\.ask"):
        command("sips.question.ask", queue=QUERIES, into=own)(answer)


def test_a_handler_names_a_queue_that_exists() -> None:
    """Else its commands would go nowhere."""
    with pytest.raises(ValueError, match="which is no work queue"):
        command("sips.question.ask", queue="sips.nowhere", into=Registry())(answer)


def test_a_handler_is_annotated_with_its_models() -> None:
    """The models are the contract."""

    def bare(question: str, _sips: Sips) -> Reply:
        return Reply(text=question)

    with pytest.raises(TypeError, match="must be annotated with a subclass of Payload"):
        command("sips.question.ask", queue=QUERIES, into=Registry())(bare)


def test_a_handler_that_changes_something_tells_of_an_order() -> None:
    """The ledger must know what became of it."""
    with pytest.raises(TypeError, match="must be annotated with a subclass of OrderResult"):
        command("sips.question.ask", queue=ORDERS, changes=True, into=Registry())(answer)


def test_a_handler_calls_what_sips_has() -> None:
    """Else its commands would all end in a fault."""
    with pytest.raises(ValueError, match=r"sips\.question\.ask calls askQuestion, which SIPS does not have"):
        command("sips.question.ask", queue=QUERIES, calls=("ordersList", "askQuestion"), into=Registry())(answer)


def test_importing_the_handlers_registers_them() -> None:
    """What changes something, what must never wait and what answers with files have queues of their own; all else reads."""
    assert handlers.__all__

    special = {"sips.order.submit": ORDERS, "sips.order.withdraw": CONTROL, "sips.watch.cancel": CONTROL}
    reads = [handler for handler in registry if not handler.changes and Sips in handler.ports]
    reading = {handler.type: BULK if handler.keeps_files else QUERIES for handler in reads}
    assert special | reading == registry.bindings()
    assert (QUERIES, BULK) == (reading["sips.pricing.fetch"], reading["sips.product.catalog"])
