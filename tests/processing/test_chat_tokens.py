import numpy as np
import pytest

from amalia_vl_hf.processing.chat_tokens_amalia_vl import ChatTokens, tokens_within


def overlapping(offsets, spans):
    """What transformers does: each token against each span."""
    return [int(any(begin < stop and end > start for start, stop in spans)) for begin, end in offsets]


@pytest.mark.parametrize("seed", range(40))
def test_tokens_are_within_a_span_as_each_is_compared_with_each(seed):
    generator = np.random.default_rng(seed)
    offsets = [(begin, begin + generator.integers(4)) for begin in generator.integers(0, 60, 50)]
    spans = [(begin, begin + generator.integers(12)) for begin in generator.integers(0, 60, seed % 7)]
    marked = tokens_within(offsets, spans)
    assert marked.tolist() == overlapping(offsets, spans)
    assert marked.dtype == np.int64


def test_nothing_is_within_when_there_is_nothing():
    assert tokens_within([], [(0, 3)]).tolist() == []
    assert tokens_within([(0, 3)], []).tolist() == [0]


def test_images_are_widened_with_what_is_marked():
    chat = ChatTokens(np.array([1, 9, 2, 9, 9]), np.array([0, 0, 1, 1, 0]))
    wide = chat.widened(9, [3, 1, 2])
    assert wide.ids.tolist() == [1, 9, 9, 9, 2, 9, 9, 9]
    assert wide.answers.tolist() == [0, 0, 0, 0, 1, 1, 0, 0]
    with pytest.raises(ValueError, match="3 <image> slots but 2 images"):
        chat.widened(9, [3, 1])
