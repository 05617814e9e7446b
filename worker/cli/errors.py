"""What stops a command of the command line."""

from __future__ import annotations

__all__ = ["CommandError"]


class CommandError(Exception):
    """Something that the user can mend; the text says what happened and what to do, and the exit status is 2."""
