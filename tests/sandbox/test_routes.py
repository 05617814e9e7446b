"""What SIPS answers, held against its description and the documented examples."""

from __future__ import annotations

import copy
import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.acceptance.conftest import example
from tests.sandbox.calling import Caller, order, order_under
from tests.sandbox.description import OPERATIONS, answer_problems, resolved, unknown_properties
from worker.sandbox import Sandbox
from worker.sandbox.calls import Call
from worker.sandbox.data import CALL_FOR_PRICE_PRODUCT
from worker.sandbox.faults import Faults
from worker.sandbox.routes import ROUTES, Routes
from worker.sandbox.state import EXAMPLE_ORDER_ID, State

if TYPE_CHECKING:
    from tests.sandbox.calling import Answer, Control

pytestmark = pytest.mark.undescribed

TOKEN, LIST, PRICE = "/Authentication/token", "/orders/List", "/products/v2/price"
SUBMIT, SUBMIT_V1 = "/orders/v2/Submit", "/orders/submit"

#: The documented example request of each operation that has a body, and its path.
REQUESTS = [
    ("authenticationToken", TOKEN, "authenticationToken.request"),
    ("ordersV2Submit", SUBMIT, "ordersV2Submit.request"),
    ("ordersV2Submit", SUBMIT, "ordersV2Submit.field.request"),
    ("ordersSubmitV1", SUBMIT_V1, "ordersSubmitV1.partial.request"),
    ("ordersList", LIST, "ordersList.request"),
    ("productsV2Price", PRICE, "productsV2Price.request"),
    ("productsV2Price", PRICE, "productsV2Price.introGuide.request"),
    ("productsPricingV1", "/products/pricing", "productsPricingV1.request"),
    ("invoicesList", "/invoices/list", "invoicesList.request"),
    ("productsV2CatalogByItemCodes", "/products/v2/catalog/BRRIV/byItemCodes", "productsV2CatalogByItemCodes.request"),
    ("productsV2CatalogConvert", "/products/v2/catalog/convert", "productsV2CatalogConvert.request"),
]

#: A request of each operation that only reads by its address; what is answered with a document is in `test_files`.
READS = [
    ("orderDetails", f"/orders/{EXAMPLE_ORDER_ID}"),
    ("deliveryDetails", f"/orders/{EXAMPLE_ORDER_ID}/deliveries"),
    ("proofOfDelivery", f"/orders/{EXAMPLE_ORDER_ID}/proofOfDelivery"),
    ("deliveryCoordinates", f"/deliveries/v2/coordinates/{EXAMPLE_ORDER_ID}"),
    ("invoiceDetails", "/invoices/0019073403-001"),
    ("customerDetails", "/customers/DEMO001"),
    ("customersValidate", "/customers/validate/?accountNumber=DEMO001"),
    ("nearestEligibleBranch", "/customers/DEMO001/nearestEligibleBranch?shipToSequenceNumber=1"),
    ("shipToAddresses", "/customers/DEMO001/shipToAddresses"),
    ("orderTemplatesV1", "/customers/orderTemplates/DEMO001"),
    ("orderTemplatesV2", "/customers/v2/orderTemplates/DEMO001"),
    ("productsV2Catalog", "/products/v2/catalog"),
    ("uomConversion", "/products/UOMConversion/TARMS300"),
    ("branchLocations", "/branches/v2/branchLocations"),
    ("activeBranchProducts", "/branches/v2/activeBranchProducts/BRRIV"),
    ("customerBranchLocations", "/branches/v2/customerBranchLocations/DEMO001?BranchCode=HWPLY"),
    ("branchDetails", "/branches/3"),
    ("branchActiveItems", "/branches/3/activeItems"),
]

