"""What operators look at: log lines and their redaction."""

from worker.ops.known_secrets import register_secret
from worker.ops.logs import configure_logs

__all__ = ["configure_logs", "register_secret"]
