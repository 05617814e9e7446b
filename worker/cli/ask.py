"""Ask a person before an order is changed, and know who decides."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

import click

from worker.cli.order_text import details, heading
from worker.cli.refusal import CANNOT, Refusal

if TYPE_CHECKING:
    from worker.runtime.decisions import Signature
    from worker.store.orders import Order

__all__ = ["ask", "go_on", "login"]


def ask(order: Order, what: str, signature: Signature | None, *, yes: bool) -> None:
    """Show what is known, say what will happen, and go on only with a yes.

    Raises:
        Refusal: the answer is no, or nobody is there to give one.
    """
    for line in (*heading(order), "", *details(order, payload=False), ""):
        click.echo(line)
    click.echo(f"{click.style('then', bold=True)}   {what}")
    if signature is not None:
        click.echo(f"       written down as decided by {signature.by}{f': {signature.note}' if signature.note else ''}")
    click.echo()
    go_on(yes=yes)


def go_on(*, yes: bool) -> None:
    """Ask, and return only with a yes.

    Raises:
        Refusal: the answer is no, or nobody is there to give one.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refusal("nothing was changed: without a terminal to ask on, this needs --yes", status=CANNOT)
    if not click.confirm("Do it?"):
        raise Refusal("nothing was changed")


def login() -> str:
    """Who decides, where nobody is named.

    Raises:
        click.UsageError: the system does not know.
    """
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        raise click.UsageError("nobody knows who you are; say it with --by NAME") from None
