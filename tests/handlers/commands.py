"""Every command with what it is asked and what SIPS answers: a row for each, and for each version of one that has two."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import handlers
from tests.acceptance.conftest import example
from tests.handlers.conftest import FILES, SUBMISSION
from tests.handlers.test_deliveries import ROW
from worker.runtime.registry import registry
from worker.sandbox.files import pdf, proofs

if TYPE_CHECKING:
    from worker.runtime.payload import Payload, Result
    from worker.runtime.registry import Handler
    from worker.sips import Sips

assert handlers.__all__  # importing it registers the handlers


@dataclass(frozen=True)
class Case:
    """A payload, the operation that it is answered by, and answers of it.

    Attributes:
        payload: as a service would publish it: documented where SIPS documents a request.
        answers: documented, or with the properties that the description infers.
        asks, tells: the documented examples, by name, that the payload and the answers hold.
        lost: values of the answers that the result leaves to `sips.body`.
    """

    type: str
    operation: str
    payload: dict[str, Any]
    answers: list[Any]
    asks: tuple[str, ...] = ()
    tells: tuple[str, ...] = ()
    lost: frozenset[str] = field(default_factory=frozenset)

    def __str__(self) -> str:
        return f"{self.type}-{self.operation}"

    @property
    def handler(self) -> Handler:
        """The command's handler."""
        handler = registry.find(self.type)
        assert handler
        return handler

    def valid(self, **changes: Any) -> Payload:
        """The payload as its model, with some properties changed."""
        return self.handler.payload.model_validate(self.payload | changes)

    def run(self, sips: Sips) -> Result:
        """What the handler returns."""
        more = [SUBMISSION] if self.handler.changes else [FILES] if self.handler.keeps_files else []
        return self.handler.run(self.valid(), sips, *more)


def documented(command_type: str, operation: str, asks: str | dict[str, Any], tells: str, **more: Any) -> Case:
    """A case of documented examples; `more` is what a payload holds beside the example."""
    payload = example(asks) if isinstance(asks, str) else asks
    asked = (asks,) if isinstance(asks, str) else ()
    return Case(command_type, operation, payload | more, [example(tells)], asked, (tells,))


#: An order as the description infers it.
ORDER = {
    "orderId": 35818786,
    "orderStatus": "Open",
    "orderDate": "2021-04-12",
    "customerCode": "DEMO001",
    "branchCode": "BRRIV",
    "shipToSequenceNumber": 1,
    "PONumber": "5641-8",
    "jobNumber": "7GP",
}

ADDRESS = {
    "addressLine1": "1 A",
    "addressLine2": "2 B",
    "addressLine3": "3 C",
    "city": "PATCHOGUE",
    "state": "NY",
    "zipCode": "11772",
}

BRANCH = {
    "branchId": 3,
    "branchCode": "BRRIV",
    "branchName": "SANDBOX",
    "branchAddress": "3 Street",
    "branchCity": "Riverhead",
    "branchState": "NY",
    "branchZip": "00003",
    "branchPhone": "9876543210",
    "branchFax": "9876543211",
    "businessHours": "7-17",
    "saturdayBusinessHours": "8-12",
    "branchRegion": "East",
    "branchRegionId": 9,
    "latitude": 40.92,
    "longitude": -72.66,
}

LOCATION = {
    "brand": "Sandbox Supply",
    "branchCode": "HWPLY",
    "branchName": "SANDBOX",
    "address": "202 Street",
    "city": "Plymouth",
    "state": "MA",
    "zipCode": "00202",
    "phone": "9876543210",
    "fax": "9876543211",
    "shippingMethods": ["Ground Drop", "Roof Load"],
    "salesTypes": ["WHSE"],
    "businessHours": "7-17",
}

ITEM = {
    "itemCode": "TARMS300",
    "itemDescription": "TARCO MS300",
    "itemFullDescription": "Tarco MS300 Leakbarrier",
    "itemSize": "2 SQ",
    "color": "Black",
    "option": "N/A",
    "orderUnitOfMeasure": "RL",
    "alternateOrderUnitOfMeasure": "PAL",
}

#: A product as the description infers it.
PRODUCT = {
    "productId": 6706,
    "productName": "GAF Timberline Shingles",
    "productImageUrl": None,
    "productOptions": ["Barkwood"],
    "productVariant": [{"colorName": "Barkwood", "selectedOption": "Barkwood", "defaultUOM": "SQ", "uoMs": ["SQ", "BD"]}],
}

#: A document as JSON may hold it.
PDF = base64.b64encode(pdf("", 0)).decode()

#: What an order of version 1 holds beside what could be read of its documented example.
REST_OF_V1 = {
    "apiVersion": 1,
    "orderLineItemDetails": [{"itemCode": "TARMS300", "quantity": 2, "UOM": "RL", "customerItem": "x"}],
    "customerContactInfo": example("ordersV2Submit.request")["customerContactInfo"],
}

