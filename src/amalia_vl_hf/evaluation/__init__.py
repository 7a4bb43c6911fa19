"""Scores: `held_out` puts a model to questions and preference pairs it has not seen, `scores` counts."""
