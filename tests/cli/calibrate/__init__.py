"""Tests of `sips-worker calibrate`."""
