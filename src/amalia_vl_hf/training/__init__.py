"""Training: the paper's three stages on TRL's trainers.

`stages` says what a stage trains, `recipe` reads how from YAML, `samples` and `collation` make batches, `run` trains.
"""
