"""`sips-worker` with as few descriptors as a careless container gives; run as a program."""

from __future__ import annotations

import resource

from worker.cli import main
from worker.webhook.server import SPARE_DESCRIPTORS

#: Connections of callers that are left room for.
CONNECTIONS = 140

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (CONNECTIONS + SPARE_DESCRIPTORS,) * 2)
    main()
