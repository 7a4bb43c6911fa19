"""Configuration and model.

An island: its files import only each other, because saving a model copies them flat beside the weights.
"""
