"""What `docker/` describes, checked and run without a container engine."""
