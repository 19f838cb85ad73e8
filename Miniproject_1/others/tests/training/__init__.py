"""Tests of what trainings need."""
