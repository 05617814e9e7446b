"""One module per SIPS area: a validated payload in, a result out. Importing this package registers every handler."""

from handlers import branches, bulk, customers, deliveries, documents, invoices, orders, pricing, products, watches

__all__ = ["branches", "bulk", "customers", "deliveries", "documents", "invoices", "orders", "pricing", "products", "watches"]
