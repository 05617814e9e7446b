"""What in an order SIPS may not take as it is meant: an order in, warnings out; SIPS is not asked.

SIPS takes most orders with a 200 and says nothing of what it does not like, and little of what it wants is public. So what it
is known to refuse is demanded by the payload's model, and all that is only written or reported somewhere is warned of here.
Sources: the portal's example (page submit-order-v2-21007252e0), its order guide (order-flow-1994858m0), and what published
integrations report of QA.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

from worker.runtime.payload import Payload, PayloadWarning, pointer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

    from handlers.order_payload import OrderRequest
    from worker.runtime.payload import Place

__all__ = ["DETAILS", "MAX_WARNINGS", "Shown", "findings", "warnings"]

#: Warnings of one order at most: they are kept with it, and stand in each of its events.
MAX_WARNINGS = 100

#: Characters of an unknown property's name that a pointer shows; one that is longer is told by the object it stands in.
LONGEST_NAME = 100

#: The worker's own properties, in small letters: whatever an order has there is overwritten.
OWN = frozenset({"sourcesystem", "transactionid", "transactiondate"})

#: The job account of the portal's example.
PLACEHOLDER = 1

#: What the portal's example has as the option of a product without any.
NO_OPTION = "N/A"

#: Code of a warning to what SIPS is known to do, and what to send instead.
DETAILS: Mapping[str, str] = {
    "job-account-missing": (
        "SIPS' order guide requires it of every order, though one without it was reported as accepted in QA; "
        "send the number that sips.branch.customer_locations lists for the customer at this branch"
    ),
    "job-account-placeholder": (
        "1 is what SIPS' example has, and orders with it were reported to be queued and dropped without a word; "
        "send the number that sips.branch.customer_locations lists for the customer at this branch"
    ),
    "ship-to-missing": "SIPS' example has it, and no order without it was reported as accepted; send the address of the site",
    "ship-to-sequence-missing": (
        "the order that was reported as accepted in QA has it, SIPS' example has not; "
        "where the customer has several ship-to addresses, send the number that sips.customer.ship_to lists"
    ),
    "line-price": (
        "an order whose price differs from SIPS' own was reported to be dropped without a word, and the order that was reported "
        "as accepted has none; leave it out, unless it is what sips.pricing.fetch answered"
    ),
    "option-not-applicable": (
        'SIPS\' example has "N/A" for a product without options, an integration sends empty text, and for a product with options '
        "it names none of them; send the option that sips.branch.products lists, if it lists any"
    ),
    "state-name": (
        "SIPS' addresses have two letters, and only one contact in an example has a whole name, which the order system behind it "
        "may not read; send the two letters of the state"
    ),
    "date-format": "SIPS' dates are written YYYY-MM-DD, without a time and a zone; send such a date",
    "unknown-property": (
        "no page of SIPS has it, and orders with properties that SIPS does not know were reported to be dropped without a word; "
        "leave it out, unless SRS asked for it"
    ),
    "unknown-value": "SIPS' list of values is not public, and this one was not seen yet; send one of those that were: {values}",
    "unexpected-type": "SIPS' pages show another type here; send {type}",
    "api-version-deprecated": "SIPS' page calls version 1 deprecated; send the order without apiVersion, by product ids",
    "more-warnings": f"there are more places to warn of than the {MAX_WARNINGS} that are told",
}

#: Types of the properties that the models judge alone.
_SCALARS = frozenset({str, int, float, bool})

_IS_OF_TYPE: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """In the annotation of a property that is passed on as given: what was seen of it, which is warned of if it is otherwise.

    Attributes:
        type: its JSON type.
        values: those that were seen of an enumeration; none where it is not one.
    """

    type: str
    values: tuple[str, ...] = ()

    def __get_pydantic_json_schema__(self, schema: CoreSchema, read: GetJsonSchemaHandler) -> JsonSchemaValue:
        """For whoever reads the contract: what was seen, and whether something else is only warned of (`x-warned`)."""
        seen = {"examples": list(self.values)} if self.values else {}
        demanded = read(schema)
        return seen | (demanded or {"type": [self.type, "null"], "x-warned": True})

    def finding(self, place: Place, value: Any) -> Finding | None:
        """What there is to warn of."""
        if not _IS_OF_TYPE[self.type](value):
            return Finding("unexpected-type", place, {"type": "text" if self.type == "string" else f"a JSON {self.type}"})
        if self.values and value and value not in self.values:
            return Finding("unknown-value", place, {"values": ", ".join(self.values)})
        return None


@dataclass(frozen=True, slots=True)
class Finding:
    """One warning before it is written: its code, its place, and what its text needs."""

    code: str
    place: Place
    words: Mapping[str, str] | None = None

    @property
    def detail(self) -> str:
        """The sentence."""
        detail = DETAILS[self.code]
        return detail if self.words is None else detail.format(**self.words)


def warnings(order: OrderRequest) -> list[PayloadWarning]:
    """The warnings of an order, up to `MAX_WARNINGS`."""
    found = list(itertools.islice(findings(order), MAX_WARNINGS + 1))
    if len(found) > MAX_WARNINGS:
        found[MAX_WARNINGS:] = [Finding("more-warnings", ())]
    return [PayloadWarning(code=one.code, pointer=pointer(one.place), detail=one.detail) for one in found]


def findings(order: OrderRequest) -> Iterator[Finding]:
    """Everything that there is to warn of, in the order of the payload's parts."""
    if order.api_version == 1:
        yield Finding("api-version-deprecated", ("apiVersion",))
    else:
        yield from _job_account(order)
    if order.ship_to_sequence_number is None:
        yield Finding("ship-to-sequence-missing", ("shipToSequenceNumber",))
    if order.ship_to is None:
        yield Finding("ship-to-missing", ("shipTo",))
    yield from _dates(order)
    yield from _states(order)
    yield from _lines(order)
    yield from _unlike_what_was_seen(order, ())


