"""The same job done by this worker and by its peers, measured in one run: `make bench`."""
