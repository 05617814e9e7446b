"""`sips.customer.…`: what is particular to them beside what holds for every command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from handlers.customers import CustomerRequest, Validation, ValidationRequest, get_customer, validate_customer
from tests.acceptance.conftest import example
from worker.runtime.payload import Identity
from worker.sips import Unreadable
from worker.sips.errors import NotFound

if TYPE_CHECKING:
    from tests.handlers.conftest import Scripted
    from worker.sips import Sips


def validated(scripted: Scripted, indicator: Any) -> bool:
    """Whether a customer is valid by what SIPS says."""
    body = example("customersValidate.response") | {"validIndicator": indicator}
    result = validate_customer(ValidationRequest.model_validate({"accountNumber": "A"}), scripted.answers(body))
    assert isinstance(result, Validation)
    return result.valid


@pytest.mark.parametrize(
    ("indicator", "valid"), [("Y", True), ("y ", True), (True, True), ("true", True), ("N", False), (False, False)]
)
def test_an_indicator_is_a_letter_or_a_boolean(scripted: Scripted, indicator: Any, valid: bool) -> None:
    """The pages of the portal disagree."""
    assert valid == validated(scripted, indicator)


@pytest.mark.parametrize("indicator", ["", "X", None, 1, 0, [], {}, "Yes"])
def test_nobody_is_valid_by_anything_else(scripted: Scripted, indicator: Any) -> None:
    """An order would be placed on the strength of it."""
    with pytest.raises(Unreadable, match="shape at /validIndicator"):
        validated(scripted, indicator)


def test_proofs_of_ownership_go_into_the_query(scripted: Scripted) -> None:
    """As they were given, whole numbers and fractions too; what is not given is left out."""
    payload = {
        "accountNumber": "STO 1170",
        "invoiceNumber": "0019073403-001",
        "invoiceDate": "2020-09-22",
        "billedAmount": 3353.83,
        "integrationKey": "k&y",
        "brandNew": 1,
    }
    request = ValidationRequest.model_validate(payload)
    validate_customer(request, scripted.answers(example("customersValidate.response")))
    assert (
        "/customers/validate/?accountNumber=STO%201170&invoiceNumber=0019073403-001&invoiceDate=2020-09-22"
        "&billedAmount=3353.83&integrationKey=k%26y"
    ) == scripted.received[-1].target
    assert Identity(customer_code="STO 1170") == request.identity()


def test_a_customer_that_sips_does_not_have_is_not_found(sips: Sips) -> None:
    """This path is documented, so a 404 speaks of the customer."""
    with pytest.raises(NotFound):
        get_customer(CustomerRequest(customer_code="NOBODY"), sips)
