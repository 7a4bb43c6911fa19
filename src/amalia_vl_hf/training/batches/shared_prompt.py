"""Preference pairs whose prompt, images and videos included, is computed once for both answers.

A pair is one row: the chosen conversation, then what the rejected one has beyond their shared beginning. The rest
attends to that beginning and to itself, and its positions continue from it, so every hidden state is the one its
conversation would have alone. TRL's own loss and metrics read the answers' states from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from ...samples.loading import conversation
from .collation import (
    PIXELS,
    ConversationCollator,
    Encoder,
    PreferenceCollator,
    joined_pixels,
    videos_of,
)
from .reference_log_probs import ReferenceLogProbs
from .segments import Segment, use_segmented_attention

Sample = Mapping[str, Any]
Images = dict[str, torch.Tensor]


class ScoredAnswer(NamedTuple):
    """One answer of a pair, with the token before it.

    `tokens` `(1 + answer,)` are their ids, `scored` which of them the loss counts (never the first), and `places`
    where they lie in the row.
    """

    tokens: torch.Tensor
    scored: torch.Tensor
    places: torch.Tensor


class PairRow(NamedTuple):
    """Two conversations in one row of `chosen_length + rejected length - shared` tokens."""

    tokens: torch.Tensor  # (row,)
    shared: int  # tokens that both conversations begin with
    chosen_length: int  # tokens, the shared ones included
    chosen: ScoredAnswer
    rejected: ScoredAnswer

    @property
    def positions(self) -> torch.Tensor:
        """Position of each token in its conversation, `(row,)`."""
        rest = len(self.tokens) - self.chosen_length
        return torch.cat((torch.arange(self.chosen_length), torch.arange(self.shared, self.shared + rest)))

    def segments(self, start: int) -> list[Segment]:
        """Say what attends to what, in a longer row that holds this one from `start` on."""
        middle, end = start + self.chosen_length, start + len(self.tokens)
        chosen = Segment(start, middle)
        return [chosen] if middle == end else [chosen, Segment(middle, end, start, start + self.shared)]


def pair_row(
    chosen: torch.Tensor, rejected: torch.Tensor, chosen_scored: torch.Tensor, rejected_scored: torch.Tensor
) -> PairRow:
    """Lay the two conversations of a pair into one row.

    Args:
        chosen: `(tokens,)` ids of the prompt and the chosen answer, one `<image>` for each visual token.
        rejected: `(tokens,)` ids of the same prompt and the rejected answer.
        chosen_scored: `(tokens,)` booleans: the tokens of the answer.
        rejected_scored: `(tokens,)` booleans, likewise.

    Raises:
        ValueError: The conversations begin differently, so that they share no prompt.
    """
    common = min(len(chosen), len(rejected))
    shared = int((chosen[:common] == rejected[:common]).long().cumprod(0).sum())
    if not shared:
        raise ValueError(
            "the chosen and the rejected conversation differ from their first token on; a pair shares one"
        )
    after = torch.arange(len(rejected))
    places = torch.where(after < shared, after, after + len(chosen) - shared)
    return PairRow(
        torch.cat((chosen, rejected[shared:])),
        shared,
        len(chosen),
        _answer(chosen, chosen_scored, torch.arange(len(chosen))),
        _answer(rejected, rejected_scored, places),
    )


def _answer(tokens: torch.Tensor, scored: torch.Tensor, places: torch.Tensor) -> ScoredAnswer:
    """Cut from a conversation its scored tokens, what lies between them, and the token before."""
    indices = torch.nonzero(scored[1:])  # each is predicted at the token before it; nothing predicts the first
    if not len(indices):
        raise ValueError("no token of an answer is scored; is it empty?")
    answer = slice(int(indices[0]), int(indices[-1]) + 2)
    scored = scored[answer].clone()
    scored[0] = False
    return ScoredAnswer(tokens[answer], scored, places[answer])


@dataclass(frozen=True)
class SharedPromptCollator:
    """Make one row of several preference pairs, each prompt and its images in it once.

    Args:
        encoder: What conversations are made into tensors by.
        reference: The reference model's log-probabilities, added to each batch once they are computed.
    """

    encoder: Encoder
    reference: ReferenceLogProbs | None = None

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Return the row, and each answer as TRL's loss reads it: all chosen ones, then all rejected ones.

        Returns:
            `row_ids`, `position_ids` and `attention_mask` `(1, row)`, the mask of ones because TRL counts tokens by
            it; `segments`; `input_ids`, `completion_mask` and `answer_places` `(2 * pairs, 1 + longest answer)`; the
            images' tensors; and `ref_chosen_logps`, `ref_rejected_logps` `(pairs,)` where they are known.

        Raises:
            ValueError: A sample is too long, has an image in an answer, or what the other collators refuse.
        """
        encoded = [self._encode(sample) for sample in samples]
        batch = pack_pairs([row for row, _ in encoded]) | joined_pixels([shown for _, shown in encoded])
        if self.reference is not None:
            batch |= self.reference.of([sample["index"] for sample in samples])
        return batch

    def _encode(self, sample: Sample) -> tuple[PairRow, Images]:
        """Tokenise a pair; its images are cut into tiles once, with the chosen conversation.

        Without the prompt's images both conversations are short, and end in the same tokens as with them.
        """
        prompt = conversation(sample["prompt"], sample["images"], sample["sample"], videos_of(sample))
        bare_prompt = [{**turn, "content": [p for p in turn["content"] if p["type"] == "text"]} for turn in prompt]
        whole = ConversationCollator(self.encoder)([{**sample, "messages": [*prompt, *sample["chosen"]]}])
        bare = PreferenceCollator(self.encoder)([{**sample, "images": [], "videos": [], "prompt": bare_prompt}])
        try:
            row = _restore_images(whole["input_ids"][0], whole["labels"][0] != -100, bare)
        except ValueError as error:
            raise ValueError(f"{sample['sample']}: {error}") from error
        length = row.shared + len(row.tokens) - row.chosen_length
        if length > self.encoder.max_length:
            raise ValueError(
                f"{sample['sample']}, rejected: {length} tokens exceed max_length={self.encoder.max_length}; raise "
                "max_length, lower max_tiles, or leave the sample out"
            )
        return row, {name: whole[name] for name in PIXELS if name in whole}


