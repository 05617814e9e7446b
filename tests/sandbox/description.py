"""SIPS' description (`tests/data/sips/openapi.yaml`), and what an answer has to be by it."""

from __future__ import annotations

from typing import Any

import yaml
from openapi_schema_validator import OAS31Validator

from tests.acceptance.conftest import DATA

DOCUMENT: dict[str, Any] = yaml.safe_load((DATA / "openapi.yaml").read_text(encoding="utf-8"))

#: Operation id to (method, path, the operation's description).
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    row["operationId"]: (method.upper(), path, row)
    for path, methods in DOCUMENT["paths"].items()
    for method, row in methods.items()
}


def resolved(node: Any) -> Any:
    """What a reference within the document leads to."""
    while isinstance(node, dict) and "$ref" in node:
        target: Any = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def request_schema(operation: str, media_type: str = "application/json") -> dict[str, Any]:
    """The schema of an operation's request."""
    schema: dict[str, Any] = resolved(OPERATIONS[operation][2]["requestBody"]["content"][media_type]["schema"])
    return schema


def problems(schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with a value by a schema of the description."""
    validator = OAS31Validator({**schema, "components": DOCUMENT["components"]})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def answer_problems(operation: str, status: int, body: Any) -> list[str]:
    """What is wrong with an answer: its status, or its body by the schema of that status."""
    responses = OPERATIONS[operation][2]["responses"]
    if str(status) not in responses:
        return [f"{operation} documents no {status}"]
    schema = resolved(responses[str(status)])["content"]["application/json"]["schema"]
    return problems(schema, body)


def unknown_properties(schema: dict[str, Any], value: Any, path: str = "") -> list[str]:
    """The properties of a value that the description does not name; it forbids none, but a stand-in must invent none."""
    schema = resolved(schema)
    if isinstance(value, list):
        return [name for item in value for name in unknown_properties(schema.get("items", {}), item, path)]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    unknown = [f"{path}/{name}" for name in value if name not in schema["properties"]]
    for name, inner in value.items():
        unknown += unknown_properties(schema["properties"].get(name, {}), inner, f"{path}/{name}")
    return unknown
