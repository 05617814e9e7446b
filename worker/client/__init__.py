"""Publish commands and read events from Python."""

from worker.client.commands import CommandClient, Form
from worker.client.errors import ClientError

__all__ = ["ClientError", "CommandClient", "Form"]