def _job_account(order: OrderRequest) -> Iterator[Finding]:
    number = getattr(order, "job_account_number", None)
    if number is None:
        yield Finding("job-account-missing", ("jobAccountNumber",))
    elif number in {PLACEHOLDER, str(PLACEHOLDER)} if isinstance(number, int | float | str) else False:
        yield Finding("job-account-placeholder", ("jobAccountNumber",))


def _dates(order: OrderRequest) -> Iterator[Finding]:
    details = order.po_details
    for name, value in (("orderDate", details.order_date), ("expectedDeliveryDate", details.expected_delivery_date)):
        if isinstance(value, str) and value and not _is_day(value):
            yield Finding("date-format", ("poDetails", name))


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _states(order: OrderRequest) -> Iterator[Finding]:
    contact = order.customer_contact_info.customer_contact_address
    addresses = {("shipTo",): order.ship_to, ("customerContactInfo", "customerContactAddress"): contact}
    if (bill_to := getattr(order, "bill_to", None)) is not None:
        addresses["billTo",] = bill_to
    for place, address in addresses.items():
        state = None if address is None else address.state
        if isinstance(state, str) and state and not (len(state) == 2 and state.isalpha()):  # noqa: PLR2004 - as in NY
            yield Finding("state-name", (*place, "state"))


def _lines(order: OrderRequest) -> Iterator[Finding]:
    for number, line in enumerate(order.order_line_item_details):
        place = ("orderLineItemDetails", number)
        if line.price is not None:
            yield Finding("line-price", (*place, "price"))
        if line.option == NO_OPTION:
            yield Finding("option-not-applicable", (*place, "option"))


def _unlike_what_was_seen(part: Payload, place: Place) -> Iterator[Finding]:
    """Properties, types and values that nobody has seen, at every level."""
    values = vars(part)  # a hundred properties of an order are looked at
    for attribute, name, shown, plain in _properties(type(part)):
        value = values[attribute]
        if value is None or value.__class__ is plain:
            continue
        if shown is not None:
            if (finding := shown.finding((*place, name), value)) is not None:
                yield finding
        elif isinstance(value, Payload):
            yield from _unlike_what_was_seen(value, (*place, name))
        elif isinstance(value, list):
            for number, item in enumerate(value):
                yield from _unlike_what_was_seen(item, (*place, name, number))
    for name in part.model_extra or ():
        if place or name.casefold() not in OWN:
            yield Finding("unknown-property", (*place, name) if len(name) <= LONGEST_NAME else place)


@functools.cache
def _properties(model: type[Payload]) -> list[tuple[str, str, Shown | None, type | None]]:
    """Of each property that there is something to say of: attribute, name, what was seen, and the class that is all right.

    Most values are of that class, and nothing else is asked of them.
    """
    found: list[tuple[str, str, Shown | None, type | None]] = []
    for attribute, field in model.model_fields.items():
        shown = next((item for item in field.metadata if isinstance(item, Shown)), None)
        if shown is not None:
            found.append((attribute, to_camel(attribute), shown, str if shown == Shown("string") else None))
        elif field.annotation not in _SCALARS:
            found.append((attribute, to_camel(attribute), None, None))
    return found
