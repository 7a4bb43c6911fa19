"""Evaluation: `tasks` are values, `scoring` and `totals` count by two protocols, `run` asks, `report` shows.

>>> [score_item("pope_pt", "Sim!", {"references": ["sim"]}, protocol) for protocol in ("published", "corrected")]
[0.0, 1.0]
"""

from .captions import corpus_score
from .scoring import score_item
from .totals import aggregate

__all__ = ["aggregate", "corpus_score", "score_item"]
