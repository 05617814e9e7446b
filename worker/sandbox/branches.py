"""The sandbox's branches."""

from __future__ import annotations

from math import cos, hypot, radians
from typing import TYPE_CHECKING, Any

from worker.sandbox.calls import Answer, error, found
from worker.sandbox.data import BRANCHES, CUSTOMERS, ITEMS, JOB_ACCOUNTS
from worker.sandbox.products import product_list

if TYPE_CHECKING:
    from worker.sandbox.calls import Call
    from worker.sandbox.data import Row

__all__ = ["customer_branches", "details", "items", "locations", "products"]

#: Miles of one degree of latitude.
DEGREE = 69.0


def locations(call: Call) -> Answer:
    """Every branch, or the one that is asked for."""
    asked = call.query.get("BranchCode")
    return Answer(200, [_location(row) for code, row in BRANCHES.items() if asked in {None, "", code}])


def _location(row: Row) -> dict[str, Any]:
    return {
        "brand": "Sandbox Supply",
        "branchCode": row["code"],
        "branchName": row["name"],
        "address": row["address"],
        "city": row["city"],
        "state": row["state"],
        "zipCode": row["zipCode"],
        "phone": "9876543210",
        "fax": "9876543210",
        "shippingMethods": ["Ground Drop"],
        "salesTypes": ["WHSE"],
        "businessHours": "7:00 - 17:00",
    }


def customer_branches(call: Call) -> Answer:
    """The branches where a customer has job accounts, the nearest to its home branch first."""
    code = call.parameters["customerCode"]
    if code not in CUSTOMERS:
        return error(404, "Not Found")
    home, asked = BRANCHES[CUSTOMERS[code]["homeBranch"]], call.query.get("BranchCode")
    rows = [
        {
            "branchCode": branch_code,
            "branchName": BRANCHES[branch_code]["name"],
            "distanceFromShipToInMiles": _miles(home, BRANCHES[branch_code]),
            "jobAccounts": accounts,
        }
        for branch_code, accounts in JOB_ACCOUNTS[code].items()
        if asked in {None, "", branch_code}
    ]
    return Answer(200, sorted(rows, key=lambda row: row["distanceFromShipToInMiles"]))


def _miles(here: Row, there: Row) -> float:
    north = there["latitude"] - here["latitude"]
    east = (there["longitude"] - here["longitude"]) * cos(radians(here["latitude"]))
    return round(hypot(north, east) * DEGREE, 3)


def _by_number(call: Call) -> Row | None:
    return next((row for row in BRANCHES.values() if str(row["id"]) == call.parameters["branchId"]), None)


def details(call: Call) -> Answer:
    """One branch by its number."""
    row = _by_number(call)
    if row is None:
        return error(404, "Not Found")
    place = {"branchAddress": row["address"], "branchCity": row["city"], "branchState": row["state"], "branchZip": row["zipCode"]}
    rest = {"branchPhone": "9876543210", "branchFax": "9876543210", "businessHours": "7:00 - 17:00"}
    region = {"saturdayBusinessHours": "", "branchRegion": "Sandbox", "branchRegionId": 1}
    named = {"branchId": row["id"], "branchCode": row["code"], "branchName": row["name"]}
    return Answer(200, named | place | rest | region | {"latitude": row["latitude"], "longitude": row["longitude"]})


def items(call: Call) -> Answer:
    """The items of every product: each branch sells all."""
    return found(None if _by_number(call) is None else {"branchItemList": [_item(code) for code in ITEMS]})


def _item(code: str) -> dict[str, Any]:
    product = ITEMS[code]
    option = product["items"][code]
    return {
        "itemCode": code,
        "itemDescription": product["name"].upper(),
        "itemFullDescription": product["name"],
        "itemSize": "",
        "color": "" if option == "N/A" else option,
        "option": option,
        "orderUnitOfMeasure": product["units"][0],
        "alternateOrderUnitOfMeasure": product["units"][-1],
    }


def products(call: Call) -> Answer:
    """Every product: each branch sells all."""
    known = call.parameters["branchCode"] in BRANCHES
    return Answer(200, product_list(call.mib("activeBranchProducts"))) if known else error(404, "Not Found")
