"""Registry, retry policy, outcomes and the pipeline."""
