"""The client of other services."""