#: Documented answer to what it is an answer of: an operation's example request, or its path.
ANSWERS = {
    "authenticationToken.guide.response": (TOKEN, "authenticationToken.request"),
    "ordersV2Submit.sync.response": (SUBMIT, "ordersV2Submit.request"),
    "productsV2Price.response": (PRICE, "productsV2Price.request"),
    "productsV2CatalogConvert.response": ("/products/v2/catalog/convert", "productsV2CatalogConvert.request"),
    "customerDetails.response": ("/customers/DEMO001", None),
    "customersValidate.response": ("/customers/validate/?accountNumber=DEMO001", None),
    "branchesV2CustomerBranchLocations.guide.response": ("/branches/v2/customerBranchLocations/DEMO001", None),
}


def types(value: Any) -> Any:
    """The property names and JSON types of a value; numbers are one type, and a list is what its first item is."""
    if isinstance(value, dict):
        return {name: types(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [types(item) for item in value[:1]]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def assert_documented(operation: str, answer: Answer, status: int) -> None:
    """The answer has the status, is JSON, and is nothing but what the description says of it."""
    assert (status, "application/json") == (answer.status, answer.headers["content-type"].partition(";")[0])
    assert [] == answer_problems(operation, answer.status, answer.body)
    schema = resolved(OPERATIONS[operation][2]["responses"][str(status)])["content"]["application/json"]["schema"]
    assert [] == unknown_properties(schema, answer.body)


# Routes.


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_route_is_described(route: Any) -> None:
    """Method and path are those of the description; another letter case only where it is documented as seen."""
    method, path, row = OPERATIONS[route.operation]
    assert method == route.method
    assert route.path in {path, *row.get("x-path-variants", [])}


def test_every_described_variant_of_a_path_has_its_route() -> None:
    """Guides spell some paths in lower case; whether SIPS cares is unknown, so both are answered."""
    routed = {route.operation for route in ROUTES}
    described = {
        (operation, path)
        for operation in routed
        for path in (OPERATIONS[operation][1], *OPERATIONS[operation][2].get("x-path-variants", []))
    }
    assert described == {(route.operation, route.path) for route in ROUTES}


@pytest.mark.parametrize("path", ["/orders/list", "/Products/v2/price", "/orders/V2/Submit", "/authentication/Token"])
def test_no_other_letter_case_is_answered(sips: Caller, path: str) -> None:
    """A stand-in that is more forgiving than SIPS would hide a wrong path."""
    assert 404 == sips.call("POST", path, {}).status


@pytest.mark.parametrize("path", ["/orders/1/deliveries/", "/orders//deliveries", "/orders/1/2/deliveries", "/orders/", "/"])
def test_a_parameter_is_one_segment_of_the_path(path: str) -> None:
    """And not an empty one."""
    assert Routes().find("GET", path) is None


def test_an_operation_can_be_moved() -> None:
    """Then it is no longer where it was, in no spelling; the others stay."""
    routes = Routes({"orderDetails": "/orders/v2/details/{orderId}", "ordersV2Submit": "/orders/v3"})

    found = routes.find("GET", "/orders/v2/details/1")
    assert found
    assert ("orderDetails", {"orderId": "1"}) == (found[0].operation, found[1])
    assert routes.find("GET", "/orders/1") is None
    assert [None, None] == [routes.find("POST", path) for path in ("/orders/v2/Submit", "/orders/v2/submit")]
    assert routes.find("GET", "/orders/1/deliveries")


def test_what_is_moved_exists() -> None:
    """A slip of the pen would move nothing, and nobody would notice."""
    with pytest.raises(ValueError, match="no operation nonsense"):
        Sandbox(paths={"nonsense": "/x"})
    with pytest.raises(ValueError, match="no operation nonsense"):
        Sandbox(reshaped={"nonsense": dict})


def test_an_answer_can_be_reshaped() -> None:
    """Its successes; an error stays what it is."""
    with Sandbox(reshaped={"customerDetails": list}) as sandbox, Caller.of(sandbox) as caller:
        assert (200, True) == ((shown := caller.call("GET", "/customers/DEMO001")).status, isinstance(shown.body, list))
        assert (404, False) == ((shown := caller.call("GET", "/customers/NOBODY")).status, isinstance(shown.body, list))


def test_a_path_that_no_route_takes_is_not_found(sips: Caller, control: Control) -> None:
    """In the shape of an error, and counted as unknown."""
    answer = sips.call("GET", "/nowhere")
    assert_documented("orderDetails", answer, 404)
    assert {"404": 1} == control.requests("unknown")


# Documented examples.


@pytest.mark.parametrize(("operation", "path", "name"), REQUESTS)
def test_a_documented_request_is_answered_as_described(sips: Caller, operation: str, path: str, name: str) -> None:
    """Unchanged, over real HTTP."""
    assert_documented(operation, sips.call("POST", path, example(name)), 200)


@pytest.mark.parametrize("path", [TOKEN, "/authentication/token"])
def test_a_token_is_given_for_a_form_as_for_json(sandbox: Sandbox, path: str) -> None:
    """The endpoint pages show the form, the guides JSON; both were accepted."""
    credentials = example("authenticationToken.request")
    with Caller(sandbox.url) as caller:
        form = caller.call("POST", path, urlencode(credentials).encode(), Content_Type="application/x-www-form-urlencoded")
        json = caller.call("POST", path, credentials)
        assert_documented("authenticationToken", form, 200)
        assert_documented("authenticationToken", json, 200)
        for answer in (form, json):
            caller.token = answer.body["access_token"]
            assert 200 == caller.call("GET", f"/orders/{EXAMPLE_ORDER_ID}/deliveries").status


@pytest.mark.parametrize(("operation", "path"), READS)
def test_what_the_sandbox_has_is_read_as_described(sips: Caller, operation: str, path: str) -> None:
    """And what it does not have is not found, where the description knows of that."""
    assert_documented(operation, sips.call("GET", path), 200)
    known = ("DEMO001", EXAMPLE_ORDER_ID, "0019073403-001", "TARMS300", "BRRIV", "/3")
    segment = next((name for name in known if name in path), "")
    if segment and "404" in OPERATIONS[operation][2]["responses"] and operation != "customersValidate":
        assert_documented(operation, sips.call("GET", path.replace(segment, "/9" if segment == "/3" else "9")), 404)


def test_every_operation_of_the_sandbox_has_its_request_here() -> None:
    """A new route needs a row above."""
    tried = {operation for operation, *_ in [*REQUESTS, *READS]} | {"deliveriesList", "colorRecommendations", "invoicePdf"}
    assert {route.operation for route in ROUTES} == tried


@pytest.mark.parametrize("documented", ANSWERS)
def test_an_answer_has_the_properties_and_types_of_the_documented_one(sips: Caller, documented: str) -> None:
    """Types in documented examples win over guesses."""
    path, request_name = ANSWERS[documented]
    answer = sips.call("POST", path, example(request_name)) if request_name else sips.call("GET", path)
    assert types(example(documented)) == types(answer.body)


def test_a_queued_answer_has_the_properties_and_types_of_the_reported_one(sips: Caller, control: Control) -> None:
    """Its two ids are one and the same UUID (field evidence)."""
    control.set_faults(queued=1)
    answer = sips.call("POST", SUBMIT, order())
    assert_documented("ordersV2Submit", answer, 200)
    assert types(example("ordersV2Submit.queued.inferred.response")) == types(answer.body)
    assert "Order Queued" == answer.body["message"]
    assert answer.body["orderID"] == answer.body["queueID"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer.body["queueID"])


def test_a_refusal_is_the_reported_error(sips: Caller) -> None:
    """To the letter: this is what an order without its date was answered."""
    payload = order()
    del payload["poDetails"]["orderDate"]
    assert example("error.inferred.response") == sips.call("POST", SUBMIT, payload).body


# Token.


@pytest.mark.parametrize("name", ["grant_type", "scope"])
@pytest.mark.parametrize("value", [None, "", "other", 1])
def test_a_token_is_asked_for_with_the_documented_values(sandbox: Sandbox, name: str, value: Any) -> None:
    """Only the property that is wrong is named."""
    with Caller(sandbox.url) as caller:
        answer = caller.call("POST", TOKEN, example("authenticationToken.request") | {name: value})
    assert_documented("authenticationToken", answer, 400)
    assert [name] == [error["parameter"] for error in answer.body["errors"]]


@pytest.mark.parametrize("changes", [{"client_id": ""}, {"client_secret": None}, {"client_secret": "other"}, {"client_id": "x"}])
def test_wrong_credentials_get_no_token(changes: dict[str, Any]) -> None:
    """Missing, wrong or of another client."""
    with Sandbox(credentials={"FAKE_CLIENT_ID": "FAKE_CLIENT_SECRET_NOT_REAL"}) as sandbox, Caller(sandbox.url) as caller:
        answer = caller.call("POST", TOKEN, example("authenticationToken.request") | changes)
        assert_documented("authenticationToken", answer, 401)
        assert 200 == caller.call("POST", TOKEN, example("authenticationToken.request")).status


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer sandbox.guessed", "Basic {token}", "{token}"])
@pytest.mark.parametrize(
    ("operation", "method", "path", "body"),
    [
        ("ordersV2Submit", "POST", SUBMIT, {}),
        ("ordersList", "POST", LIST, {}),
        ("productsV2Price", "POST", PRICE, {}),
        *((operation, "GET", path, None) for operation, path in READS),
    ],
)
def test_every_call_needs_a_token(sips: Caller, operation: str, method: str, path: str, body: Any, authorization: str) -> None:
    """As a bearer; nothing else is looked at before."""
    header = authorization.format(token=sips.token)
    assert_documented(operation, sips.call(method, path, body, Authorization=header), 401)


# Orders.


def test_an_accepted_order_can_be_read_in_every_way(sips: Caller) -> None:
    """As one order, in a list and by its deliveries; the id is text in the answer and a number elsewhere."""
    placed = sips.call("POST", SUBMIT, order()).body
    details = sips.call("GET", f"/orders/{placed['orderID']}")
    listed = sips.call("POST", LIST, {"PONumber": "5641-8Test"})
    deliveries = sips.call("GET", f"/orders/{placed['orderID']}/deliveries")
    assert_documented("orderDetails", details, 200)
    assert_documented("ordersList", listed, 200)
    assert_documented("deliveryDetails", deliveries, 200)
    number = int(placed["orderID"])
    assert number == details.body["orderId"] == deliveries.body["deliveryList"][0]["orderId"]
    assert [details.body] == listed.body["orderList"]
    assert ("DEMO001", "BRRIV", "5641-8Test", "2021-04-12", 3) == (
        details.body["customerCode"],
        details.body["branchCode"],
        details.body["PONumber"],
        details.body["orderDate"],
        len(details.body["orderLineItemDetails"]),
    )


def test_every_submit_is_another_order(sips: Caller) -> None:
    """Nothing says that SIPS would refuse or merge a repeated transactionID; a duplicate must show."""
    ids = [sips.call("POST", SUBMIT, order()).body["orderID"] for _ in range(2)]
    assert 2 == len(set(ids))
    assert ids == [str(row["orderId"]) for row in sips.call("POST", LIST, {"PONumber": "5641-8Test"}).body["orderList"]]


def test_the_transaction_id_is_echoed(sips: Caller) -> None:
    """As it was sent."""
    answer = sips.call("POST", SUBMIT, order(transactionID="Mine/1"))
    assert "Mine/1" == answer.body["transactionID"]


@pytest.mark.parametrize("path", ["/orders/1", "/orders/1/deliveries", "/orders/%2e%2e/deliveries", "/orders/List"])
def test_an_unknown_order_is_not_found(sips: Caller, path: str) -> None:
    """Also where its id is none."""
    assert_documented("orderDetails", sips.call("GET", path), 404)


def test_the_delivery_of_the_documented_order_can_always_be_read(sips: Caller) -> None:
    """So that the first command that anybody tries works; its id may be percent-encoded."""
    for path in (f"/orders/{EXAMPLE_ORDER_ID}/deliveries", "/orders/%33%35818786/deliveries"):
        answer = sips.call("GET", path)
        assert_documented("deliveryDetails", answer, 200)
        assert [35818786] == [row["orderId"] for row in answer.body["deliveryList"]]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["A", "B"]),
        ({"PONumber": "A"}, ["A"]),
        ({"PONumber": "a"}, []),
        ({"customerNumber": "DEMO001"}, ["A", "B"]),
        ({"customerNumber": "OTHER"}, []),
        ({"branchCode": "BRRIV", "PONumber": "B"}, ["B"]),
        ({"branchCode": "OTHER"}, []),
        ({"orderStatus": "Open"}, ["A", "B"]),
        ({"orderStatus": "Closed"}, []),
        ({"shipToSequenceNumber": 1}, ["A", "B"]),
        ({"shipToSequenceNumber": 2}, []),
        ({"orderId": 40_000_001}, ["B"]),
        ({"rowReturnLimit": 2}, ["A"]),
        ({"rowReturnLimit": 0}, ["A", "B"]),
        ({"rowReturnLimit": -1}, ["A", "B"]),
    ],
)
def test_orders_are_listed_by_each_filter(sips: Caller, filters: dict[str, Any], found: list[str]) -> None:
    """Empty and zero mean "any"; the order of the examples is the oldest."""
    for number in ("A", "B"):
        sips.call("POST", SUBMIT, order_under(number))
    answer = sips.call("POST", LIST, filters)
    assert_documented("ordersList", answer, 200)
    assert found == [row["PONumber"] for row in answer.body["orderList"] if str(row["orderId"]) != EXAMPLE_ORDER_ID]


