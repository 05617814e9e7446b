"""`sips-worker calibrate`: find the operations of SIPS whose paths are guesses, and tell where answers differ from the models."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click
import orjson

from worker import settings as settings_module
from worker.cli.calibrate import report
from worker.cli.calibrate.asking import Asker
from worker.cli.calibrate.questions import QUESTIONS, Fact, plan
from worker.cli.calibrate.samples import Samples
from worker.cli.calibrate.search import State, search
from worker.cli.errors import CommandError
from worker.cli.fleet_token import fleet_token
from worker.main import check
from worker.runtime.order_words import printable
from worker.sips import OPERATIONS
from worker.sips.variants import variants

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.cli.calibrate.questions import Question
    from worker.cli.calibrate.search import Finding
    from worker.settings import Settings


def _operations(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """The ids of operations that only read, given in any letter case, as they are written everywhere else."""
    ids = {question.operation.casefold(): question.operation for question in QUESTIONS}
    for name in given:
        if name.casefold() not in ids:
            raise click.BadParameter(f"{name!r} is none of the operations that only read: {', '.join(ids.values())}")
    return tuple(ids[name.casefold()] for name in given)


@click.command()
@click.option("--customer", required=True, metavar="CODE", help="Code of a customer that SIPS has.")
@click.option("--order", metavar="ID", help="SIPS' id of an order of this customer, best a delivered one.")
@click.option("--invoice", metavar="NUMBER", help="Number of an invoice of this customer.")
@click.option(
    "--only",
    metavar="OPERATION",
    multiple=True,
    callback=_operations,
    help="Only this operation and what it needs; can be repeated.",
)
@click.option("--save", metavar="FOLDER", help="Keep a sample of each answer there, without personal data.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every path that was tried.")
@click.option("--yes", is_flag=True, help="Go on in production as well.")
def calibrate(
    customer: str, order: str | None, invoice: str | None, only: tuple[str, ...], save: str | None, *, as_json: bool, yes: bool
) -> None:
    """Find out where SIPS' operations are.

    Reads only. Asks for each operation at its path and, where it is not there, at the paths where it may be; prints the
    settings that put it right, and which properties of the answers are not as the models have them. Exit status 1 if an
    operation is only perhaps there, was not found, or was not tried.
    """
    settings = settings_module.load()
    check(settings)
    questions = plan(only)
    _mind_production(settings, questions, yes=yes)
    samples = Samples(save)
    given = {Fact.CUSTOMER: customer, Fact.ORDER: order, Fact.INVOICE: invoice}
    facts = {fact: value.strip() for fact, value in given.items() if value and value.strip()}
    if not as_json:
        click.echo(f"  ..  {settings.sips_environment} at {settings.base_url}, customer {printable(customer)}")
    with fleet_token(settings) as tokens, contextlib.closing(Asker(settings, tokens)) as asker:
        findings = list(_told(search(questions, asker, facts, only), samples, quiet=as_json))
    notes = list(_notes(findings, facts))
    if as_json:
        told = report.as_json(findings, notes, asker.requests)
        head = {"environment": settings.sips_environment, "baseUrl": settings.base_url}
        click.echo(orjson.dumps(head | told, option=orjson.OPT_INDENT_2).decode())
    else:
        for line in report.closing(findings, notes):
            click.echo(line)
    sys.exit(0 if all(finding.is_sure for finding in findings) else 1)


def _mind_production(settings: Settings, questions: Sequence[Question], *, yes: bool) -> None:
    """A firewall may take the many paths that do not exist for an attack, and then shut the workers out as well."""
    if settings.sips_environment == "production" and not yes:
        raise CommandError(
            f"this may ask production for {_most_paths(questions)} paths, most of which do not exist: calibrate qa first, "
            "which has the same paths, and set what it prints here too; with --yes it asks production"
        )


def _most_paths(questions: Sequence[Question]) -> int:
    return sum(1 + len(variants(OPERATIONS[question.operation])) for question in questions)


def _told(findings: Iterator[Finding], samples: Samples, *, quiet: bool) -> Iterator[Finding]:
    """Each finding, told and kept as soon as it is there."""
    for finding in findings:
        if not quiet:
            click.echo(report.line(finding))
        answer = finding.look.answer if finding.look else None
        if finding.is_sure and answer is not None:
            asked = {"operation": finding.operation.id, "method": finding.operation.method, "path": finding.path}
            came = {"status": answer.status, "mediaType": answer.media_type, "bytes": len(answer.raw)}
            samples.keep(finding.operation.id, asked | came, answer.body)
        yield finding


def _notes(findings: Sequence[Finding], facts: dict[Fact, str]) -> Iterator[str]:
    """What makes it doubtful that something was not found."""
    by_id = {finding.operation.id: finding for finding in findings}
    if (invoice := by_id.get("invoiceDetails")) and invoice.state is State.NOT_FOUND:
        yield "SIPS does not show the invoice: if --invoice is wrong, a 404 says nothing of invoicePdf's path either"
    if Fact.ORDER in facts and (orders := by_id.get("ordersList")) and orders.is_sure and not _lists(orders, facts[Fact.ORDER]):
        yield "SIPS does not list the order for this customer: if --order is wrong, a 404 says nothing of paths that take one"


def _lists(orders: Finding, order_id: str) -> bool:
    body = orders.look.answer.body if orders.look and orders.look.answer else None
    rows = body.get("orderList") if isinstance(body, dict) else None
    return not isinstance(rows, list) or any(isinstance(row, dict) and str(row.get("orderId")) == order_id for row in rows)
