"""Proofs with a fleet of processes around one token."""
