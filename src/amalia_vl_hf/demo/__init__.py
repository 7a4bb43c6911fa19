"""The embedded default, end to end: data, two warmed-up backbones, three stages, evaluation, a report.

`pipeline` runs it step by step: `scenes`, `scene_texts` and `scene_sets` make its data, `backbones` what is composed;
`exam` puts models to held-out questions, `results` counts, `report` shows.
"""

from .pipeline import run

__all__ = ["run"]
