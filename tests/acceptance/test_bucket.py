"""What is too large for an event, kept in a bucket; apart, as a worker with a folder would take its commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.acceptance.test_files import AMPLE, CATALOG, fetched, forget_peak, memory, result_of
from tests.acceptance.test_process import children
from tests.s3 import BUCKET, S3Server
from worker.sandbox.products import product_list
from worker.sandbox.state import EXAMPLE_ORDER_ID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Sandbox, Worker


def test_a_bucket_is_used_as_a_folder_is(
    make_worker: Callable[..., Worker],
    amqp_url: str,
    sandbox: Sandbox,
    client: CommandClient,
    tap: EventTap,
    tmp_path: Path,
) -> None:
    """By a worker process, which is forked: with as little memory, and its secret stands in no line of its log."""
    sandbox.set_faults(large={"mib": 20})
    with S3Server(tmp_path / "s3.log", checks_signatures=False) as s3:
        worker = make_worker(amqp_url, "--queues", "bulk", **s3.settings(), **AMPLE)

        tap.outcome(client.publish("sips.delivery.proof", {"orderId": EXAMPLE_ORDER_ID}))
        (working,) = children(worker.process.pid)
        before = memory(working, "VmRSS")
        forget_peak(working)

        result = result_of(tap.outcome(client.publish(CATALOG, {})))

        assert 0 < memory(working, "VmHWM") - before < 20
        assert result["dataref"].startswith(f"{s3.url}/{BUCKET}/sips-worker/")
        assert ("application/json", product_list(20)) == fetched(result["dataref"])
        assert s3.secret not in worker.log.read_text(encoding="utf-8")
