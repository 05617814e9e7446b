"""Where else an operation may be than its path says: a finite list for each, the likeliest first.

Twelve of SIPS' paths are guesses. What is known is how SIPS builds those that can be read on its portal: an area, `v2` or
nothing, a name in camelCase or PascalCase, and the parameter before or behind it. So the list of an operation is made of

1. what somebody named (`NAMED`): a page of the portal, a published integration;
2. for a guess, its areas and names put together in the ways of the paths that can be read (`GUESSES`);
3. its own path in other spellings: with and without `v2`, in lower case, behind `/api`, with and without a slash at the end.

A path of another operation is in no list, and so nothing that places an order is; an operation that does has no list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.sips.operations import OPERATIONS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.sips.operations import Operation

__all__ = ["NAMED", "variants"]

#: Operation to paths that somebody named. Sources are pages of the portal and the integrations that `openapi.yaml` cites.
NAMED: dict[str, tuple[str, ...]] = {
    # The getting-started guide (authentication-1994857m0).
    "authenticationToken": ("/authentication/token",),
    # Called by a published integration, which got 404 from it; no page names it.
    "orderDetails": ("/orders/v2/{orderId}", "/orders/v2/status/{orderId}"),
    # Guides write lower case where the pages of the calls have a capital (orders-1612444m0).
    "ordersList": ("/orders/list", "/orders/v2/List"),
    "invoicesList": ("/invoices/List",),
    # Without the slash, as the fields of a published integration are asked for.
    "customersValidate": ("/customers/validate", "/customers/v2/validate"),
    # Integrations with what came before SIPS.
    "nearestEligibleBranch": ("/branch/customer/{customerCode}", "/branches/customer/{customerCode}"),
    "branchDetails": ("/branch/{branchId}",),
    "branchActiveItems": ("/products/branch/{branchId}", "/products/branch/{branchId}?catalogType=generic"),
}


@dataclass(frozen=True, slots=True)
class _Guess:
    """What a path that is a guess may be made of; the likeliest first. The empty name is a path without one."""

    areas: tuple[str, ...]
    names: tuple[str, ...]


#: Operation to what its path may be made of: the areas that the portal's navigation has, and names from its titles.
GUESSES: dict[str, _Guess] = {
    "orderDetails": _Guess(("orders",), ("orderDetails", "details", "")),
    "deliveryDetails": _Guess(("orders", "deliveries"), ("deliveries", "deliveryDetails", "details", "delivery", "")),
    "deliveriesList": _Guess(
        ("orders", "deliveries"), ("deliveries/List", "deliveriesList", "deliveryList", "deliveries", "List")
    ),
    "proofOfDelivery": _Guess(("orders", "deliveries"), ("proofOfDelivery", "pod", "proof")),
    "deliveryCoordinates": _Guess(("deliveries", "orders"), ("coordinates", "deliveryCoordinates", "location")),
    "invoicePdf": _Guess(("invoices",), ("pdf", "invoicePdf", "invoicePDF", "document", "download")),
    "nearestEligibleBranch": _Guess(
        ("customers", "branches"), ("nearestEligibleBranch", "nearestBranch", "eligibleBranch", "eligibleBranches")
    ),
    "shipToAddresses": _Guess(("customers",), ("shipToAddresses", "shipToAddress", "shipTo", "shipTos", "addresses")),
    "orderTemplatesV1": _Guess(("customers", "orders"), ("orderTemplates", "orderTemplate", "templates")),
    "colorRecommendations": _Guess(
        ("products", "products/catalog"), ("colorRecommendations", "colorRecommendation", "recommendations", "colors")
    ),
    "branchDetails": _Guess(("branches",), ("branchDetails", "details", "")),
    "branchActiveItems": _Guess(("branches", "products"), ("activeItems", "branchActiveItems", "activeBranchItems", "items")),
}

#: The ways in which the portal's paths are put together. {p} is the parameter; without one its segment falls away.
WAYS = ("/{area}/{p}/{name}", "/{area}/{name}/{p}", "/{area}/v2/{name}/{p}")

#: Further ways for an operation's first name: seen nowhere on the portal, and usual elsewhere.
RARE_WAYS = (
    "/{area}/v2/{p}/{name}",
    "/{area}/v1/{name}/{p}",
    "/{one}/{p}/{name}",
    "/{one}/{name}/{p}",
    "/{area}/{name}?{query}",
    "/{area}/v2/{name}?{query}",
)

#: An area in the singular.
ONE = {
    "orders": "order",
    "deliveries": "delivery",
    "invoices": "invoice",
    "customers": "customer",
    "products": "product",
    "branches": "branch",
}

_SEGMENT_OR_PARAMETER = re.compile(r"\{[^{}]+\}|[^{}]+")


def variants(operation: Operation) -> list[str]:
    """The paths where the operation may be beside its own; none of them is another operation's.

    What changes something is tried nowhere: it has none.
    """
    if operation.kind is Kind.MUTATION:
        return []
    own = OPERATIONS[operation.id].path
    paths = [own, *NAMED.get(operation.id, ()), *_put_together(operation.id), *_respelled(own)]
    taken = {operation.path, *_paths_of_others(operation)}
    return [path for path in dict.fromkeys(paths) if path not in taken and _blurred(path) not in taken]


def _paths_of_others(operation: Operation) -> set[str]:
    """Blurred, those that are answered to the same method."""
    others = [other for other in OPERATIONS.values() if other.id != operation.id and other.method == operation.method]
    return {_blurred(other.path) for other in others}


def _blurred(path: str) -> str:
    """The path as a server that does not care may take it: in lower case, whatever its parameters are called."""
    return re.sub(r"\{[^{}]+\}", "{}", path.partition("?")[0]).lower().rstrip("/")


def _put_together(operation_id: str) -> Iterator[str]:
    guess = GUESSES.get(operation_id)
    if guess is None:
        return
    parameter = next(iter(OPERATIONS[operation_id].parameters), None)
    for name in (*guess.names, *map(_pascal, guess.names)):
        for area in guess.areas:
            for way in WAYS:
                yield _filled(way, area, name, parameter)
    for area in guess.areas:
        for way in RARE_WAYS:
            if parameter is not None or "{query}" not in way:
                yield _filled(way, area, guess.names[0], parameter)


def _filled(way: str, area: str, name: str, parameter: str | None) -> str:
    placeholder = "" if parameter is None else f"{{{parameter}}}"
    query = f"{parameter}={placeholder}"
    path = way.format(area=area, one=ONE.get(area, area), name=name, p=placeholder, query=query)
    return re.sub(r"/{2,}", "/", path).rstrip("/")


def _pascal(name: str) -> str:
    return name[:1].upper() + name[1:]


def _respelled(path: str) -> Iterator[str]:
    other = path.replace("/v2/", "/", 1) if "/v2/" in path else re.sub(r"^(/[^/]+)/", r"\1/v2/", path)
    lower = _SEGMENT_OR_PARAMETER.sub(lambda part: part[0] if part[0].startswith("{") else part[0].lower(), path)
    yield from (other, lower, f"/api{path}", f"/api{other}")
    yield path.rstrip("/") if path.endswith("/") else f"{path}/"
