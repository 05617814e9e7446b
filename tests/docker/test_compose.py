"""compose.yaml: what it says is valid, fits together, and is what people are told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.docker.compose import COMPOSE, seconds, services
from tests.docker.dockerfile import DOCKERFILE, ROOT
from worker.local.container import IMAGE
from worker.local.install import NEEDS
from worker.settings import Settings

VALIDATOR = Path(sys.executable).with_name("check-jsonschema")

#: As for a newcomer, with nothing set.
SERVICES = services({})
RABBITMQ, SANDBOX, WORKER = (SERVICES[name] for name in ("rabbitmq", "sandbox", "worker"))

#: Where RabbitMQ is, seen from the host.
HOST_URL = "amqp://{RABBITMQ_DEFAULT_USER}:{RABBITMQ_DEFAULT_PASS}@127.0.0.1:5672/%2F".format_map(RABBITMQ["environment"])


def validate(file: Path) -> int:
    """The exit status of a check against the schema of the Compose Specification, which the program brings with it."""
    command = [str(VALIDATOR), "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_it_follows_the_compose_specification() -> None:
    """Whatever engine reads it."""
    assert 0 == validate(COMPOSE)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("stop_grace_period:", "stop_grace:"),
        ("condition: service_healthy", "condition: healthy"),
        ('command: ["sandbox"', 'command: [{"sandbox": 1}'),
        ("services:", "service:"),
    ],
)
def test_a_broken_one_is_refused(tmp_path: Path, right: str, wrong: str) -> None:
    """Misspelt, mistyped or misplaced."""
    text = COMPOSE.read_text(encoding="utf-8")
    (tmp_path / "compose.yaml").write_text(text.replace(right, wrong), encoding="utf-8")

    assert right in text
    assert 1 == validate(tmp_path / "compose.yaml")


def test_the_image_is_built_from_the_repository() -> None:
    """By the Dockerfile beside it, for the sandbox as for the worker."""
    for service in (SANDBOX, WORKER):
        context = (COMPOSE.parent / service["build"]["context"]).resolve()
        assert (ROOT, DOCKERFILE) == (context, context / service["build"]["dockerfile"])


@pytest.mark.parametrize("service", ["worker", "webhook"])
def test_every_setting_of_the_worker_is_one_that_it_knows(service: str) -> None:
    """A misspelt one would be ignored without a word."""
    written = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"][service]["environment"]

    assert set(written) <= {name.upper() for name in Settings.model_fields}


def test_a_setting_of_the_shell_reaches_the_worker() -> None:
    """Whether it has a default of compose's own or not."""
    given = {
        "SIPS_ENVIRONMENT": "qa",
        "SIPS_BASE_URL": "",
        "SIPS_CLIENT_ID": "me",
        "SIPS_CLIENT_SECRET": "secret",
        "SIPS_SOURCE_SYSTEM": "ME",
        "SIPS_TIME_ZONE": "America/Chicago",
        "BLOB_S3_BUCKET": "results",
        "PROCESSES": "2",
        "THREADS": "4",
    }

    seen = services(given)["worker"]["environment"]

    assert given == {name: value for name, value in seen.items() if name not in {"AMQP_URL", "DATABASE_URL"}}


def test_the_address_of_rabbitmq_on_the_host_stays_on_the_host() -> None:
    """In a container its loopback is another; another RabbitMQ goes by a name of its own."""
    inside = WORKER["environment"]["AMQP_URL"]

    assert inside == services({"AMQP_URL": HOST_URL})["worker"]["environment"]["AMQP_URL"]
    assert "amqp://x/" == services({"AMQP_URL": HOST_URL, "WORKER_AMQP_URL": "amqp://x/"})["worker"]["environment"]["AMQP_URL"]