def _restore_images(whole: torch.Tensor, learned: torch.Tensor, bare: Mapping[str, torch.Tensor]) -> PairRow:
    """Lay a pair into a row.

    Args:
        whole: `(tokens,)` ids of the chosen conversation.
        learned: `(tokens,)` booleans: what assistants say in it.
        bare: Both conversations without the prompt's images, as `PreferenceCollator` gives them.

    Raises:
        ValueError: An answer has no assistant turn, or the chosen one reads otherwise beside images.
    """
    present = bare["attention_mask"].bool()
    chosen, rejected = (ids[mask] for ids, mask in zip(bare["input_ids"], present, strict=True))
    scored = [scored[mask].bool() for scored, mask in zip(bare["completion_mask"], present, strict=True)]
    if not all(mask.any() for mask in scored):
        raise ValueError("the chosen or the rejected answer has no assistant turn, so there is nothing to learn from")
    visual = len(whole) - len(chosen)
    before = int(torch.nonzero(scored[1])[0]) - 1  # last token of the prompt, in a conversation without images
    same = torch.equal(whole[visual + before :], chosen[before:])
    if not same or not torch.equal(learned[visual + before :], scored[0][before:]):
        raise ValueError("the chosen answer's tokens change with the prompt's images; does the chat template do that?")
    rejected = torch.cat((whole[: visual + before], rejected[before:]))
    return pair_row(whole, rejected, *(nn.functional.pad(mask, (visual, 0)) for mask in scored))


def pack_pairs(pairs: Sequence[PairRow]) -> dict[str, Any]:
    """Lay several pairs into one row; see [`SharedPromptCollator`] for what it returns."""
    starts = [0, *accumulate(len(pair.tokens) for pair in pairs)]
    placed = [(pair.chosen, start) for pair, start in zip(pairs, starts, strict=False)]
    placed += [(pair.rejected, start) for pair, start in zip(pairs, starts, strict=False)]
    row = torch.cat([pair.tokens for pair in pairs])[None]
    segments = [segment for pair, start in zip(pairs, starts, strict=False) for segment in pair.segments(start)]
    return {
        "row_ids": row,
        "position_ids": torch.cat([pair.positions for pair in pairs])[None],
        "attention_mask": torch.ones_like(row),
        "segments": tuple(segments),
        "input_ids": pad_sequence([answer.tokens for answer, _ in placed], batch_first=True),
        "completion_mask": pad_sequence([answer.scored.long() for answer, _ in placed], batch_first=True),
        "answer_places": pad_sequence([answer.places + start for answer, start in placed], batch_first=True),
    }


def share_prompts(model: Any) -> None:
    """Let a model, and TRL's head on it, read batches of [`SharedPromptCollator`]; others go through as before.

    TRL asks the model for the log-probability of `input_ids` after their first column. Here these are the answers,
    and the backbone runs over the row instead and returns the states at the answers' places, so that the head sees
    the answers alone, and TRL's losses and metrics stay what they are.
    """
    use_segmented_attention(model)
    backbone = model.base_model
    backbone.register_forward_pre_hook(_run_over_row, with_kwargs=True)
    backbone.register_forward_hook(_return_answers, with_kwargs=True)


def _run_over_row(
    backbone: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    if "row_ids" not in kwargs:
        return None
    kwargs = {name: value for name, value in kwargs.items() if name != "attention_mask"}
    kwargs["input_ids"] = kwargs.pop("row_ids")
    return args, kwargs


def _return_answers(backbone: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    places = kwargs.get("answer_places")
    if places is not None:
        output.last_hidden_state = output.last_hidden_state[0][places]  # (2 * pairs, 1 + longest answer, d_text)
    return output
