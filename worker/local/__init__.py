"""Private servers for the demo and the tests, on loopback and in a temporary folder."""
