"""The webhook receiver, called as SIPS would call it and as it should not."""