CASES = (
    Case(
        "sips.order.submit",
        "ordersV2Submit",
        example("ordersV2Submit.request"),
        [
            example("ordersV2Submit.sync.response") | {"transactionID": SUBMISSION.transaction_id},
            example("ordersV2Submit.queued.inferred.response") | {"transactionID": SUBMISSION.transaction_id},
        ],
        ("ordersV2Submit.request",),
        ("ordersV2Submit.sync.response", "ordersV2Submit.queued.inferred.response"),
        frozenset({"Order Submitted", "Order Queued", "00000000-0000-4000-8000-000000000001"}),
    ),
    Case(
        "sips.order.submit",
        "ordersV2Submit",
        example("ordersV2Submit.field.request"),
        [{"message": "Order Submitted", "orderID": "35818786", "queueID": None}],
        ("ordersV2Submit.field.request",),
        lost=frozenset({"Order Submitted"}),
    ),
    Case(
        "sips.order.submit",
        "ordersSubmitV1",
        example("ordersSubmitV1.partial.request") | REST_OF_V1,
        [{"message": "Order Submitted", "orderID": "35818786", "queueID": None}],
        ("ordersSubmitV1.partial.request",),
        lost=frozenset({"Order Submitted"}),
    ),
    Case("sips.order.get", "orderDetails", {"orderId": "35818786"}, [ORDER]),
    Case(
        "sips.order.list",
        "ordersList",
        example("ordersList.request"),
        [{"orderList": [ORDER, ORDER]}],
        ("ordersList.request",),
        lost=frozenset({"1"}),
    ),
    Case("sips.delivery.get", "deliveryDetails", {"orderId": "35818786"}, [{"deliveryList": [ROW, ROW]}]),
    Case("sips.delivery.list", "deliveriesList", {"customerCode": "DEMO001", "limit": 9}, [{"deliveryList": [ROW, ROW]}]),
    Case(
        "sips.delivery.locate",
        "deliveryCoordinates",
        {"orderId": "35818786"},
        [{"orderId": 35818786, "status": "En Route", "latitude": 40.92, "longitude": -72.66}],
    ),
    Case(
        "sips.delivery.proof",
        "proofOfDelivery",
        {"orderId": "35818786"},
        [proofs(35818786), {"documents": []}, {"documents": [{"fileName": "a.pdf", "pdf": PDF}]}],
    ),
    documented("sips.invoice.get", "invoiceDetails", {"invoiceNumber": "0019073403-001"}, "invoiceDetails.partial.response"),
    documented("sips.invoice.list", "invoicesList", "invoicesList.request", "invoicesList.partial.response"),
    Case(
        "sips.invoice.pdf",
        "invoicePdf",
        {"invoiceNumber": "0019073403-001"},
        [{"pdf": PDF}, {"fileName": "a.pdf", "pdf": PDF}],
    ),
    documented("sips.customer.get", "customerDetails", {"customerCode": "DEMO001"}, "customerDetails.response"),
    documented(
        "sips.customer.validate", "customersValidate", "customersValidate.legacyGuide.request", "customersValidate.response"
    ),
    Case(
        "sips.customer.nearest_branch",
        "nearestEligibleBranch",
        {"customerCode": "DEMO001", "shipToSequenceNumber": 1},
        [{"branchList": [{"branchId": 3, "branchCode": "BRRIV"}]}],
    ),
    Case(
        "sips.customer.ship_to",
        "shipToAddresses",
        {"customerCode": "DEMO001"},
        [{"shipToList": [{"shipToId": 7, "shipToSequenceId": 1} | ADDRESS]}],
    ),
    documented(
        "sips.customer.templates", "orderTemplatesV2", {"customerCode": "DEMO001"}, "customersV2OrderTemplates.partial.response"
    ),
    documented(
        "sips.customer.templates",
        "orderTemplatesV1",
        {"customerCode": "DEMO001", "apiVersion": 1},
        "customersV2OrderTemplates.partial.response",
    ),
    documented("sips.pricing.fetch", "productsV2Price", "productsV2Price.request", "productsV2Price.response"),
    documented("sips.pricing.fetch", "productsV2Price", "productsV2Price.introGuide.request", "productsV2Price.response"),
    documented(
        "sips.pricing.fetch", "productsPricingV1", "productsPricingV1.request", "productsPricingV1.response", apiVersion=1
    ),
    Case("sips.product.catalog", "productsV2Catalog", {}, [[PRODUCT, PRODUCT]]),
    documented(
        "sips.product.by_item_codes",
        "productsV2CatalogByItemCodes",
        "productsV2CatalogByItemCodes.request",
        "productsV2CatalogByItemCodes.partial.response",
        branchCode="BRRIV",
    ),
    documented(
        "sips.product.convert",
        "productsV2CatalogConvert",
        "productsV2CatalogConvert.request",
        "productsV2CatalogConvert.response",
    ),
    Case("sips.product.colors", "colorRecommendations", {"productId": 6706}, [[]]),
    documented("sips.product.units", "uomConversion", {"itemCode": "TARMS300"}, "productsUOMConversion.partial.response"),
    Case("sips.branch.get", "branchDetails", {"branchId": 3}, [BRANCH]),
    Case("sips.branch.items", "branchActiveItems", {"branchId": "3"}, [{"branchItemList": [ITEM]}]),
    Case("sips.branch.products", "activeBranchProducts", {"branchCode": "BRRIV"}, [[PRODUCT]]),
    Case("sips.branch.locations", "branchLocations", {"branchCode": "HWPLY"}, [[LOCATION]]),
    documented(
        "sips.branch.customer_locations",
        "customerBranchLocations",
        {"customerCode": "DEMO001", "branchCode": "HWPLY", "latitude": 40.9, "longitude": -72},
        "branchesV2CustomerBranchLocations.guide.response",
    ),
)