def test_the_order_of_the_examples_is_listed_as_it_is_read(sips: Caller) -> None:
    """Under a PO number of its own: a lost order that was placed as documented must not be taken for it."""
    details = sips.call("GET", f"/orders/{EXAMPLE_ORDER_ID}").body
    asked = {"PONumber": details["PONumber"], "customerNumber": details["customerCode"]}
    day = {"orderFromDate": details["orderDate"], "orderToDate": details["orderDate"]}
    assert [details] == sips.call("POST", LIST, asked | day).body["orderList"]
    assert [] == sips.call("POST", LIST, asked | {"orderFromDate": "2021-04-13"}).body["orderList"]
    assert details["PONumber"] != order()["poDetails"]["poNumber"]


@pytest.mark.parametrize(
    ("first", "last", "is_found"),
    [(0, None, True), (1, None, False), (None, 0, True), (None, -1, False), (-1, 1, True), (0, 0, True), (1, 2, False)],
)
def test_orders_are_listed_by_the_day_of_their_acceptance(
    sips: Caller, control: Control, first: int | None, last: int | None, is_found: bool
) -> None:
    """Both ends count; the numbers are days after that day."""
    sips.call("POST", SUBMIT, order())
    accepted = date.fromisoformat(control.orders[0]["acceptedAt"][:10])
    window = {"orderFromDate": first, "orderToDate": last}
    asked = {name: str(accepted + timedelta(days=days)) for name, days in window.items() if days is not None}
    assert is_found == bool(sips.call("POST", LIST, asked | {"PONumber": "5641-8Test"}).body["orderList"])


