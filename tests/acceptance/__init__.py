"""The worker as its users meet it: real processes, a real RabbitMQ, the sandbox."""
