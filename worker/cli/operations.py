"""`sips-worker operations`: SIPS' operations, the commands that call them, and how sure their paths are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import orjson

from worker import settings as settings_module
from worker.main import commands_of_operations
from worker.sips.operations import resolve_all

if TYPE_CHECKING:
    from worker.sips import Operation

#: In the place of a command for what the worker does by itself.
NO_COMMAND = "-"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def operations(*, as_json: bool) -> None:
    """Show SIPS' operations, and how sure their paths are.

    Of each its id, its command, method and path in force, where the path is from, and the page of SIPS' portal that tells of it.

    A path is "proved" where somebody vouches for it: a page of SIPS' portal ("documented"), somebody who read that page
    ("secondary"), or whoever set SIPS_PATHS__<operationId> ("configured"). It is "unproved" where it is a guess
    ("placeholder"): a 404 there says nothing of what was asked for, and its command ends .failed (sips-path-unconfirmed).
    `sips-worker calibrate` looks for such a path; else ask SRS, and set it.
    """
    commands = commands_of_operations()
    found = resolve_all(settings_module.load().sips_paths).values()
    if as_json:
        for operation in found:
            click.echo(orjson.dumps(_as_object(operation, commands.get(operation.id))).decode())
        return
    rows = [_as_row(operation, commands.get(operation.id, NO_COMMAND)) for operation in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip())


def _as_object(operation: Operation, command: str | None) -> dict[str, Any]:
    return {
        "operationId": operation.id,
        "command": command,
        "method": operation.method,
        "path": operation.path,
        "confidence": operation.confidence,
        "proved": operation.proved,
        "source": operation.source,
    }


def _as_row(operation: Operation, command: str) -> tuple[str, ...]:
    proved = "proved" if operation.proved else "unproved"
    return operation.id, command, operation.method, operation.path, operation.confidence, proved, operation.source
