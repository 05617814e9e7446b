"""Speak AMQP and CloudEvents: broker, consumer, publisher, topology; nothing of SIPS."""
