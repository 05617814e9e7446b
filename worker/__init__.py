"""Put the SIPS partner API behind RabbitMQ: commands in, outcomes and facts out."""

__version__ = "0.1.0"
