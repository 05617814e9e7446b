"""The sandbox against SIPS' description: schemathesis makes requests of every operation, right and wrong ones, from its schemas.

The examples follow from the schemas alone, so that a failure is the same for everybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok

from tests.sandbox.calling import Caller
from tests.sandbox.description import DOCUMENT
from worker.sandbox import Sandbox
from worker.sandbox.routes import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.undescribed

#: Operations that refuse some of what the description allows: blank and missing values that SIPS was seen to refuse or that
#: leave nothing to answer, and whole numbers of more than 64 bits.
STRICTER = {
    "ordersV2Submit",
    "ordersSubmitV1",
    "ordersList",
    "deliveriesList",
    "invoicesList",
    "customersValidate",
    "productsPricingV1",
    "productsV2Price",
    "productsV2CatalogByItemCodes",
    "productsV2CatalogConvert",
}

#: What the description does not say of SIPS, so that the sandbox need not be so: which wrong requests are refused (null is as
#: good as nothing, queries are not checked), and what is answered to other methods.
UNDESCRIBED = {"negative_data_rejection", "unsupported_method", "allow_header_conformance"}

DESCRIBED = {
    row.ok().definition.raw["operationId"]: row.ok()
    for row in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
    if isinstance(row, Ok)
}


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    """A caller of a sandbox of this module."""
    with Sandbox() as sandbox, Caller.of(sandbox) as started:
        yield started


def excluded(operation: str) -> list[Any]:
    """The checks that do not hold for an operation."""
    names = UNDESCRIBED | ({"positive_data_acceptance"} if operation in STRICTER else set())
    assert names <= {check.__name__ for check in CHECKS.get_all()}
    return [check for check in CHECKS.get_all() if check.__name__ in names]


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_one_of_the_description(caller: Caller, operation: str, mode: GenerationMode) -> None:
    """Its status is documented, its body has that status's shape, nothing breaks, and nothing is told without a token."""

    @settings(max_examples=8, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=DESCRIBED[operation].as_strategy(generation_mode=mode))
    def answers(case: Any) -> None:
        headers = {"Authorization": f"Bearer {caller.token}"}
        case.call_and_validate(base_url=caller.url, headers=headers, excluded_checks=excluded(operation))

    answers()
