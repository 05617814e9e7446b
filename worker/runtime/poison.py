"""Which message may have killed its process, and when it is set aside: a pure decision, no clock and no I/O.

RabbitMQ delivers again what was out when a connection ended, and marks it. The mark does not tell a message that killed
its process from one that ran or waited beside it, or was given back at a shutdown. So a marked message is suspected only:
in company it runs twice more at most, then it goes to the queue of suspects, where a process takes one at a time and starts
it the moment it arrives. There, and only there, a mark means that the process died (or its connection was cut) while this
message ran, and is counted. What comes to an end there, or needs a retry, is innocent and starts anew.

All of it stands in the message: the mark, RabbitMQ's count where it gives one (0 or absent in some versions, and from 4.3
on it does not count what was given back), and our own count in a header.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["ALONE_AFTER", "CRASHES", "POISON_AT", "Decision", "Verdict", "judge"]

#: Header with the number of deliveries that came to no end.
CRASHES = "sips-crashes"

#: Deliveries without an end after which a message runs alone.
ALONE_AFTER = 2

#: Deliveries without an end, the lone ones included, after which it is poison. Three lone ones: no row of kills and cuts by
#: chance hits the one message that runs alone so often.
POISON_AT = 5


class Verdict(enum.Enum):
    """What is done with a delivery before anything of it is read."""

    #: Carry it out here and now.
    RUN = "run"
    #: Back to its queue under our own count, as RabbitMQ gives none.
    AGAIN = "again"
    #: To the queue of suspects.
    ALONE = "alone"
    #: Tell its publisher and set it aside; it is not carried out any more.
    POISON = "poison"
    #: It killed its process even while that told its publisher: set it aside unread.
    UNREAD = "unread"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and, for AGAIN and ALONE, the count that the message carries on."""

    verdict: Verdict
    crashes: int = 0


def judge(*, redelivered: bool, delivery_count: int, crashes: int, alone: bool) -> Decision:
    """Decide what is done with a delivery.

    Args:
        redelivered: RabbitMQ's mark.
        delivery_count: RabbitMQ's header `x-delivery-count`; 0 where it has none.
        crashes: our header `CRASHES`; 0 where it has none.
        alone: whether it comes from the queue of suspects.
    """
    if alone:
        return _judge_alone(redelivered=redelivered, crashes=crashes)
    without_an_end = crashes + (max(delivery_count, 1) if redelivered else 0)
    if without_an_end >= ALONE_AFTER:
        return Decision(Verdict.ALONE, ALONE_AFTER)
    if redelivered and not delivery_count:
        return Decision(Verdict.AGAIN, without_an_end)
    return Decision(Verdict.RUN)


def _judge_alone(*, redelivered: bool, crashes: int) -> Decision:
    if crashes < POISON_AT:
        return Decision(Verdict.ALONE, crashes + 1) if redelivered else Decision(Verdict.RUN)
    return Decision(Verdict.UNREAD if redelivered else Verdict.POISON)
