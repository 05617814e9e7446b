"""The look before an order is sent again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self, cast

import pytest

from tests.orders import CUSTOMER, Rows, empty_store
from worker.runtime.decisions import Decision, DecisionError, Signature, abandon, look_once_more, refuse, resubmit
from worker.runtime.lookup import Lookup
from worker.sandbox import Sandbox
from worker.settings import Settings
from worker.sips import Deadline, Sips, SipsClient
from worker.store.controls import Controls
from worker.store.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.sips.models import OrderListAnswer
    from worker.store.engine import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with empty_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def rows(store: Store) -> Rows:
    """Makes orders."""
    return Rows(Ledger(store))


def test_outside_the_sandbox_absence_counts_only_after_a_control_look(rows: Rows, store: Store) -> None:
    """A list that was never seen to work proves nothing."""
    with Sandbox() as sandbox:
        settings = Settings(_env_file=None, sips_base_url=sandbox.url).model_copy(update={"sips_environment": "qa"})
        sips = Sips(SipsClient(settings), Deadline.after(30))
        lookup = Lookup(rows.ledger, Controls(store), settings)
        order = rows.unresolved("c-1")

        with pytest.raises(DecisionError, match="its list was never checked"):
            look_once_more(lookup, sips, order)

        Controls(store).add(sandbox.url, "PO-7")
        look_once_more(lookup, sips, order)


class Listing:
    """A SIPS whose list shows transaction ids, as the sandbox's does not."""

    def __init__(self, *rows: dict[str, str]) -> None:
        self._rows = rows

    def call(self, _operation: str, **_parameters: object) -> Self:
        """The answer to any call."""
        return self

    def parse(self, model: type[OrderListAnswer]) -> OrderListAnswer:
        """The same list each time."""
        return model.model_validate({"orderList": self._rows})


def test_an_order_that_an_earlier_run_placed_is_found(rows: Rows, store: Store) -> None:
    """SIPS lists late: what run 1 sent may appear after run 2 ended in doubt as well."""
    first = rows.unresolved("c-1")
    listed = {"orderId": "7", "customerCode": CUSTOMER, "PONumber": first.po_number, "transactionID": first.transaction_id}
    second = rows.unresolve(rows.doubted(rows.taken(resubmit(rows.ledger, first, Signature("anna")))))
    lookup = Lookup(rows.ledger, Controls(store), Settings(_env_file=None, sips_base_url=rows.base_url))

    with pytest.raises(DecisionError, match="SIPS lists the order after all, as 7: "):
        look_once_more(lookup, cast("Sips", Listing(listed)), second)


def test_a_decision_about_an_order_that_moved_meanwhile_changes_nothing(rows: Rows) -> None:
    """The first of two people wins, and the second is told."""
    order = rows.unresolved("c-1")
    abandon(rows.ledger, order, Signature("anna"))

    with pytest.raises(DecisionError, match="the order is not unresolved any more"):
        resubmit(rows.ledger, order, Signature("bob"))

    assert "anna" in (rows.again(order).resolution or "")


def test_an_order_whose_payload_was_emptied_cannot_be_sent_again(rows: Rows) -> None:
    """But everything else can be decided."""
    order = replace(rows.unresolved("c-1"), payload=None)

    assert "payload was emptied" in (refuse(order, Decision.RESUBMIT) or "")
    assert refuse(order, Decision.ABANDONED) is None
