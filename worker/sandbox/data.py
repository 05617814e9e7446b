"""The few customers, branches, products and invoices that the sandbox knows, those of the documented examples among them.

They fit together: a customer's branches, templates and invoices exist. They never change; orders that live add theirs.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BRANCHES",
    "CALL_FOR_PRICE_PRODUCT",
    "CUSTOMERS",
    "GENERIC_ITEMS",
    "INVOICES",
    "ITEMS",
    "JOB_ACCOUNTS",
    "PRODUCTS",
    "Row",
    "invoice",
    "template",
]

Row = dict[str, Any]

#: The product whose price only the branch can tell: SIPS answers 0 for it.
CALL_FOR_PRICE_PRODUCT = 1


def _branch(number: int, code: str, city: str, state: str, place: tuple[float, float]) -> Row:
    latitude, longitude = place
    address = {"address": f"{number} Sandbox Street", "city": city, "state": state, "zipCode": f"{number:05}"}
    return {
        "id": number,
        "code": code,
        "name": f"SANDBOX - {city.upper()}",
        "latitude": latitude,
        "longitude": longitude,
        **address,
    }


#: Branch code to branch; `id` is its number.
BRANCHES: dict[str, Row] = {
    row["code"]: row
    for row in (
        _branch(1, "SSDAL", "Dallas", "TX", (32.78, -96.8)),
        _branch(3, "BRRIV", "Riverhead", "NY", (40.92, -72.66)),
        _branch(202, "HWPLY", "Plymouth", "MA", (41.96, -70.67)),
        _branch(247, "WSGRA", "Grand Rapids", "MI", (42.96, -85.67)),
    )
}


def _customer(number: int, code: str, name: str, branch: str) -> Row:
    return {
        "customerId": number,
        "customerKey": f"{number:08}",
        "customerCode": code,
        "customerName": name,
        "addressLine1": "1 SANDBOX STREET",
        "addressLine2": "",
        "addressLine3": "",
        "city": "PATCHOGUE",
        "state": "NY",
        "zipCode": "11772",
        "phone": "9876543210",
        "fax": "9876543210",
        "homeBranch": branch,
        "homeBranchId": BRANCHES[branch]["id"],
        "nonSaleableIndicator": "N",
    }


#: Customer code to customer, as Customer Details shows it.
CUSTOMERS: dict[str, Row] = {
    row["customerCode"]: row
    for row in (
        _customer(12345, "DEMO001", "SANDBOX ROOFING", "BRRIV"),
        _customer(46225, "STO1170", "SANDBOX CONSTRUCTION", "SSDAL"),
        _customer(12346, "CSTMR1", "SANDBOX CUSTOMER", "HWPLY"),
    )
}

#: Customer code to branch code to job accounts: who may buy where, under which numbers.
JOB_ACCOUNTS: dict[str, dict[str, list[Row]]] = {
    "DEMO001": {
        "BRRIV": [{"jobAccountNumber": 1, "jobAccountName": "SANDBOX ROOFING"}],
        "HWPLY": [
            {"jobAccountNumber": 89, "jobAccountName": "CONSTRUCTION PROJECT A"},
            {"jobAccountNumber": 90, "jobAccountName": "REMODELING PROJECT B"},
        ],
    },
    "STO1170": {"SSDAL": [{"jobAccountNumber": 43, "jobAccountName": "SANDBOX CONSTRUCTION"}]},
    "CSTMR1": {"HWPLY": [{"jobAccountNumber": 7, "jobAccountName": "SANDBOX CUSTOMER"}]},
}


def _product(number: int, name: str, category: str, maker: str, units: list[str], items: dict[str, str]) -> Row:
    """A product; `items` are its item codes with the option that each stands for."""
    return {"productId": number, "name": name, "category": category, "manufacturer": maker, "units": units, "items": items}


#: Product id to product.
PRODUCTS: dict[int, Row] = {
    row["productId"]: row
    for row in (
        _product(CALL_FOR_PRICE_PRODUCT, "Price On Request", "OTHER", "Sandbox", ["EA"], {"ITEM1": "N/A"}),
        _product(784, "Atlas Pinnacle Pristine HP42 SG Shingles", "SHINGLES", "Atlas", ["SQ", "BD"], {"ATLPINHP42": "Pewter"}),
        _product(1443, "CertainTeed Landmark Solaris", "SHINGLES", "CertainTeed", ["SQ", "BD"], {"CTLANSOLBS": "Burnt Sienna"}),
        _product(6706, "GAF Timberline Shingles", "SHINGLES", "GAF", ["SQ", "BD"], {"GAF0487070EN": "Barkwood"}),
        _product(75621, "CertainTeed SwiftStart Starter", "STARTER", "CertainTeed", ["BD"], {"CTSWIFTSTART": "N/A"}),
        _product(
            75664, "CertainTeed Presidential Solaris", "SHINGLES", "CertainTeed", ["SQ", "BD"], {"CTPRESSOLCG": "Country Gray"}
        ),
        _product(77673, "Ace Insulation Plates", "FASTENERS", "Ace", ["PC"], {"ACEACEPLT3INI": "N/A"}),
        _product(81000, "Tarco MS300 Leakbarrier", "UNDERLAYMENT", "Tarco", ["RL", "PAL"], {"TARMS300": "N/A"}),
        _product(
            87999,
            'Mid-America Raised Panel Shutters 14-3/4"',
            "SHUTTERS",
            "Mid-America",
            ["PR"],
            {"MASP59027": '14-3/4" x 59" 027 Burgundy Red', "MASP59028": '14-3/4" x 59" 028 Forest Green'},
        ),
    )
}

#: Item code to the product that it belongs to.
ITEMS: dict[str, Row] = {code: product for product in PRODUCTS.values() for code in product["items"]}

#: Generic item code to product; the second documented one has none.
GENERIC_ITEMS: dict[str, Row] = {"ATLAS PINNACLE PRISTINE HP SG 3 BD/SQ": PRODUCTS[784]}


def invoice(order: int, customer: str, branch: str, day: str, total: float, po_number: str) -> Row:
    """An invoice of an order's one shipment, and its branch."""
    header = {
        "invoiceNumber": f"{order:010}-001",
        "orderNumber": order,
        "shipmentNumber": 1,
        "shipToSequenceNumber": "1",
        "customerCode": customer,
        "invoiceDate": f"{day}T00:00:00",
        "invoiceSubTotal": total,
        "invoiceCharges": 0,
        "invoiceTax": 0,
        "invoiceTotal": total,
        "paymentStatus": "Paid",
        "SOTypeCode": "SO",
        "PONumber": po_number,
        "salesTypeCode": "WHSE",
        "jobNumber": "135",
        "shipToAddress1": "1 Sandbox Street",
        "shipToAddress2": "",
        "shipToAddress3": "",
    }
    return {"branchCode": branch, "header": header}


#: Invoice number to invoice.
INVOICES: dict[str, Row] = {
    row["header"]["invoiceNumber"]: row
    for row in (
        invoice(19073403, "DEMO001", "BRRIV", "2020-09-22", 3353.83, "112233"),
        invoice(16627333, "DEMO001", "WSGRA", "2023-05-11", 120.5, "112234"),
        invoice(19073404, "STO1170", "SSDAL", "2024-01-15", 99, "A-1"),
    )
}


def template(number: int, name: str, *products: int) -> Row:
    """An order template of products of the sandbox."""
    lines = [
        {
            "productId": product,
            "defualtUOM": None,
            "productCategory": PRODUCTS[product]["category"],
            "productWebName": PRODUCTS[product]["name"],
            "productOptions": None,
            "quantity": 0,
            "wasteFactor": None,
            "userSort": sort,
        }
        for sort, product in enumerate(products)
    ]
    return {"templateId": str(number), "name": name, "description": None, "instructionsToBranch": None, "products": lines}
