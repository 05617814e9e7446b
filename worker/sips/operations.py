"""The one table of SIPS' operations: method, path, whether it changes something, and how sure the path is.

Taken from the independent description of SIPS (`tests/data/sips/openapi.yaml`), which a test compares with this table.
A further operation is one further row; names that SIPS spells otherwise than we do stand in `worker.sips.names`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

from worker.settings import SettingsError
from worker.sips.errors import UnsafePath

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OPERATIONS", "Confidence", "Kind", "Operation", "resolve", "resolve_all"]

#: The public portal that `Operation.page` is a page of.
PORTAL = "https://apidocs.roofhub.pro"

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


class Kind(StrEnum):
    """Whether a repeat of the operation does harm."""

    READ = "read"
    MUTATION = "mutation"


class Confidence(StrEnum):
    """Where the path of an operation comes from."""

    DOCUMENTED = "documented"
    #: Quoted by a third party that read the page.
    SECONDARY = "secondary"
    #: A guess: a 404 says nothing about the thing that was asked for.
    PLACEHOLDER = "placeholder"
    #: Set by SIPS_PATHS.
    CONFIGURED = "configured"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of SIPS.

    `page` is the portal page the facts come from; `document` is true where a PDF may be answered instead of JSON.
    """

    id: str
    method: str
    path: str
    kind: Kind
    confidence: Confidence
    page: str
    document: bool = False

    @property
    def source(self) -> str:
        """The address of the portal page the facts come from."""
        return f"{PORTAL}/{self.page}"

    @property
    def proved(self) -> bool:
        """Whether somebody vouches for the path: a page, who read it, or whoever set it; else a 404 speaks of the path."""
        return self.confidence is not Confidence.PLACEHOLDER

    @property
    def parameters(self) -> frozenset[str]:
        """The names of the path's parameters."""
        return frozenset(_PLACEHOLDER.findall(self.path))

    def filled_path(self, values: Mapping[str, str | int]) -> str:
        """The path with its parameters filled in, each percent-encoded whole.

        Raises:
            UnsafePath: A value is empty, a dot segment or no valid text, so that it would change the path.
            ValueError: A parameter is missing or unknown: a mistake in the calling code.
        """
        if self.parameters != values.keys():
            raise ValueError(f"{self.id} takes the path parameters {sorted(self.parameters)}, got {sorted(values)}")
        if not values:
            return self.path
        encoded = {name: self._segment(name, str(value)) for name, value in values.items()}
        return _PLACEHOLDER.sub(lambda match: encoded[match[1]], self.path)

    def _segment(self, name: str, value: str) -> str:
        if value in {"", ".", ".."}:
            raise UnsafePath(self.id, f"the path parameter {name} is empty or a dot segment; send an id")
        try:
            return quote(value, safe="")
        except UnicodeEncodeError:
            raise UnsafePath(self.id, f"the path parameter {name} holds a lone surrogate; send an id") from None


READ, MUTATION = Kind.READ, Kind.MUTATION
DOCUMENTED, SECONDARY, PLACEHOLDER = Confidence.DOCUMENTED, Confidence.SECONDARY, Confidence.PLACEHOLDER

