"""`sips-worker` whose looks at the topology never end, as with a RabbitMQ that hangs; run as a program."""

from __future__ import annotations

import threading

from worker.cli import main
from worker.messaging.keeper import TopologyKeeper


def ensure(self: TopologyKeeper) -> None:
    """Wait for ever; with RabbitMQ it would be for minutes."""
    threading.Event().wait()


if __name__ == "__main__":
    TopologyKeeper.ensure = ensure  # type: ignore[method-assign]
    main()
