"""Checkpoints in and out: AMALIA-VL composed from its parts."""
