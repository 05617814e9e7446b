"""Write the contract's generated files: `python -m worker.cli.contract`, or `make contract`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from worker.main import make_topology
from worker.runtime.registry import registry

__all__ = ["FOLDER", "files"]

#: Where the files are kept; a test fails when they are not what the code says.
FOLDER = Path(__file__).parent.parent / "contract"

#: Version of the wire contract; additions keep it, a breaking change is a new command type.
VERSION = 1


def files() -> dict[str, bytes]:
    """File name to content: the topology, and for each command the JSON Schemas of its payload and its result."""
    contents: dict[str, Any] = {"topology.json": make_topology().export()}
    for handler in registry:
        for part, model, mode in (("payload", handler.payload, "validation"), ("result", handler.result, "serialization")):
            schema = TypeAdapter(model).json_schema(by_alias=True, mode=mode)  # type: ignore[arg-type]
            name = f"{handler.type}.{part}.v{VERSION}.json"
            contents[name] = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
    return {name: orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n" for name, content in contents.items()}


def write() -> None:
    """Replace the files in the folder."""
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name, content in files().items():
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    write()