# Prices.


def test_a_price_answers_every_line_that_was_asked(sips: Caller) -> None:
    """In order, with what was asked for; only the branch can tell one price, and SIPS says 0 for it."""
    payload = example("productsV2Price.request")
    payload["productList"].append({"productId": CALL_FOR_PRICE_PRODUCT, "quantity": 2.5, "uom": "EA"})
    answer = sips.call("POST", PRICE, payload)
    assert_documented("productsV2Price", answer, 200)
    first, second = answer.body
    assert (77673, "Ace Insulation Plates", ["N/A"], "PC", "PC", "SPR-1", True) == (
        first["productId"],
        first["productName"],
        first["productOptions"],
        first["requestedUOM"],
        first["priceUOM"],
        first["transactionId"],
        first["price"] > 0,
    )
    assert (CALL_FOR_PRICE_PRODUCT, 0) == (second["productId"], second["price"])


# Bad requests.


BODIES = [row for row in REQUESTS if row[2] != "productsV2Price.introGuide.request"]


@pytest.mark.parametrize(("operation", "path", "_name"), BODIES)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"1", b'"text"', b"\xff", b"[" * 5_000, b'{"a": NaN}'])
def test_a_body_that_is_no_object_is_a_bad_request(sips: Caller, operation: str, path: str, _name: str, body: bytes) -> None:
    """In JSON or out of it."""
    assert_documented(operation, sips.call("POST", path, body), 400)


