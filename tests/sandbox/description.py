"""SIPS' description (`tests/data/sips/openapi.yaml`), and what requests and answers have to be by it."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

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


def request_problems(operation: str, method: str, target: str, body: bytes | None) -> list[str]:
    """What is wrong with a request: its method, path, query, or its body by the operation's schema.

    What the description itself only guesses to be required (`x-required-confidence: inferred`) may be missing: a documented
    example goes without some of it.
    """
    wanted, template, row = OPERATIONS[operation]
    parts = urlsplit(target)
    pattern = "|".join(re.sub(r"\{\w+\}", "[^/]+", path) for path in (template, *row.get("x-path-variants", [])))
    found = [] if (method, bool(re.fullmatch(pattern, parts.path))) == (wanted, True) else [f"{operation}: {method} {target}"]
    found += _parameter_problems(operation, dict(parse_qsl(parts.query, keep_blank_values=True)))
    if "requestBody" not in row:
        return found if body is None else [*found, f"{operation} has no body"]
    is_form = body is not None and not body.startswith((b"{", b"["))
    value = dict(parse_qsl((body or b"").decode())) if is_form else json.loads(body or b"null")
    return found + problems(_without_guesses(request_schema(operation)), value)


def _parameter_problems(operation: str, query: dict[str, str]) -> list[str]:
    rows = [resolved(row) for row in OPERATIONS[operation][2].get("parameters", [])]
    described = {row["name"]: row for row in rows if row["in"] == "query"}
    found = [f"{operation} has no query parameter {name}" for name in query if name not in described]
    found += [f"{operation} needs {name}" for name, row in described.items() if row["required"] and not query.get(name)]
    for name in query.keys() & described.keys():
        schema = described[name]["schema"]
        value = query[name] if schema["type"] == "string" else json.loads(query[name])
        found += problems(schema, value)
    return found


def _without_guesses(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: rule for name, rule in schema.items() if name != "required" or "x-required-confidence" not in schema}


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
