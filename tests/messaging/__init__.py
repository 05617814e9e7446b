"""Envelope, headers, topology, publisher, consumer and broker."""
