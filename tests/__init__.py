"""The proofs, laid out as the code is."""
