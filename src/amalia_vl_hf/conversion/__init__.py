"""Checkpoints in and out: composed, imported, exported, verified; `publishing` pushes them.

Weights stream from file to file, and a directory appears under its name when it is whole.
"""
