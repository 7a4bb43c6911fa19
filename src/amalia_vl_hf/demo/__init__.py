"""The embedded default, end to end: data, two warmed-up backbones, three stages, evaluation, a report.

`pipeline` runs it step by step; `tower`, `decoder` and `tokenizer` make what is composed; `results` counts, `report`
shows.
"""

from .pipeline import run

__all__ = ["run"]
