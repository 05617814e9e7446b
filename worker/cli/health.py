"""`sips-worker health`: ask the worker or webhook receiver of this machine or container how it is.

Quick, for a container's health check.
"""

from __future__ import annotations

import http.client
import json
import sys

import click

from worker import settings as settings_module
from worker.settings import SettingsError

#: Seconds to wait for the answer.
ANSWER_SECONDS = 5.0

#: Exit status when there is nobody to ask.
NOBODY = 2

#: Addresses that mean every one of this machine, and the one to ask.
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is opened here


@click.command()
@click.option("--ready", is_flag=True, help="Ask whether it takes commands from all its queues, not whether it is alive.")
def health(ready: bool) -> None:
    """Ask the running worker how it is.

    Exit status 1 if it is not well, 2 if nobody answers at HEALTH_PORT.
    """
    settings = settings_module.load_without_sips()
    if not settings.health_port:
        raise SettingsError("HEALTH_PORT is not set; start the worker and this command with the same one, e.g. HEALTH_PORT=8080")
    host = ANY.get(settings.health_host, settings.health_host)
    try:
        problems = _ask(host, settings.health_port, "/readyz" if ready else "/livez")
    except TimeoutError:
        problems = [f"no answer within {ANSWER_SECONDS:g} s"]
    except (OSError, http.client.HTTPException, ValueError) as error:
        click.echo(
            f"nobody: no worker answers on {host} port {settings.health_port} ({type(error).__name__}); "
            "does `sips-worker run` or `webhook` run here with this HEALTH_PORT?"
        )
        sys.exit(NOBODY)
    good = "ready" if ready else "live"
    click.echo(f"not {good}: {'; '.join(problems)}" if problems else good)
    sys.exit(1 if problems else 0)


def _ask(host: str, port: int, path: str) -> list[str]:
    """What is wrong, as the worker says; raises ValueError where it is no worker that answers."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        content = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if not isinstance(content, dict) or "status" not in content:
        raise ValueError("not the answer of a worker")
    return [str(problem) for problem in content.get("problems") or content.get("reasons") or []]
