"""Tokens of conversations in which each image is one, with what assistants say marked, to be widened by their images.

transformers tokenises every position of an image and compares each token with each answer in Python: more than a
second for an image of 12 tiles with 20 answers. Here an image is one token until all is marked.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class ChatTokens(NamedTuple):
    """Tokens of a conversation.

    Attributes:
        ids: `(tokens,)` int64.
        answers: `(tokens,)` int64: 1 where the assistant speaks, with the end of its turn.
    """

    ids: NDArray[np.int64]
    answers: NDArray[np.int64]

    def widened(self, slot: int, visual: Sequence[int], kind: str = "image") -> "ChatTokens":
        """Give each image, or each video, as many tokens as it takes in the decoder.

        Args:
            slot: The id of `<image>` or `<video>`, here one for each.
            visual: Visual tokens of each.
            kind: `image` or `video`, for errors.

        Raises:
            ValueError: There are not as many slots as images.
        """
        slots = self.ids == slot
        if slots.sum() != len(visual):
            raise ValueError(f"{slots.sum()} <{kind}> slots but {len(visual)} {kind}s")
        counts = np.ones(len(self.ids), np.int64)
        counts[slots] = visual
        return ChatTokens(self.ids.repeat(counts), self.answers.repeat(counts))


def tokens_within(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Mark the tokens that overlap a span of characters, as transformers marks answers.

    Args:
        offsets: First character of each token, and the one after its last.
        spans: The same of what is sought.

    Returns:
        `(tokens,)` int64: 1 where a token begins before the end of a span, and ends after its beginning.

    Examples:
        >>> tokens_within([(0, 3), (3, 4), (4, 9), (0, 0)], [(2, 3), (8, 12)]).tolist()
        [1, 0, 1, 0]
    """
    begins, ends = _columns(offsets)
    span_begins, span_ends = _columns(sorted(spans))
    before = span_begins.searchsorted(ends)  # of each token: how many spans begin before it ends
    farthest = np.maximum.accumulate(np.concatenate(([-1], span_ends)))  # end of the first spans, however many
    return (begins < farthest[before]).astype(np.int64)


def _columns(pairs: Sequence[tuple[int, int]]) -> Any:
    return np.array(pairs, np.int64).reshape(-1, 2).T
