"""Evaluation: `tasks` are values, `counting` counts by two protocols, `run` asks, `report` shows.

>>> [score_item("pope_pt", "Sim!", {"references": ["sim"]}, protocol) for protocol in ("published", "corrected")]
[0.0, 1.0]
"""

from .counting.captions import corpus_score
from .counting.scoring import score_item
from .counting.totals import aggregate

__all__ = ["aggregate", "corpus_score", "score_item"]
