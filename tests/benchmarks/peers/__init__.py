"""The job as one writes it with other libraries, each with its own defaults; run in an environment of their own.

None of them checks the command, refreshes a token, logs a line per command, retries, or tells a repeated event apart.
"""
