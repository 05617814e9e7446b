"""The sandbox's products and prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.sandbox import files, shapes
from worker.sandbox.calls import Answer, error, refusal
from worker.sandbox.data import BRANCHES, CALL_FOR_PRICE_PRODUCT, GENERIC_ITEMS, ITEMS, PRODUCTS

if TYPE_CHECKING:
    from worker.sandbox.calls import Call
    from worker.sandbox.data import Row

__all__ = ["by_item_codes", "catalog", "colors", "convert", "price", "price_items", "product_list", "units"]


def _price_of(number: int) -> float:
    return 0 if number == CALL_FOR_PRICE_PRODUCT else round(number % 9973 / 100 + 0.25, 2)


def price(call: Call) -> Answer:
    """Prices by product id; every product has one."""
    if refused := refusal(call, shapes.PRICE):
        return refused
    return Answer(200, [_price_line(call.body, product) for product in call.body["productList"]])


def _price_line(body: dict[str, Any], product: dict[str, Any]) -> dict[str, Any]:
    number = product["productId"]
    known = PRODUCTS.get(number, {"name": f"Product {number}", "items": [f"ITEM{number}"]})
    return {
        "itemCode": next(iter(known["items"])),
        "productId": number,
        "productName": product.get("productName") or known["name"],
        "productOptions": product.get("productOptions") or ["N/A"],
        "priceUOM": product["uom"],
        "requestedUOM": product["uom"],
        "uomConversionFactor": 1,
        "price": _price_of(number),
        "availableStatus": "Call for Availability",
        "transactionId": body.get("transactionId") or "",
        "message": "",
        "messageCode": 0,
    }


def price_items(call: Call) -> Answer:
    """Prices by item code (V1); an unknown one comes without, with a message code (field evidence)."""
    if refused := refusal(call, shapes.PRICE_V1):
        return refused
    return Answer(200, [_item_line(item) for item in call.body["itemCodeList"]])


def _item_line(item: dict[str, Any]) -> dict[str, Any]:
    product = ITEMS.get(item["itemCode"])
    amount = _price_of(product["productId"]) if product else 0
    return {
        "availableQuantity": 251 if product else 0,
        "onHandQty": 395 if product else 0,
        "stock": product is not None,
        "minPackQuantity": 0,
        "orderQuantity": 0,
        "requestedItemCode": item["itemCode"],
        "requestedOption": item.get("option") or None,
        "requestedUOM": item["UOM"],
        "itemCode": item["itemCode"],
        "price": amount,
        "grossPrice": amount,
        "netPrice": amount,
        "priceUOM": item["UOM"],
        "uomConversionFactor": 1,
        "message": "" if product else "Item not found",
        "messageCode": 0 if product else 1,
    }


def catalog(call: Call) -> Answer:
    """Every product."""
    return Answer(200, product_list(call.mib("productsV2Catalog")))


def product_list(mib: float) -> bytes:
    """Every product as JSON, and over and over again where so many MiB are wanted."""
    return files.json_list([_listed(product) for product in PRODUCTS.values()], mib)


def _listed(product: Row) -> dict[str, Any]:
    options = [None if option == "N/A" else option for option in product["items"].values()]
    units = {"defaultUOM": product["units"][0], "uoMs": product["units"]}
    return {
        "productId": product["productId"],
        "productName": product["name"],
        "productImageUrl": None,
        "productOptions": [option for option in options if option],
        "productVariant": [{"colorName": option, "selectedOption": option, **units} for option in options],
    }


def by_item_codes(call: Call) -> Answer:
    """The products of the item codes that are known, each with those of its items that were asked for."""
    if refused := refusal(call, shapes.ITEM_CODES):
        return refused
    if call.parameters["branchCode"] not in BRANCHES:
        return error(404, "Not Found")
    asked = [code for code in call.body["itemCodes"] if code in ITEMS]
    products = {ITEMS[code]["productId"]: ITEMS[code] for code in asked}
    return Answer(200, [_coded(product, asked) for product in products.values()])


def _coded(product: Row, asked: list[str]) -> dict[str, Any]:
    items = [
        {"itemCode": code, "availableAtBranch": True, "selectedOption": option}
        for code, option in product["items"].items()
        if code in asked
    ]
    return {"productID": product["productId"], "productName": product["name"], "items": items}


def convert(call: Call) -> Answer:
    """What each generic item code stands for."""
    return refusal(call, shapes.CONVERT) or Answer(200, [_converted(item["GenericItemCode"]) for item in call.body["Items"]])


def _converted(code: str) -> dict[str, Any]:
    product: Row = GENERIC_ITEMS.get(code, {})
    return {
        "genericItemCode": code,
        "conversionFound": bool(product),
        "productId": product.get("productId"),
        "webName": product.get("name"),
        "category": product.get("category"),
        "manufacturer": product.get("manufacturer"),
    }


def colors(call: Call) -> Answer:
    """No recommendation: what SIPS takes and answers is not documented."""
    return refusal(call, shapes.ANY_OBJECT) or Answer(200, [])


def units(call: Call) -> Answer:
    """The units of an item, into its first; 50 of that are in each further one."""
    code = call.parameters["itemCode"]
    product = ITEMS.get(code)
    if product is None:
        return error(404, "Not Found")
    named = {"itemCode": code, "itemDescription": product["name"].upper(), "itemSize": ""}
    base = product["units"][0]
    rows = [
        {
            "fromUOMCode": unit,
            "toUOMCode": base,
            "conversionFactor": 1 if unit == base else 0.02,
            "UOMConversionDescription": f"{1 if unit == base else 50} {base} IN 1 {unit}",
            **named,
        }
        for unit in product["units"]
    ]
    return Answer(200, {"itemConversionList": rows})
