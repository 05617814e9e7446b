# ruff: noqa: N815 - the names are SIPS' own
"""The JSON bodies of SIPS that the worker itself sends and reads, as SIPS spells them: tokens, and the look for an order.

Those of commands are read by the models in `handlers`. Tolerant on purpose: the list of orders is inferred. So an
answer's properties are optional, unknown ones are kept, and a number where text is expected is read as text. Required is
only what the answer would be useless without.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["OrderListAnswer", "OrderListRequest", "OrderRow", "SipsModel", "TokenAnswer", "TokenRequest"]

#: Ids and codes that one page shows as a number and another as text.
Id = int | str


class SipsModel(BaseModel):
    """What all bodies have in common; values stand neither in a validation error nor in a repr."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True, hide_input_in_errors=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__


class TokenRequest(SipsModel):
    """Body of POST /Authentication/token, form-urlencoded or JSON."""

    client_id: str
    client_secret: str
    grant_type: Literal["client_credentials"] = "client_credentials"
    scope: Literal["ALL"] = "ALL"


class TokenAnswer(SipsModel):
    """A bearer token; `expires_in` (seconds) is taken as it comes and judged by `worker.sips.token`."""

    access_token: str
    token_type: Any = None
    expires_in: Any = None


class OrderListRequest(SipsModel):
    """Filters of POST /orders/List, all optional as far as is known; `customerNumber` holds a customer code."""

    branchCode: str | None = None
    customerNumber: str | None = None
    shipToSequenceNumber: int | None = None
    orderId: int | None = None
    orderFromDate: str | None = None
    orderToDate: str | None = None
    rowReturnLimit: int | None = None
    orderStatus: str | None = None
    PONumber: str | None = None
    jobNumber: str | None = None
    shipToAddress: str | None = None
    includeInvoices: str | None = None


class OrderRow(SipsModel):
    """One order of a list (inferred shape); `orderId` as text, as the submit answer has it."""

    orderId: str | None = None
    orderStatus: str | None = None
    orderDate: str | None = None
    customerCode: str | None = None
    branchCode: str | None = None
    shipToSequenceNumber: Id | None = None
    PONumber: str | None = None
    jobNumber: str | None = None
    orderLineItemDetails: list[Any] | None = None


class OrderListAnswer(SipsModel):
    """The orders that match (inferred shape); an answer without the list says nothing, not "none"."""

    orderList: list[OrderRow]
