"""`sips-worker demo`: everything on this machine, from nothing to outcomes, in about half a minute."""

from worker.cli.demo.command import demo

__all__ = ["demo"]
