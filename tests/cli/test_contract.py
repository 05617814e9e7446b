"""The generated contract files."""

from __future__ import annotations

import json

import pytest
from openapi_schema_validator import OAS31Validator

from tests.acceptance.conftest import example
from worker.cli.contract import FOLDER, files


def test_the_files_are_what_the_code_says() -> None:
    """After a change of models or topology, `make contract` writes them again."""
    assert files() == {path.name: path.read_bytes() for path in FOLDER.glob("*.json")}


def test_a_payload_schema_speaks_camel_case_and_allows_more() -> None:
    """Other services read it: it must name properties as they stand on the wire."""
    schema = json.loads(files()["sips.order.submit.payload.v1.json"])

    named = {f"#/$defs/{name}": model for name, model in schema["$defs"].items()}
    version_2, version_1 = (named.get(version.get("$ref"), version) for version in (schema["else"], schema["then"]))
    both = {"customerCode", "poDetails", "orderLineItemDetails", "customerContactInfo"}
    assert (both | {"branchCode"}, both | {"branchId"}) == (set(version_2["required"]), set(version_1["required"]))
    assert version_1["additionalProperties"]
    assert version_2["additionalProperties"]


@pytest.mark.parametrize("name", ["ordersV2Submit.request", "ordersV2Submit.field.request"])
def test_the_schema_of_an_order_takes_what_goes_through(name: str) -> None:
    """Whoever checks an order by it before it is published must not be told otherwise than by the worker."""
    schema = json.loads(files()["sips.order.submit.payload.v1.json"])

    assert [] == [error.message for error in OAS31Validator(schema).iter_errors(example(name))]
