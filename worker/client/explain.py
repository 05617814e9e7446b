"""Say for people what an error of RabbitMQ's means and what to do about it, without an address or a password."""

from __future__ import annotations

import re

import pika.exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException

__all__ = ["CONNECTION_ERRORS", "explain"]

#: What pika raises where RabbitMQ is away, refuses or breaks off. The last kind, of a server that is connected and says
#: nothing, is outside pika's own tree.
CONNECTION_ERRORS = (pika.exceptions.AMQPError, OSError, AMQPConnectorException)

#: AMQP reply codes (the 0-9-1 specification's constants).
ACCESS_REFUSED, NOT_FOUND = 403, 404


def explain(error: BaseException) -> str:
    """An error that pika raised, in one line: what happened, and what to do next."""
    match error:
        case pika.exceptions.ProbableAuthenticationError():
            return "RabbitMQ refused the login; check user and password in AMQP_URL"
        case pika.exceptions.ProbableAccessDeniedError():
            said = re.search(r"'(.*)'", str(error.args))
            return (
                f"RabbitMQ refused the virtual host ({said[1] if said else 'no reason given'}); "
                "check the end of AMQP_URL and the user's permissions"
            )
        case pika.exceptions.IncompatibleProtocolError():
            return "what answers is no RabbitMQ, or not on this port; check host and port in AMQP_URL"
        case pika.exceptions.ChannelClosedByBroker(reply_code=code, reply_text=text):
            return f"RabbitMQ refused: {text}{_ADVICE.get(code, '')}"
    return _SAID.get(type(error)) or f"no connection to RabbitMQ ({_cause(error)}); is it running, and is AMQP_URL right?"


#: What is said of an error that is no lost connection, whatever its own words.
_SAID: dict[type[BaseException], str] = {
    pika.exceptions.UnroutableError: "no queue takes commands; declare the topology with `sips-worker topology declare`",
    pika.exceptions.NackError: "RabbitMQ did not take the command: its queue is full or not available; publish again later",
    pika.exceptions.ConnectionBlockedTimeout: (
        "RabbitMQ takes no messages (memory or disk alarm); look at it, and publish again under the same id"
    ),
    pika.exceptions.ChannelWrongStateError: "an earlier error closed this client; open another one",
}

#: What to do about a channel that RabbitMQ closed, by its reply code.
_ADVICE = {
    ACCESS_REFUSED: "; the user in AMQP_URL lacks that right, which RabbitMQ's administrator can give",
    NOT_FOUND: "; declare the topology with `sips-worker topology declare`",
}


def _cause(error: BaseException) -> str:
    """What lies at the bottom of an error: RabbitMQ's own words, the system's, or the error's name."""
    inside = [getattr(error, "exception", None), *error.args]
    if cause := next((inner for inner in inside if isinstance(inner, BaseException)), None):
        return _cause(cause)
    own = getattr(error, "reply_text", None) or getattr(error, "strerror", None)
    said = next((text for text in (own, *error.args) if isinstance(text, str)), "")
    return re.split(r"'|\(\d+,", said)[0].strip(" :(") or type(error).__name__  # pika quotes what it tried, at length