@pytest.mark.parametrize(("operation", "path", "name"), BODIES)
@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", ""])
def test_a_body_of_another_media_type_is_a_bad_request(
    sips: Caller, operation: str, path: str, name: str, media_type: str
) -> None:
    """A client that forgets to label its JSON must not get away with it here."""
    assert_documented(operation, sips.call("POST", path, example(name), Content_Type=media_type), 400)


def test_a_media_type_may_have_parameters(sips: Caller) -> None:
    """And any letter case."""
    assert (
        200 == sips.call("POST", PRICE, example("productsV2Price.request"), Content_Type="Application/JSON; charset=utf-8").status
    )


@pytest.mark.parametrize("broken", ["productId", "quantity", "uom"])
def test_a_product_line_without_what_it_needs_is_a_bad_request(sips: Caller, broken: str) -> None:
    """An answer, not a broken connection; the next request on it is served."""
    payload = example("productsV2Price.request")
    del payload["productList"][0][broken]
    answer = sips.call("POST", PRICE, payload)
    kept = sips.socket
    assert_documented("productsV2Price", answer, 400)
    assert [("productList", broken)] == [(error["domain"], error["parameter"]) for error in answer.body["errors"]]
    assert 200 == sips.call("POST", PRICE, example("productsV2Price.request")).status
    assert kept is sips.socket