#: Every operation by its id.
OPERATIONS: dict[str, Operation] = {
    operation.id: operation
    for operation in (
        Operation("authenticationToken", "POST", "/Authentication/token", READ, DOCUMENTED, "token-32636877e0"),
        Operation("ordersV2Submit", "POST", "/orders/v2/Submit", MUTATION, DOCUMENTED, "submit-order-v2-21007252e0"),
        Operation("ordersSubmitV1", "POST", "/orders/submit", MUTATION, DOCUMENTED, "submit-order-21007241e0"),
        Operation("ordersList", "POST", "/orders/List", READ, DOCUMENTED, "order-list-32636883e0"),
        Operation("orderDetails", "GET", "/orders/{orderId}", READ, PLACEHOLDER, "order-details-32636882e0"),
        Operation("deliveryDetails", "GET", "/orders/{orderId}/deliveries", READ, PLACEHOLDER, "delivery-details-32636879e0"),
        Operation("deliveriesList", "POST", "/orders/deliveries/List", READ, PLACEHOLDER, "deliveries-list-32636880e0"),
        Operation(
            "proofOfDelivery",
            "GET",
            "/orders/{orderId}/proofOfDelivery",
            READ,
            PLACEHOLDER,
            "proof-of-delivery-32636881e0",
            document=True,
        ),
        Operation(
            "deliveryCoordinates",
            "GET",
            "/deliveries/v2/coordinates/{orderId}",
            READ,
            PLACEHOLDER,
            "srs-integration-partner-services-sips-1613923m0",
        ),
        Operation("invoiceDetails", "GET", "/invoices/{invoiceNumber}", READ, DOCUMENTED, "invoice-details-21007516e0"),
        Operation("invoicesList", "POST", "/invoices/list", READ, DOCUMENTED, "invoices-list-21007517e0"),
        Operation(
            "invoicePdf",
            "GET",
            "/invoices/{invoiceNumber}/pdf",
            READ,
            PLACEHOLDER,
            "srs-integration-partner-services-sips-1613923m0",
            document=True,
        ),
        Operation("customerDetails", "GET", "/customers/{customerCode}", READ, DOCUMENTED, "customer-details-21007413e0"),
        Operation("customersValidate", "GET", "/customers/validate/", READ, DOCUMENTED, "validate-customer-21007416e0"),
        Operation(
            "nearestEligibleBranch",
            "GET",
            "/customers/{customerCode}/nearestEligibleBranch",
            READ,
            PLACEHOLDER,
            "customer-details-21007413e0",
        ),
        Operation(
            "shipToAddresses",
            "GET",
            "/customers/{customerCode}/shipToAddresses",
            READ,
            PLACEHOLDER,
            "customer-details-21007413e0",
        ),
        Operation(
            "orderTemplatesV1",
            "GET",
            "/customers/orderTemplates/{customerCode}",
            READ,
            PLACEHOLDER,
            "customer-details-21007413e0",
        ),
        Operation(
            "orderTemplatesV2",
            "GET",
            "/customers/v2/orderTemplates/{customerCode}",
            READ,
            DOCUMENTED,
            "ordertemplates-21007379e0",
        ),
        Operation("productsPricingV1", "POST", "/products/pricing", READ, DOCUMENTED, "pricing-21007582e0"),
        Operation("productsV2Price", "POST", "/products/v2/price", READ, DOCUMENTED, "price-32656412e0"),
        Operation("productsV2Catalog", "GET", "/products/v2/catalog", READ, SECONDARY, "catalog-32754922e0"),
        Operation(
            "productsV2CatalogByItemCodes",
            "POST",
            "/products/v2/catalog/{branchCode}/byItemCodes",
            READ,
            DOCUMENTED,
            "by-item-codes-21007661e0",
        ),
        Operation(
            "productsV2CatalogConvert",
            "POST",
            "/products/v2/catalog/convert",
            READ,
            DOCUMENTED,
            "catalog-item-convert-21007555e0",
        ),
        Operation(
            "colorRecommendations",
            "POST",
            "/products/v2/colorRecommendations",
            READ,
            PLACEHOLDER,
            "color-recommendations-32754860e0",
        ),
        Operation("uomConversion", "GET", "/products/UOMConversion/{itemCode}", READ, DOCUMENTED, "uom-conversion-32636894e0"),
        Operation("branchLocations", "GET", "/branches/v2/branchLocations", READ, DOCUMENTED, "introduction-1994856m0"),
        Operation(
            "activeBranchProducts",
            "GET",
            "/branches/v2/activeBranchProducts/{branchCode}",
            READ,
            DOCUMENTED,
            "order-flow-1994858m0",
        ),
        Operation(
            "customerBranchLocations",
            "GET",
            "/branches/v2/customerBranchLocations/{customerCode}",
            READ,
            DOCUMENTED,
            "order-flow-1994858m0",
        ),
        Operation("branchDetails", "GET", "/branches/{branchId}", READ, PLACEHOLDER, "pricing-21007582e0"),
        Operation("branchActiveItems", "GET", "/branches/{branchId}/activeItems", READ, PLACEHOLDER, "pricing-21007582e0"),
    )
}


def resolve(operation: Operation, paths: Mapping[str, str]) -> Operation:
    """The operation with the path that the setting `sips_paths` gives it, or as it is.

    Names are compared without regard to case: variables of the environment may be upper-cased on their way here.

    Raises:
        SettingsError: The new path has other parameters than the operation.
    """
    path = next((path for name, path in paths.items() if name.casefold() == operation.id.casefold()), None)
    if path is None:
        return operation
    configured = replace(operation, path=path, confidence=Confidence.CONFIGURED)
    if configured.parameters != operation.parameters:
        wanted = " and ".join(f"{{{name}}}" for name in sorted(operation.parameters)) or "no parameter"
        raise SettingsError(f"SIPS_PATHS__{operation.id}: the path must hold {wanted}, as {operation.path} does")
    return configured


def resolve_all(paths: Mapping[str, str]) -> dict[str, Operation]:
    """Every operation by its id, with the paths of the setting `sips_paths`.

    Raises:
        SettingsError: The setting names an operation that does not exist, or a path with other parameters.
    """
    known = {operation_id.casefold() for operation_id in OPERATIONS}
    for name in paths:
        if name.casefold() not in known:
            raise SettingsError(
                f"SIPS_PATHS__{name}: SIPS has no such operation; the operations are {', '.join(sorted(OPERATIONS))}"
            )
    return {operation.id: resolve(operation, paths) for operation in OPERATIONS.values()}
