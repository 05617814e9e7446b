"""Turn one delivered command into one outcome: registry, pipeline, retry policy."""
