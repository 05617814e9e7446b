"""`python -m worker` is `sips-worker`."""

from worker.cli import main

main()
