"""The generated contract files."""

from __future__ import annotations

import json

from worker.cli.contract import FOLDER, files


def test_the_files_are_what_the_code_says() -> None:
    """After a change of models or topology, `make contract` writes them again."""
    assert files() == {path.name: path.read_bytes() for path in FOLDER.glob("*.json")}


def test_a_payload_schema_speaks_camel_case_and_allows_more() -> None:
    """Other services read it: it must name properties as they stand on the wire."""
    schema = json.loads(files()["sips.order.submit.payload.v1.json"])

    assert {"customerCode", "branchCode", "poDetails", "orderLineItemDetails", "customerContactInfo"} == set(schema["required"])
    assert schema["additionalProperties"]
