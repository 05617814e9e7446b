"""`sips.branch.…`: what is particular to them beside what holds for every command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from handlers.branches import CustomerLocationRequest, LocationRequest, list_branches, list_customer_branches
from worker.runtime.outcomes import invalid_payload

if TYPE_CHECKING:
    from tests.handlers.conftest import Scripted
    from worker.sips import Sips


@pytest.mark.parametrize(
    ("place", "query"),
    [
        ({}, ""),
        ({"branchCode": "A&B"}, "?BranchCode=A%26B"),
        ({"BranchCode": "A"}, "?BranchCode=A"),
        ({"latitude": 40.5, "longitude": -72}, "?latitude=40.5&longitude=-72.0"),
        ({"branchCode": None, "brandNew": 1}, ""),
    ],
)
def test_a_place_goes_into_the_query(scripted: Scripted, place: dict[str, Any], query: str) -> None:
    """As SIPS spells it; what is not known has no body to go into."""
    list_branches(LocationRequest.model_validate(place), scripted.answers([]))
    assert f"/branches/v2/branchLocations{query}" == scripted.received[-1].target
    list_customer_branches(CustomerLocationRequest.model_validate(place | {"customerCode": "C"}), scripted.answers([]))
    assert f"/branches/v2/customerBranchLocations/C{query}" == scripted.received[-1].target


@pytest.mark.parametrize(
    ("place", "pointer"),
    [
        ({"latitude": 40}, ""),
        ({"longitude": 40}, ""),
        ({"latitude": 91, "longitude": 0}, "/latitude"),
        ({"latitude": 0, "longitude": -181}, "/longitude"),
        ({"latitude": True, "longitude": 0}, "/latitude"),
    ],
)
def test_a_place_that_is_none_is_refused(place: dict[str, Any], pointer: str) -> None:
    """Half a place would find the branches of another."""
    with pytest.raises(ValidationError) as caught:
        LocationRequest.model_validate(place)
    assert [pointer] == [fault["pointer"] for fault in invalid_payload(caught.value).errors]


def test_job_accounts_are_told_by_branch(sips: Sips) -> None:
    """Every order wants the number of one."""
    branches = list_customer_branches(CustomerLocationRequest(customer_code="DEMO001"), sips).model_dump()["branches"]
    assert {"BRRIV": [1], "HWPLY": [89, 90]} == {
        branch["branchCode"]: [account["jobAccountNumber"] for account in branch["jobAccounts"]] for branch in branches
    }
