"""Samples checked before they are trained on: what would be dropped and why, and what is only worth knowing."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from datasets import Dataset

from ..processing.image_loading_amalia_vl import load_image
from ..processing.video_loading_amalia_vl import Sampling, VideoReader
from .images import stored_bytes
from .lengths import measure
from .loading import FIELDS, conversation, dialogues_of, require_readable

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
    size: tuple[int, int] | None = None

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
    sizes: list[tuple[int, int]] = field(default_factory=list)
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
    data: Dataset, method: str, processor: Any = None, max_tiles: int = 12, max_length: int | None = None
) -> Iterator[SampleCheck]:
    """Check every sample of a dataset.

    Images are decoded, and of videos the frames that are taken; the texts' slots, answers and special tokens, and
    duplicates (the same texts, images and videos) are looked for; with a processor, lengths are measured.

    Args:
        data: Samples as `samples.load_samples` gives them.
        method: `"sft"` or `"dpo"`.
        processor: The model's; without one nothing is measured, and special tokens are AMALIA's.
        max_tiles: Most tiles an image is cut into.
        max_length: Most tokens a sample may have.
    """
    first_ones: dict[bytes, str] = {}
    for sample in data:
        name, size = sample["sample"], None
        findings = list(_findings(sample, method, processor))
        if not any(finding.kind in DROPPED for finding in findings):
            if processor is not None:
                size = measure(sample, processor, max_tiles)
            if size and max_length is not None and size[0] > max_length:
                findings.append(Finding("length", f"{name}: {size[0]} tokens, more than {max_length}"))
            first = first_ones.setdefault(_digest(sample, method), name)
            if first != name:
                findings.append(Finding("duplicate", f"{name}: the same as {first}"))
        yield SampleCheck(sample["index"], tuple(findings), size)


def _findings(sample: Mapping[str, Any], method: str, processor: Any) -> Iterator[Finding]:
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
        literal = {token for turns in typed for token in _special_tokens(turns, processor, name)}
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


def _special_tokens(turns: list[dict[str, Any]], processor: Any, name: str) -> Iterable[str]:
    if processor is not None:
        return processor.literal_tokens(turns, name)
    return [token for turn in turns for part in turn["content"] for token in _TOKENS.findall(part.get("text", ""))]


def _digest(sample: Mapping[str, Any], method: str) -> bytes:
    """Tell samples apart by their texts and their images' bytes."""
    digest = hashlib.sha256(repr([sample[name] for name in FIELDS[method]]).encode("utf-8", "surrogatepass"))
    for cell in (*sample["images"], *sample.get("videos", ())):
        digest.update(hashlib.sha256(stored_bytes(cell)).digest())
    return digest.digest()
