"""Pipelines with a real ledger on each kind of database."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from worker.main import make_pipeline
from worker.runtime.housekeeping import Housekeeping
from worker.settings import Settings

if TYPE_CHECKING:
    from tests.runtime.standins import Client, Make, Recorder
    from worker.blobs import BlobStore
    from worker.messaging.publisher import Publisher
    from worker.runtime.pipeline import Pipeline
    from worker.sips import SipsClient
    from worker.store.engine import Store


@pytest.fixture
def make(store: Store) -> Make:
    """Pipelines around stand-ins, with a real ledger."""

    def made(
        recorder: Recorder,
        client: Client,
        *,
        up_seconds: float = math.inf,
        blobs: BlobStore | None = None,
        stopping: threading.Event | None = None,
        **settings: Any,
    ) -> Pipeline:
        values = Settings(_env_file=None, **settings)
        publisher = cast("Publisher", recorder)
        if stopping is None:
            stopping = threading.Event()
            stopping.set()  # nothing is waited for
        housekeeping = Housekeeping(store=store, publisher=publisher, on_store=lambda _up: None, settings=values)
        return make_pipeline(
            values,
            cast("SipsClient", client),
            publisher,
            store,
            blobs,
            housekeeping=housekeeping,
            up_seconds=lambda: up_seconds,
            stopping=stopping,
        )

    return made
