"""Private servers and their set-up: real processes, and package managers that are scripts of the test's own."""