def test_an_order_of_version_1_is_listed_like_any_other(sips: Caller, control: Control) -> None:
    """Under its PO number, with the number of its branch in the place of a code."""
    payload = example("ordersSubmitV1.partial.request")
    answer = sips.call("POST", SUBMIT_V1, payload)
    listed = sips.call("POST", LIST, {"PONumber": "5641-8", "customerNumber": "SPR276"})
    assert_documented("ordersList", listed, 200)
    assert [(int(answer.body["orderID"]), "247")] == [(row["orderId"], row["branchCode"]) for row in listed.body["orderList"]]
    assert [payload["transactionID"]] == [order["transactionID"] for order in control.orders]


def test_a_refused_order_is_not_kept(sips: Caller, control: Control) -> None:
    """400 means that SIPS does not have it."""
    assert 400 == sips.call("POST", SUBMIT, order(branchCode=" ")).status
    assert [] == control.orders


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value within a JSON value, its own included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """A copy of a JSON value with another one at a path."""
    if not path:
        return other
    changed = copy.deepcopy(value)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = other
    return changed


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), chosen=st.sampled_from(BODIES))
def test_whatever_stands_anywhere_in_a_request_gets_a_documented_answer(
    data: st.DataObject, chosen: tuple[str, str, str]
) -> None:
    """Each documented request with one value replaced by any other JSON."""
    operation, path, name = chosen
    whole = example(name)
    body = replaced(whole, data.draw(st.sampled_from(places(whole))), data.draw(json_values))
    found = Routes().find("POST", path)
    assert found
    answer = found[0].answer(Call(found[1], body, State(), Faults([]), None))
    assert [] == answer_problems(operation, answer.status, orjson.loads(orjson.dumps(answer.body)))
    assert answer.status in {200, 400, 401}


# What the sandbox has fits together.


