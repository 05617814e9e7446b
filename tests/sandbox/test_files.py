"""Documents and lists of products, as small as they come and as large as is asked for."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.sandbox.calling import order
from worker.sandbox.data import PRODUCTS
from worker.sandbox.files import MIB, pdf
from worker.sandbox.products import product_list
from worker.sandbox.state import EXAMPLE_ORDER_ID

if TYPE_CHECKING:
    from tests.sandbox.calling import Caller, Control

INVOICE = "/invoices/0019073403-001/pdf"
CATALOG, AT_BRANCH = "/products/v2/catalog", "/branches/v2/activeBranchProducts/BRRIV"


@pytest.mark.parametrize(("operation", "path"), [("productsV2Catalog", CATALOG), ("activeBranchProducts", AT_BRANCH)])
def test_a_list_of_products_is_as_large_as_is_wanted(sips: Caller, control: Control, operation: str, path: str) -> None:
    """All of it whole, and over and over again."""
    once = sips.call("GET", path).body
    control.set_faults(large={"mib": 1.5, "operations": [operation]})
    answer = sips.call("GET", path)
    assert 1.5 * MIB <= len(answer.raw) < 1.51 * MIB
    assert once * (len(answer.body) // len(PRODUCTS)) == answer.body


def test_an_invoice_is_a_document_that_readers_can_open(sips: Caller, control: Control) -> None:
    """Each object stands where the table says."""
    for mib in (0, 1.5):
        control.set_faults(large={"mib": mib})
        answer = sips.call("GET", INVOICE)
        assert (200, "application/pdf") == (answer.status, answer.headers["content-type"])
        assert mib * MIB <= len(answer.raw) < (mib + 0.01) * MIB
        assert answer.raw.startswith(b"%PDF-1.4\n")
        assert answer.raw.endswith(b"%%EOF\n")
        table = int(re.findall(rb"startxref\n(\d+)", answer.raw)[0])
        file = io.BytesIO(answer.raw)
        places = [int(place) for place in re.findall(rb"(\d{10}) 00000 n", answer.raw[table:])]
        for number, place in enumerate(places, start=1):
            file.seek(place)
            assert b"%d 0 obj\n" % number == file.readline()
        assert (3, True) == (len(places), answer.raw[table:].startswith(b"xref\n0 4\n"))
    assert 404 == sips.call("GET", "/invoices/8123/pdf").status


def test_a_proof_of_delivery_is_a_link(sips: Caller) -> None:
    """Of the documented order, and of one that was placed."""
    placed = sips.call("POST", "/orders/v2/Submit", order()).body["orderID"]
    for order_id in (EXAMPLE_ORDER_ID, placed):
        answer = sips.call("GET", f"/orders/{order_id}/proofOfDelivery")
        assert [f"proof-{order_id}.pdf"] == [document["fileName"] for document in answer.body["documents"]]


def test_nothing_of_a_title_can_break_a_document() -> None:
    """It stands in a comment, and the number of an invoice is anybody's text."""
    assert b"\nInjected" not in pdf("8123\nInjected", 0)


def test_a_list_of_no_size_is_a_short_one() -> None:
    """And one of a size is never shorter."""
    assert len(PRODUCTS) == len(orjson.loads(product_list(0))) <= len(orjson.loads(product_list(0.0001)))
