"""Break what the workers live on, and the workers themselves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from tests.chaos.fleet import Fleet
    from tests.proxy import Proxy
    from worker.local.postgres import PostgresCluster
    from worker.local.rabbitmq import RabbitMQNode

__all__ = ["Disturber", "Surroundings"]

#: The memory that RabbitMQ may use: none, and its default.
NO_MEMORY, MEMORY = "0.00001", "0.4"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the workers live on; both are broken on purpose, and left running."""

    node: RabbitMQNode
    postgres: PostgresCluster
    folder: Path
    show: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Disturber:
    """Does what a plan's disturbances say."""

    surroundings: Surroundings
    fleet: Fleet
    to_broker: Proxy
    to_database: Proxy

    def do(self, kind: Kind, seconds: float, chance: Random) -> str:  # noqa: C901 - one line per kind
        """Do one of them, for so many seconds where it lasts; what is to be said of it."""
        node, postgres = self.surroundings.node, self.surroundings.postgres
        match kind:
            case Kind.KILL_SENDER:
                return self.fleet.kill_sender(chance)
            case Kind.KILL_MASTER:
                return self.fleet.kill_master(chance)
            case Kind.STOP_WORKER:
                return self.fleet.terminate(chance)
            case Kind.RESTART_BROKER:
                node.restart()
            case Kind.CRASH_BROKER:
                node.kill()
                node.start()
            case Kind.RESTART_DATABASE:
                postgres.restart()
            case Kind.CRASH_DATABASE:
                postgres.kill()
                postgres.start()
            case Kind.CUT_BROKER:
                self.to_broker.cut()
            case Kind.CUT_DATABASE:
                self.to_database.cut()
            case Kind.FREEZE_BROKER:
                self.to_broker.freeze()
            case Kind.FREEZE_DATABASE:
                self.to_database.freeze()
            case Kind.ALARM:
                node.rabbitmqctl("set_vm_memory_high_watermark", NO_MEMORY)
                time.sleep(seconds)
                node.rabbitmqctl("set_vm_memory_high_watermark", MEMORY)
        return ""