def test_the_services_find_each_other() -> None:
    """The worker's addresses are what the other two are called, listen on and let in."""
    sips = urlsplit(WORKER["environment"]["SIPS_BASE_URL"])
    listening = dict(zip(SANDBOX["command"][1::2], SANDBOX["command"][2::2], strict=True))

    assert HOST_URL.replace("127.0.0.1", "rabbitmq") == WORKER["environment"]["AMQP_URL"]
    assert ("sandbox", 8085) == (sips.hostname, sips.port)
    assert {"--host": "0.0.0.0", "--port": "8085", "--control-port": "8086"} == listening


def test_the_worker_waits_for_rabbitmq() -> None:
    """Until RabbitMQ lets clients in; the sandbox is up in no time."""
    conditions = {name: dependency["condition"] for name, dependency in WORKER["depends_on"].items()}

    assert {
        "rabbitmq": "service_healthy",
        "migrate": "service_completed_successfully",
        "sandbox": "service_started",
    } == conditions
    assert "check_port_connectivity" in RABBITMQ["healthcheck"]["test"]


def test_the_store_is_migrated_before_a_worker_starts() -> None:
    """By the same image, in the database that the workers use, when it lets clients in."""
    migrate, database = SERVICES["migrate"], urlsplit(WORKER["environment"]["DATABASE_URL"])
    own = SERVICES["postgres"]["environment"]

    assert (["migrate"], WORKER["build"]) == (migrate["command"], migrate["build"])
    assert WORKER["environment"]["DATABASE_URL"] == migrate["environment"]["DATABASE_URL"]
    assert {"postgres": {"condition": "service_healthy"}} == migrate["depends_on"]
    assert ("postgres", own["POSTGRES_USER"], own["POSTGRES_PASSWORD"], f"/{own['POSTGRES_DB']}") == (
        database.hostname,
        database.username,
        database.password,
        database.path,
    )


def test_only_workers_are_asked_for_their_health() -> None:
    """The image's health check asks a worker; the others have none."""
    disabled = {name for name, service in SERVICES.items() if service.get("healthcheck") == {"disable": True}}

    assert {"migrate", "sandbox"} == disabled


def test_ports_are_published_on_loopback_only() -> None:
    """Under their own numbers; passwords that everybody knows must not be reachable from elsewhere."""
    published = {name: service.get("ports", []) for name, service in SERVICES.items()}

    assert {
        "rabbitmq": ["127.0.0.1:5672:5672", "127.0.0.1:15672:15672"],
        "postgres": [],
        "migrate": [],
        "sandbox": ["127.0.0.1:8085:8085", "127.0.0.1:8086:8086"],
        "worker": [],
        "webhook": ["127.0.0.1:8087:8087"],
    } == published


@pytest.mark.parametrize("service", ["worker", "webhook"])
def test_a_worker_is_stopped_later_than_it_stops_by_itself(service: str) -> None:
    """Or running commands and calls would be killed in the middle."""
    assert Settings.model_fields["grace_seconds"].default < seconds(SERVICES[service]["stop_grace_period"])


def test_workers_can_be_scaled() -> None:
    """Nothing of one stands in the way of another."""
    assert set() == {"container_name", "hostname", "ports", "volumes"} & set(WORKER)


def test_rabbitmq_is_the_one_that_is_tested_and_keeps_its_data() -> None:
    """The release of the private nodes, with the management added; its data belong to its host name."""
    assert f"{IMAGE}-management" == RABBITMQ["image"]
    assert ("rabbitmq", ["rabbitmq:/var/lib/rabbitmq"]) == (RABBITMQ["hostname"], RABBITMQ["volumes"])


def test_people_are_told_how_to_reach_it() -> None:
    """The README and the advice where RabbitMQ is missing; without the worker, which would take a test's commands away."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    advice = "\n".join(NEEDS["rabbitmq"].otherwise)

    assert HOST_URL in readme
    assert "http://127.0.0.1:15672" in readme
    assert "`docker compose -f docker/compose.yaml up --detach --wait rabbitmq`" in advice
    assert HOST_URL in advice
