"""Evaluation: `metrics` counts."""
