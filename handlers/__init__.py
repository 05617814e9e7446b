"""One module per SIPS area: a validated payload in, a result out. Importing this package registers every handler."""

from handlers import deliveries, orders, pricing

__all__ = ["deliveries", "orders", "pricing"]
