"""Builds a dataset.

`recipe` says what is built, `stages` what a model is asked, `shards` makes a part, `executors` say where, `run` goes
from begin to end; `tally` counts, `card` is what people read.
"""
