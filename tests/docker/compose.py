"""Read compose.yaml as Compose does: variables, their defaults, and names that are handed on from the shell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from tests.docker.dockerfile import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMPOSE", "seconds", "services"]

COMPOSE = ROOT / "docker" / "compose.yaml"

#: `$$`, or `${NAME}` with an optional default; with a colon, an empty value counts as none.
VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?:(?P<operator>:?-)(?P<default>[^}]*))?\}")


def services(environment: Mapping[str, str]) -> dict[str, Any]:
    """The services under their names, for somebody with these variables in the shell or in `.env`."""
    found: dict[str, Any] = _resolve(yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"], environment)
    for service in found.values():
        given = {
            name: environment.get(name) if value is None else value for name, value in service.get("environment", {}).items()
        }
        service["environment"] = {name: value for name, value in given.items() if value is not None}
    return found


def _resolve(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, environment) for item in value]
    return VARIABLE.sub(lambda found: _value(found, environment), value) if isinstance(value, str) else value


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    if found[0] == "$$":
        return "$"
    value = environment.get(found["name"])
    is_missing = value is None or (value == "" and found["operator"] == ":-")
    return (found["default"] or "") if is_missing else str(value)


def seconds(duration: str) -> int:
    """A duration that is written in seconds alone."""
    return int(duration.removesuffix("s"))
