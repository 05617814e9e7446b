"""`sips-worker calibrate`: where SIPS' operations really are, and what their answers look like."""

from worker.cli.calibrate.command import calibrate

__all__ = ["calibrate"]
