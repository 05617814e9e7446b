"""Speak HTTP and SIPS: operations, client, token, errors; nothing of queues.

The errors stand in `worker.sips.errors`, the shapes of SIPS' bodies in `worker.sips.models`.
"""

from worker.sips.answers import Answer
from worker.sips.client import PROBE, Abridged, Sips, SipsClient, make_token_source
from worker.sips.deadline import Deadline
from worker.sips.errors import Executed, SipsError, Unreadable
from worker.sips.limits import Limits
from worker.sips.operations import OPERATIONS, Confidence, Kind, Operation
from worker.sips.token import TokenManager, TokenSource
from worker.sips.token_endpoint import TokenEndpoint
from worker.sips.token_rules import Grant
from worker.sips.token_seal import entry_key
from worker.sips.transport import Transport

__all__ = [
    "OPERATIONS",
    "PROBE",
    "Abridged",
    "Answer",
    "Confidence",
    "Deadline",
    "Executed",
    "Grant",
    "Kind",
    "Limits",
    "Operation",
    "Sips",
    "SipsClient",
    "SipsError",
    "TokenEndpoint",
    "TokenManager",
    "TokenSource",
    "Transport",
    "Unreadable",
    "entry_key",
    "make_token_source",
]
