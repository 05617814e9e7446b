"""How each package manager is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.local import packages

if TYPE_CHECKING:
    from tests.local.conftest import Machine

APT_INSTALL = "install --yes --no-install-recommends -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 rabbitmq-server"


def test_a_failed_installation_is_tried_again_with_fresh_lists(machine: Machine) -> None:
    """Lists that are old or missing are fetched once, and only when they are needed."""
    machine.add("apk", f'[ "$1" = update ] && touch {machine.bin}/updated\n[ -e {machine.bin}/updated ]')
    (apk,) = packages.find_managers()
    assert packages.install(apk, "rabbitmq", [])
    assert machine.calls() == ["apk add rabbitmq-server", "apk update", "apk add rabbitmq-server"]
    assert packages.install(apk, "node", [])
    assert machine.calls()[3:] == ["apk add nodejs npm"]


def test_an_installation_that_fails_twice_has_failed(machine: Machine) -> None:
    """After the second attempt the answer is no."""
    machine.add("brew", "exit 1")
    (brew,) = packages.find_managers()
    assert not packages.install(brew, "node", [])
    assert machine.calls() == ["brew install node"] * 2


def test_debian_packages_start_no_service(machine: Machine) -> None:
    """What a package script calls to start a service is a stand-in while apt runs, both ways of handing PATH on."""
    machine.add("invoke-rc.d")
    machine.add("deb-systemd-invoke")
    by_environment = "invoke-rc.d rabbitmq-server start && deb-systemd-invoke start epmd.socket"
    machine.add("apt-get", f'{by_environment}\nPATH="${{2#DPkg::Path=}}"\n{by_environment}')
    (apt,) = packages.find_managers()
    assert packages.install(apt, "rabbitmq", [])
    (call,) = machine.calls()
    assert call.startswith("apt-get -o DPkg::Path=/")
    assert call.endswith(APT_INSTALL)


def test_debian_makes_no_cluster_of_databases(machine: Machine) -> None:
    """PostgreSQL's package script would make one, with a service for it; what it calls is a stand-in while apt runs."""
    machine.add("pg_createcluster")
    machine.add("apt-get", f"pg_createcluster 15 main && touch {machine.units}/postgresql.service")
    machine.add("update-rc.d")
    (apt,) = packages.find_managers()
    assert packages.install(apt, "postgresql", [])
    assert machine.calls()[1:] == ["update-rc.d postgresql disable"]


def test_only_services_that_came_with_the_installation_are_disabled(machine: Machine) -> None:
    """A service that was there before keeps its setting; nobody is asked anything while packages are configured."""
    (machine.units / "epmd.socket").touch()
    new = f"{machine.units}/rabbitmq-server.service"
    machine.add("apt-get", f'[ "$DEBIAN_FRONTEND" = noninteractive ] && touch {new}')
    machine.add("systemctl")
    machine.add("update-rc.d")
    (apt,) = packages.find_managers()
    assert packages.install(apt, "rabbitmq", [])
    assert machine.calls()[1:] == ["systemctl --quiet disable rabbitmq-server.service", "update-rc.d rabbitmq-server disable"]


def test_everything_runs_through_sudo_where_it_must(machine: Machine) -> None:
    """Each command that changes the system has the prefix, the environment included."""
    machine.add("sudo", 'shift; exec "$@"')
    machine.add("apt-get", f"touch {machine.units}/epmd.service")
    machine.add("systemctl")
    (apt,) = packages.find_managers()
    assert packages.install(apt, "rabbitmq", ["sudo", "-n"])
    assert [call.split()[:3] for call in machine.calls() if call.startswith("sudo")] == [
        ["sudo", "-n", "env"],
        ["sudo", "-n", "systemctl"],
    ]
