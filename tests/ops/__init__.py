"""What operators look at: log lines and their redaction."""
