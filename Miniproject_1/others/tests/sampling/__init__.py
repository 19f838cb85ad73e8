"""Tests of `others/sampling/`."""
