"""Checkpoints in and out: composed, imported, exported, verified, and published.

Weights stream from file to file, and a directory appears under its name when it is whole.
"""
