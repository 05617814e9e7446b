"""Tests of the blob stores."""
