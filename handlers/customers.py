"""Customers: `sips.customer.get`, `.validate`, `.nearest_branch`, `.ship_to`, `.templates`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from worker.messaging.topology import QUERIES
from worker.runtime.payload import ApiVersion, Code, Day, Gleaned, Id, Identity, Number, Payload, Result, Text, Whole
from worker.runtime.registry import command
from worker.runtime.spelling import read_from
from worker.sips import Sips


class CustomerRequest(Payload):
    """The customer that is asked for."""

    customer_code: Code

    def identity(self) -> Identity:
        """The customer."""
        return Identity(customer_code=self.customer_code)


class Customer(Result):
    """A customer of SRS."""

    customer_id: Whole | None = None
    customer_key: str | None = None
    customer_code: str | None = None
    customer_name: str | None = None
    address_line1: str | None = None
    address_line2: str | None = None
    address_line3: str | None = None
    city: str | None = None
    state: str | None = None
    zip_code: str | None = None
    phone: str | None = None
    fax: str | None = None
    home_branch: str | None = None
    home_branch_id: str | None = None
    non_saleable_indicator: str | None = None


@command("sips.customer.get", queue=QUERIES, calls=("customerDetails",))
def get_customer(request: CustomerRequest, sips: Sips) -> Customer:
    """A customer's name, address and home branch."""
    return sips.call("customerDetails", path={"customerCode": request.customer_code}).parse(Customer)


class ValidationRequest(Payload):
    """The account to check, and what proves that it is one's own: an invoice with its date or amount, or a key of Roof Hub."""

    account_number: Code = Field(validation_alias=AliasChoices("accountNumber", "customerIdentifier"))
    invoice_number: Id | None = None
    invoice_date: Day | None = None
    billed_amount: Id | None = None
    integration_key: Text | None = None

    def identity(self) -> Identity:
        """The customer, whose code is the account number."""
        return Identity(customer_code=self.account_number)


#: What SIPS says to it: "Y" or "N"; one page of its portal shows true and false.
INDICATORS = {"Y": True, "TRUE": True, "N": False, "FALSE": False}


def _says_yes(value: Any) -> bool:
    said = str(value).strip().upper()
    if said not in INDICATORS:
        raise ValueError("Input should be Y or N")
    return INDICATORS[said]


class Validation(Result, alias_generator=read_from("customersValidate")):
    """Whether the account is a current customer's; only then go on with it."""

    valid: Annotated[bool, BeforeValidator(_says_yes)]
    customer_id: Whole | None = None
    account_number: str | None = None
    customer_name: str | None = None
    home_branch_id: str | None = None
    customer_address1: str | None = None
    customer_address2: str | None = None
    customer_address3: str | None = None
    customer_city: str | None = None
    customer_state: str | None = None
    customer_zip_code: str | None = None
    customer_phone: str | None = None


@command("sips.customer.validate", queue=QUERIES, calls=("customersValidate",))
def validate_customer(request: ValidationRequest, sips: Sips) -> Validation:
    """Whether an account is a current customer of SRS."""
    return sips.call("customersValidate", query=request.to_query()).parse(Validation)


class NearestBranchRequest(CustomerRequest):
    """The customer, and which of its ship-to addresses."""

    ship_to_sequence_number: Whole | None = None


class EligibleBranch(Gleaned):
    """A branch that the customer may buy from."""

    branch_id: str | None = None
    branch_code: str | None = None


class EligibleBranches(Result):
    """The nearest ones; `branches` is null where SIPS answers in another form than is known: see `sips.body`."""

    customer_code: str
    branches: list[EligibleBranch] | None


@command("sips.customer.nearest_branch", queue=QUERIES, calls=("nearestEligibleBranch",))
def find_nearest_branch(request: NearestBranchRequest, sips: Sips) -> EligibleBranches:
    """The nearest branch that a customer may buy from."""
    path = {"customerCode": request.customer_code}
    answer = sips.call("nearestEligibleBranch", path=path, query=request.to_query("customer_code"))
    return EligibleBranches(customer_code=request.customer_code, branches=answer.glean(list[EligibleBranch], under="branchList"))


class ShipTo(Gleaned):
    """An address of a customer, and the number by which orders name it."""

    ship_to_id: Whole | None = None
    ship_to_sequence_id: Whole | None = None
    address_line1: str | None = None
    address_line2: str | None = None
    address_line3: str | None = None
    city: str | None = None
    state: str | None = None
    zip_code: str | None = None


class ShipToList(Result):
    """A customer's addresses; `ship_tos` is null where SIPS answers in another form than is known: see `sips.body`."""

    customer_code: str
    ship_tos: list[ShipTo] | None


@command("sips.customer.ship_to", queue=QUERIES, calls=("shipToAddresses",))
def list_ship_tos(request: CustomerRequest, sips: Sips) -> ShipToList:
    """Addresses that a customer's orders go to."""
    answer = sips.call("shipToAddresses", path={"customerCode": request.customer_code})
    return ShipToList(customer_code=request.customer_code, ship_tos=answer.glean(list[ShipTo], under="shipToList"))


class TemplatesRequest(CustomerRequest):
    """The customer, and which version of the operation is called."""

    api_version: ApiVersion = 2


class TemplateProduct(Result, alias_generator=read_from("orderTemplatesV2")):
    """One product of a template; what its options are is not known."""

    product_id: Whole | None = None
    default_uom: str | None = None
    product_category: str | None = None
    product_web_name: str | None = None
    product_options: Any = None
    quantity: Number | None = None
    waste_factor: Number | None = None
    user_sort: Whole | None = None


class Template(Result):
    """An order that was kept in Roof Hub to be made again."""

    template_id: str | None = None
    name: str | None = None
    description: str | None = None
    instructions_to_branch: str | None = None
    products: list[TemplateProduct] | None = None


class TemplateList(Result):
    """A customer's templates."""

    customer_code: str
    templates: list[Template]


@command("sips.customer.templates", queue=QUERIES, calls=("orderTemplatesV2", "orderTemplatesV1"))
def list_templates(request: TemplatesRequest, sips: Sips) -> TemplateList:
    """Order templates that a customer keeps in Roof Hub."""
    answer = sips.call(f"orderTemplatesV{request.api_version}", path={"customerCode": request.customer_code})
    return TemplateList(customer_code=request.customer_code, templates=answer.parse(list[Template]))
