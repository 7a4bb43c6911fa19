"""Samples checked before they are trained on: what would be dropped and why, and what is only worth knowing."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, NamedTuple

from datasets import Dataset

from ..processing.image_loading_amalia_vl import load_image
from ..processing.video_loading_amalia_vl import Sampling, VideoReader
from .images import stored_bytes
from .lengths import Size, measure_all
from .loading import FIELDS, conversation, dialogues_of, require_readable
from .workers import in_chunks

# AMALIA's own, for a check without a model.
_TOKENS = re.compile(r"<image>|<video>|<\|im_start\|>|<\|im_end\|>|</?s>|<unk>")
# Kinds of findings, in the order of the report; those that drop a sample first.
DROPPED = ("row", "image", "video", "slots", "answer", "length", "duplicate")
NOTED = ("special token",)
MOST_TAKEN = 32  # frames of a video that are decoded, for a check without a model; TowerVision paper, section 2.2


class Finding(NamedTuple):
    """Something about a sample.

    Args:
        kind: One of `DROPPED` or `NOTED`.
        reason: What it is, naming the sample.
    """

    kind: str
    reason: str


@dataclass(frozen=True)
class SampleCheck:
    """What was found out about one sample.

    Args:
        index: Its position in the dataset.
        findings: What is wrong or worth knowing.
        size: Tokens and tiles, where they were measured.
    """

    index: int
    findings: tuple[Finding, ...]
    size: Size | None = None

    @property
    def dropped(self) -> bool:
        """Whether the sample cannot be trained on, or was there before."""
        return any(finding.kind in DROPPED for finding in self.findings)


@dataclass
class CheckReport:
    """What a check of a dataset found.

    Args:
        samples: How many were checked.
        kept: Positions of the samples to train on.
        sizes: Their tokens and tiles, where they were measured.
        counts: Findings by kind; a sample may have several.
    """

    samples: int = 0
    kept: list[int] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, checked: SampleCheck) -> None:
        """Count a sample."""
        self.samples += 1
        self.counts.update(finding.kind for finding in checked.findings)
        if not checked.dropped:
            self.kept.append(checked.index)
            self.sizes += [checked.size] if checked.size else []

    def table(self) -> str:
        """Say how many samples stay, and how many findings there are of each kind."""
        lines = [f"{self.samples} samples checked, {self.samples - len(self.kept)} to drop"]
        lines += [f"{self.counts[kind]:>10}  {kind}" for kind in DROPPED if self.counts[kind]]
        lines += [
            f"{self.counts[kind]:>10}  {kind} in a text: trained on as text" for kind in NOTED if self.counts[kind]
        ]
        return "\n".join(lines)


def check(
    data: Dataset,
    method: str,
    processor: Any = None,
    max_tiles: int = 12,
    max_length: int | None = None,
    workers: int = 0,
) -> Iterator[SampleCheck]:
    """Check every sample of a dataset, in its order.

    Images are decoded, and of videos the frames that are taken; the texts' slots, answers and special tokens, and
    duplicates (the same texts, images and videos) are looked for; with a processor, lengths are measured.

    Args:
        data: Samples as `samples.load_samples` gives them.
        method: `"sft"` or `"dpo"`.
        processor: The model's; without one nothing is measured, and special tokens are AMALIA's.
        max_tiles: Most tiles an image is cut into.
        max_length: Most tokens a sample may have.
        workers: Processes that check; what is found is the same with any number. 0: this one alone.

    Raises:
        RuntimeError: One of the processes was killed.
    """
    first_ones: dict[bytes, int] = {}
    looking = _Look(data, method, processor, max_tiles, max_length)
    for place, (checked, digest) in enumerate(in_chunks(looking, range(len(data)), workers)):
        first = place if digest is None else first_ones.setdefault(digest, place)
        if first != place:
            name, before = (data[one]["sample"] for one in (place, first))
            twice = Finding("duplicate", f"{name}: the same as {before}")
            checked = replace(checked, findings=(*checked.findings, twice))
        yield checked


@dataclass(frozen=True)
class _Look:
    """What can be found out about samples one by one, wherever that is done; see `check` for the arguments."""

    data: Dataset
    method: str
    processor: Any
    max_tiles: int
    max_length: int | None

    def __call__(self, places: Sequence[int]) -> list[tuple[SampleCheck, bytes | None]]:
        """Check the samples at some places, one after the other.

        Returns:
            What is found of each, and what tells it from others; None for one that is dropped already.
        """
        columns = self.data[places[0] : places[-1] + 1]
        samples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        tokens = () if self.processor is None else self.processor.control_tokens
        findings = [list(_findings(sample, self.method, self.processor, tokens)) for sample in samples]
        sound = [not any(finding.kind in DROPPED for finding in found) for found in findings]
        measured = self._measured([sample for sample, fits in zip(samples, sound, strict=True) if fits])
        looked_at = []
        for sample, found, fits in zip(samples, findings, sound, strict=True):
            size = next(measured) if fits else None
            if isinstance(size, ValueError):
                found, fits, size = [*found, Finding("row", str(size))], False, None
            if size and self.max_length is not None and size[0] > self.max_length:
                found.append(Finding("length", f"{sample['sample']}: {size[0]} tokens, more than {self.max_length}"))
            digest = _digest(sample, self.method) if fits else None
            looked_at.append((SampleCheck(sample["index"], tuple(found), size), digest))
        return looked_at

    def _measured(self, samples: list[dict[str, Any]]) -> Iterator[Size | ValueError | None]:
        if self.processor is None:
            return repeat(None)
        return iter(measure_all(samples, self.processor, self.max_tiles))


def _findings(sample: Mapping[str, Any], method: str, processor: Any, tokens: tuple[str, ...]) -> Iterator[Finding]:
    """Yield what can be said of a sample by itself, up to what hides the rest."""
    name = sample["sample"]
    if sample["fault"]:
        yield Finding("row", sample["fault"])
        return
    for kind in ("image", "video"):
        try:
            _decode(sample, kind, processor)
        except ValueError as error:
            yield Finding(kind, str(error) if str(error).startswith(name) else f"{name}: {error}")
            return
    dialogues = dialogues_of(sample)
    try:
        typed = [conversation(turns, sample["images"], name, sample.get("videos", ())) for turns in dialogues]
    except ValueError as error:
        yield Finding("slots", str(error))
        return
    if not all(any(turn["role"] == "assistant" and turn["content"] for turn in turns) for turns in dialogues):
        yield Finding("answer", f"{name}: no answer to learn from")
    elif method == "dpo" and sample["chosen"] == sample["rejected"]:
        yield Finding("answer", f"{name}: chosen and rejected are the same")
    try:
        literal = {token for turns in typed for token in _special_tokens(turns, processor, name, tokens)}
    except ValueError as error:
        yield Finding("row", str(error))
        return
    if literal:
        yield Finding("special token", f"{name}: {', '.join(sorted(literal))}")


def _decode(sample: Mapping[str, Any], kind: str, processor: Any) -> None:
    """Decode a sample's images, or the frames that are taken of its videos.

    Raises:
        ValueError: One of them cannot be used.
    """
    cells = sample.get(f"{kind}s", [])
    require_readable({**sample, "images": [], "videos": [], f"{kind}s": cells})
    if kind == "image":
        for number, cell in enumerate(cells):
            load_image(cell, number)
        return
    sampling = Sampling(processor.num_frames, processor.fps) if processor is not None else Sampling(MOST_TAKEN)
    for number, cell in enumerate(cells):
        video = VideoReader(cell, number)
        for _ in video.frames(video.sampled(sampling).positions):
            pass


def _special_tokens(turns: list[dict[str, Any]], processor: Any, name: str, tokens: tuple[str, ...]) -> Iterable[str]:
    if processor is not None:
        return processor.literal_tokens(turns, name, tokens)
    return [token for turn in turns for part in turn["content"] for token in _TOKENS.findall(part.get("text", ""))]


def _digest(sample: Mapping[str, Any], method: str) -> bytes:
    """Tell samples apart by their texts and their images' bytes."""
    digest = hashlib.sha256(repr([sample[name] for name in FIELDS[method]]).encode("utf-8", "surrogatepass"))
    for cell in (*sample["images"], *sample.get("videos", ())):
        digest.update(hashlib.sha256(stored_bytes(cell)).digest())
    return digest.digest()[:16]  # so many are held as there are samples
