"""Samples that turn out bad while training runs: replaced, counted, and too many of them end the run.

A truncated image, a missing file, a conversation that is too long or whose slots and images do not match: the sample
gives its place to the next sound one of the same source. Which one follows from the dataset alone, so that a resumed
run, or one with other workers, trains on the same samples.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from ...fields import printable
from ...samples.loading import require_readable

logger = logging.getLogger(__name__)

Sample = Mapping[str, Any]
_LEAST_SEEN = 1000  # samples; a share of fewer says little, so that many are assumed from the start
_GOOD, _BAD = 1, 2


class BadShareError(ValueError):
    """More samples are bad than a recipe accepts; the message says how many, and what is wrong with the last."""


class BadSamples:
    """Which samples of a dataset were seen, and which of them were bad: each counts once, whatever worker met it.

    Args:
        dataset: Samples as `samples.load_samples` gives them.
        max_share: Largest share of bad ones among those seen; 0 accepts none.

    Attributes:
        lengths: Tokens of each sample, where they are known: no longer one takes a place, so that packed rows still
            fit. From the dataset, unless it does not say and they were measured.
    """

    lengths: np.ndarray[Any, np.dtype[np.int64]] | None

    def __init__(self, dataset: Dataset, max_share: float) -> None:
        if not 0 <= max_share < 1:
            raise ValueError(f"the share of bad samples must be at least 0 and below 1, not {max_share}")
        self.dataset = dataset
        self.max_share = max_share
        columns = dataset.with_format("numpy")[:]
        self._sources, self.lengths = columns["source"], columns.get("length")
        self._state = torch.zeros(len(dataset), dtype=torch.uint8)
        self._state.share_memory_()  # type: ignore[no-untyped-call]  # all workers of a rank write into it

    def see(self, samples: Sequence[Sample]) -> None:
        """Note that samples came up."""
        for sample in samples:
            if not self._state[sample["index"]]:
                self._state[sample["index"]] = _GOOD

    def condemn(self, sample: Sample, reason: Exception) -> None:
        """Note that a sample is bad, and why.

        Raises:
            BadShareError: It is one too many.
        """
        if self._state[sample["index"]] != _BAD:
            logger.warning("bad sample: %s", printable(str(reason)))
        self._state[sample["index"]] = _BAD
        bad, seen = int((self._state == _BAD).sum()), int(self._state.count_nonzero())
        if bad > self.max_share * max(seen, min(_LEAST_SEEN, len(self._state))):
            raise BadShareError(
                f"{bad} of {seen} samples were bad, more than max_bad_share={self.max_share:g}: {self.counts()}; "
                f"the last one: {reason}"
            ) from reason

    def counts(self) -> dict[str, int]:
        """Count the bad samples of each source, by its name."""
        bad = torch.nonzero(self._state == _BAD).flatten().tolist()
        first = {int(self._sources[index]): index for index in bad}  # a source's name is read once, not for each row
        names = {source: self.dataset[index]["source"] for source, index in first.items()}
        return dict(Counter(names[int(self._sources[index])] for index in bad))

    def substitutes(self, sample: Sample) -> Iterator[Sample]:
        """Yield the samples of the same source that follow, in turn; none longer, where lengths are known."""
        index = sample["index"]
        fitting = self._sources == self._sources[index]
        if self.lengths is not None:
            fitting &= self.lengths <= self.lengths[index]
        candidates = np.flatnonzero(fitting)
        after = np.searchsorted(candidates, index, side="right")
        for candidate in np.roll(candidates, -after).tolist():
            if candidate != index:
                yield self.dataset[candidate]


@dataclass(frozen=True)
class ReplacingCollator:
    """Collate samples, each bad one replaced by another.

    Args:
        collator: Makes a batch; raises ValueError where a sample is bad.
        bad_samples: Keeps count, and gives the replacements.
    """

    collator: Callable[[list[Sample]], Any]
    bad_samples: BadSamples

    def __call__(self, samples: Sequence[Sample]) -> Any:
        """Return the collator's batch.

        Raises:
            BadShareError: More samples are bad than accepted.
            ValueError: The batch cannot be made although each sample is sound, or a source has no sound sample left.
        """
        self.bad_samples.see(samples)
        if not any(self._fault(sample) for sample in samples):
            try:
                return self.collator(list(samples))
            except ValueError as error:
                logger.debug("looking for the bad sample: %s", error)
        return self.collator([self._sound(sample) for sample in samples])

    def _sound(self, sample: Sample) -> Sample:
        """Return the sample, or what takes its place."""
        reason = self._fault(sample) or self._trial(sample)
        if reason is None:
            return sample
        self.bad_samples.condemn(sample, reason)
        for substitute in self.bad_samples.substitutes(sample):
            if self._fault(substitute) is None and self._trial(substitute) is None:
                return substitute
        raise ValueError(f"no sample of {sample['source']} can take the place of a bad one: {reason}") from reason

    def _fault(self, sample: Sample) -> ValueError | None:
        """Say what is wrong with a sample that was read; images are not opened."""
        try:
            require_readable(sample)
        except ValueError as error:
            return error
        return None

    def _trial(self, sample: Sample) -> ValueError | None:
        """Say what goes wrong when the sample is collated alone."""
        try:
            self.collator([sample])
        except ValueError as error:
            return error if sample["sample"] in str(error) else ValueError(f"{sample['sample']}: {error}")
        return None
