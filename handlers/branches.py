"""Branches: `sips.branch.get`, `.items`, `.locations`, `.customer_locations`."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from worker.messaging.topology import QUERIES
from worker.runtime.payload import Code, Gleaned, Id, Identity, Latitude, Longitude, Number, Payload, Result, Whole
from worker.runtime.registry import command
from worker.runtime.spelling import sent_to
from worker.sips import Sips


class BranchRequest(Payload):
    """The branch, by its number: `branchId`, not the code that most commands take."""

    branch_id: Id


class Branch(Gleaned):
    """A branch of SRS."""

    branch_id: str | None = None
    branch_code: str | None = None
    branch_name: str | None = None
    branch_address: str | None = None
    branch_city: str | None = None
    branch_state: str | None = None
    branch_zip: str | None = None
    branch_phone: str | None = None
    branch_fax: str | None = None
    business_hours: str | None = None
    saturday_business_hours: str | None = None
    branch_region: str | None = None
    branch_region_id: str | None = None
    latitude: Number | None = None
    longitude: Number | None = None


class BranchDetails(Result):
    """One branch; `branch` is null where SIPS answers in another form than is known: see `sips.body`."""

    branch_id: str
    branch: Branch | None


@command("sips.branch.get", queue=QUERIES, calls=("branchDetails",))
def get_branch(request: BranchRequest, sips: Sips) -> BranchDetails:
    """A branch's address, hours and region."""
    answer = sips.call("branchDetails", path={"branchId": request.branch_id})
    return BranchDetails(branch_id=request.branch_id, branch=answer.glean(Branch))


class BranchItem(Gleaned):
    """An item that a branch sells, by its item code."""

    item_code: str | None = None
    item_description: str | None = None
    item_full_description: str | None = None
    item_size: str | None = None
    color: str | None = None
    option: str | None = None
    order_unit_of_measure: str | None = None
    alternate_order_unit_of_measure: str | None = None


class BranchItems(Result):
    """A branch's items; `items` is null where SIPS answers in another form than is known: see `sips.body`."""

    branch_id: str
    items: list[BranchItem] | None


@command("sips.branch.items", queue=QUERIES, calls=("branchActiveItems",))
def list_branch_items(request: BranchRequest, sips: Sips) -> BranchItems:
    """Items that a branch sells, with their units."""
    answer = sips.call("branchActiveItems", path={"branchId": request.branch_id})
    return BranchItems(branch_id=request.branch_id, items=answer.glean(list[BranchItem], under="branchItemList"))


class LocationRequest(Payload, alias_generator=sent_to("branchLocations")):
    """Where to look for branches: at one branch, or around a place in degrees. SIPS may want one of them."""

    branch_code: Code | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None

    @model_validator(mode="after")
    def _is_a_place(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("give latitude and longitude, or neither")
        return self

    def identity(self) -> Identity:
        """The branch."""
        return Identity(branch_code=self.branch_code)


class BranchLocation(Gleaned):
    """A branch and what it offers."""

    brand: str | None = None
    branch_code: str | None = None
    branch_name: str | None = None
    address: str | None = None
    city: str | None = None
    state: str | None = None
    zip_code: str | None = None
    phone: str | None = None
    fax: str | None = None
    shipping_methods: list[str] | None = None
    sales_types: list[str] | None = None
    business_hours: str | None = None


class BranchLocations(Result):
    """Branches; `branches` is null where SIPS answers in another form than is known: see `sips.body`."""

    branches: list[BranchLocation] | None


@command("sips.branch.locations", queue=QUERIES, calls=("branchLocations",))
def list_branches(request: LocationRequest, sips: Sips) -> BranchLocations:
    """Branches with their addresses, shipping methods and hours."""
    return BranchLocations(branches=sips.call("branchLocations", query=request.to_query()).glean(list[BranchLocation]))


class CustomerLocationRequest(LocationRequest):
    """The customer whose branches are asked for, and where to look for them."""

    customer_code: Code

    def identity(self) -> Identity:
        """Customer and branch."""
        return Identity(customer_code=self.customer_code, branch_code=self.branch_code)


class JobAccount(Result):
    """An account of the customer at a branch; every order wants its number."""

    job_account_number: Whole | None = None
    job_account_name: str | None = None


class CustomerBranch(Result):
    """A branch that the customer may use."""

    branch_code: str | None = None
    branch_name: str | None = None
    distance_from_ship_to_in_miles: Number | None = None
    job_accounts: list[JobAccount] | None = None


class CustomerBranches(Result):
    """A customer's branches."""

    customer_code: str
    branches: list[CustomerBranch]


@command("sips.branch.customer_locations", queue=QUERIES, calls=("customerBranchLocations",))
def list_customer_branches(request: CustomerLocationRequest, sips: Sips) -> CustomerBranches:
    """Branches that a customer may use, with the job accounts that orders want."""
    path = {"customerCode": request.customer_code}
    answer = sips.call("customerBranchLocations", path=path, query=request.to_query("customer_code"))
    return CustomerBranches(customer_code=request.customer_code, branches=answer.parse(list[CustomerBranch]))