def test_a_customer_is_valid_with_its_own_invoice_only(sips: Caller) -> None:
    """The right number with the wrong day, amount or customer proves nothing."""
    own = {"accountNumber": "DEMO001", "invoiceNumber": "0019073403-001"}
    rows = [
        ({"accountNumber": "DEMO001"}, "Y"),
        ({"accountNumber": "NOBODY"}, "N"),
        (own, "Y"),
        (own | {"invoiceDate": "2020-09-22", "billedAmount": "3353.83"}, "Y"),
        (own | {"invoiceDate": "2020-09-23"}, "N"),
        (own | {"billedAmount": "1"}, "N"),
        (own | {"accountNumber": "STO1170"}, "N"),
        (own | {"invoiceNumber": "1"}, "N"),
    ]
    for query, indicator in rows:
        answer = sips.call("GET", f"/customers/validate/?{urlencode(query)}")
        assert_documented("customersValidate", answer, 200)
        assert (query, indicator) == (query, answer.body["validIndicator"])
    assert_documented("customersValidate", sips.call("GET", "/customers/validate/"), 400)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, 3),
        ({"customerCode": "DEMO001"}, 2),
        ({"customerCode": "NOBODY"}, 0),
        ({"orderNumber": 16627333, "branchCode": "WSGRA"}, 1),
        ({"startInvoiceDate": "2023-05-11", "endInvoiceDate": "2023-05-11"}, 1),
        ({"startInvoiceDate": "2023-05-12"}, 1),
        ({"rowReturnLimit": 1}, 1),
    ],
)
def test_invoices_are_listed_by_each_filter(sips: Caller, filters: dict[str, Any], found: int) -> None:
    """Both days count."""
    answer = sips.call("POST", "/invoices/list", filters)
    assert_documented("invoicesList", answer, 200)
    assert found == len(answer.body["invoiceList"])


def test_deliveries_of_placed_orders_are_listed(sips: Caller) -> None:
    """Beside that of the documented order."""
    placed = int(sips.call("POST", SUBMIT, order(branchCode="HWPLY")).body["orderID"])
    for filters, ids in [({}, [35818786, placed]), ({"branchCode": "HWPLY"}, [placed]), ({"orderId": 1}, [])]:
        answer = sips.call("POST", "/orders/deliveries/List", filters)
        assert_documented("deliveriesList", answer, 200)
        assert ids == [row["orderId"] for row in answer.body["deliveryList"]]


def test_branches_products_and_customers_fit_together(sips: Caller) -> None:
    """Whatever one answer names, another one knows."""
    for row in sips.call("GET", "/branches/v2/customerBranchLocations/DEMO001").body:
        (location,) = sips.call("GET", f"/branches/v2/branchLocations?BranchCode={row['branchCode']}").body
        assert location["branchName"] == row["branchName"]
    for branch in sips.call("GET", "/customers/DEMO001/nearestEligibleBranch").body["branchList"]:
        assert branch["branchCode"] == sips.call("GET", f"/branches/{branch['branchId']}").body["branchCode"]
    codes = [item["itemCode"] for item in sips.call("GET", "/branches/3/activeItems").body["branchItemList"]]
    products = sips.call("POST", "/products/v2/catalog/BRRIV/byItemCodes", {"itemCodes": codes}).body
    assert sorted(codes) == sorted(item["itemCode"] for product in products for item in product["items"])
    (line,) = sips.call("GET", "/customers/v2/orderTemplates/DEMO001").body
    assert {product["productId"] for product in line["products"]} <= {product["productID"] for product in products}
    assert_documented("colorRecommendations", sips.call("POST", "/products/v2/colorRecommendations", {"x": 1}), 200)


def test_an_unknown_item_has_no_price(sips: Caller) -> None:
    """Its message code says so (field evidence)."""
    item = {"itemCode": "NOTHING", "quantity": 1, "UOM": "EA"}
    answer = sips.call("POST", "/products/pricing", example("productsPricingV1.request") | {"itemCodeList": [item]})
    assert_documented("productsPricingV1", answer, 200)
    assert [(0, 1)] == [(line["price"], line["messageCode"]) for line in answer.body]
