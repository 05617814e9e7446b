"""Ages in the options of commands: 90s, 15m, 2h, 3d."""

from __future__ import annotations

import re

import click

__all__ = ["age"]

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def age(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """For the `callback` of an option: the age in seconds, where one was given.

    Raises:
        click.BadParameter: it is no age.
    """
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,5})([smhd])", value)
    if not found:
        raise click.BadParameter(f"{value!r} is no age such as 90s, 15m, 2h or 3d")
    return float(found[1]) * UNITS[found[2]]
