"""Each command, from payload to result."""
