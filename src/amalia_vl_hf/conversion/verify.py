"""Do two checkpoints compute the same? Each may be an `amalia_vl`, a `llava_next` or a `llava_onevision` one."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import (
    AutoTokenizer,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessorPil,
    PreTrainedModel,
    ProcessorMixin,
)

from ..modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration
from ..processing.decoding_amalia_vl import SUFFIXES
from ..processing.image_loading_amalia_vl import load_image
from ..processing.plain_text_amalia_vl import of_template
from ..processing.processing_amalia_vl import AmaliaVLProcessor
from .checkpoints import (
    file_hashes,
    find_source,
    model_type,
    read_saved,
    stored_dtype,
)
from .llava_next import is_tied
from .onevision import LlavaOnevisionProcessor
from .provenance import source_at
from .tensor_files import FLOATS, read_checkpoint

STAGES = ("input ids", "pixels", "tower", "connector", "packed features", "logits", "greedy tokens")
QUESTION = "O que se vê na imagem?"
GENERATED = ((0.8, 0.6), (1.5, 2.9), (3.4, 1.2), (0.05, 2.0))  # height and width in tiles: small, wide, tall, extreme
FRAMES = 3  # of a made-up video
SCORED = 32  # last positions whose logits are compared
NEW_TOKENS = 16

# Of each foreign kind, its config and the class that runs it.
STOCK: dict[str, tuple[Any, Any]] = {
    "llava_next": (LlavaNextConfig, LlavaNextForConditionalGeneration),
    "llava_onevision": (LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration),
}


class Sample(NamedTuple):
    """One question, about a picture, about a video or about neither."""

    name: str
    picture: Image.Image | None
    clip: tuple[Image.Image, ...] = ()  # frames of the towers' size, which nobody resizes


@dataclass(frozen=True)
class Drift:
    """How far two checkpoints are apart at one stage."""

    stage: str
    difference: float | None  # largest of all values of all samples; ids: how many differ; None: shapes differ, or NaN
    sample: str  # where it is largest


@dataclass(frozen=True)
class Verification:
    """How far two checkpoints are apart; `passed` is what `push` asks for."""

    passed: bool
    first: str  # Hub id, or a directory's absolute path
    second: str
    dtype: str
    tolerance: float
    samples: list[str]
    stages: list[Drift]
    first_files: dict[str, str]  # SHA-256 of each file that it was read from
    second_files: dict[str, str]

    def table(self) -> str:
        """Lay the report out for reading."""
        rows = [f"{'stage':<18}{'largest difference':>20}  sample"]
        for drift in self.stages:
            shown = "other shapes or NaN" if drift.difference is None else f"{drift.difference:.3g}"
            rows.append(f"{drift.stage:<18}{shown:>20}  {'all' if drift.difference == 0 else drift.sample}")
        verdict = "the same" if self.passed else "NOT the same"
        return "\n".join([*rows, f"{verdict}: {self.first} and {self.second}, {self.dtype}"])

    def json(self) -> str:
        """Write the report for programs."""
        return json.dumps(asdict(self), indent=2) + "\n"


def verify(
    first: str | Path,
    second: str | Path,
    *,
    images: str | Path | None = None,
    dtype: str = "fp32",
    tolerance: float = 0.0,
    revision: str | None = None,
) -> Verification:
    """Run two checkpoints over the same pictures and compare what comes out of every stage.

    A `llava_next` or `llava_onevision` side runs in stock classes of transformers with Pillow's resizing, an
    `amalia_vl` side in ours. Where both take videos a made-up one is looked at, too. One model is in memory at a time.
    What a conversion gives is equal bit by bit, so nothing is tolerated by default; tolerance is for weights that were
    cast, or for a resampler that was replaced.

    Args:
        first: Directory or Hub id.
        second: Directory or Hub id.
        images: Directory of pictures; made-up ones of four shapes when left out. A sample without image comes besides.
        dtype: What both are run in: "fp32", "bf16" or "fp16".
        tolerance: Largest absolute difference of pixels, activations and logits; ids and tokens must be equal.
        revision: Branch, tag or commit of a Hub id; `main` when left out.

    Returns:
        The largest difference at each stage.

    Raises:
        ValueError: A side is no such checkpoint or lacks weights, its chat template cannot be rendered, or a picture
            cannot be read.
        OSError: A side is not there.
    """
    directories = [find_source(side, revision) for side in (first, second)]
    hashes = [file_hashes(directory) for directory in directories]  # before anything is read
    processors = [_processor(directory) for directory in directories]
    torch_dtype = FLOATS[stored_dtype(dtype) or "F32"]
    samples = [Sample("text only", None), *pictures_of(images, processors[0])]
    if all(getattr(processor, "video_token_id", None) is not None for processor in processors):
        samples.append(_make_clip(_tile_size(processors[0])))
    chat = all(processor.chat_template for processor in processors)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.safetensors") for number in range(len(samples))]
        model = _model(directories[0], torch_dtype)
        for sample, file in zip(tqdm(samples, desc=f"running {first}", disable=None), files, strict=True):
            save_file(_observe(model, processors[0], sample, chat), file)
        del model  # before the next one is loaded: memory holds one of them
        model = _model(directories[1], torch_dtype)
        drifts: dict[str, Drift] = {}
        for sample, file in zip(tqdm(samples, desc=f"running {second}", disable=None), files, strict=True):
            _compare(load_file(file), _observe(model, processors[1], sample, chat), sample.name, drifts)
    stages = [drifts[stage] for stage in STAGES if stage in drifts]
    limits = {"input ids": 0.0, "greedy tokens": 0.0}  # these are equal, or they are not
    passed = all(
        drift.difference is not None and drift.difference <= limits.get(drift.stage, tolerance) for drift in stages
    )
    one, other = (source_at(directory).name for directory in directories)
    return Verification(passed, one, other, dtype, tolerance, [sample.name for sample in samples], stages, *hashes)


def pictures_of(images: str | Path | None, processor: ProcessorMixin) -> list[Sample]:
    """Read a directory's pictures, or make some of four shapes.

    Raises:
        ValueError: The directory holds none, or one that cannot be read.
    """
    return _read_images(Path(images)) if images else _make_images(_tile_size(processor))


def _tile_size(processor: ProcessorMixin) -> int:
    sides = dict(processor.image_processor.size).values()
    return int(max(side for side in sides if side is not None))


def _processor(directory: Path) -> ProcessorMixin:
    kind = model_type(directory)
    if kind == "amalia_vl":
        return read_saved(AmaliaVLProcessor, directory)
    if kind not in STOCK:
        raise ValueError(
            f"{directory} is a {kind!r} checkpoint; {' and '.join(('amalia_vl', *STOCK))} ones can be compared"
        )
    ours = read_saved(AmaliaVLProcessor, directory)  # reads what old directories lack: patch size, strategy
    if kind == "llava_onevision":
        images = ours.image_processor
        return LlavaOnevisionProcessor(
            read_saved(LlavaOnevisionImageProcessorPil, directory),
            read_saved(AutoTokenizer, directory),
            num_image_tokens=(images.size["height"] // images.patch_size) ** 2,
            vision_aspect_ratio=f"anyres_max_{images.pool_above_tiles}",
            chat_template=ours.chat_template,
            image_token=ours.image_token,
            video_token=ours.video_token,
        )
    return LlavaNextProcessor(
        read_saved(LlavaNextImageProcessorPil, directory),
        read_saved(AutoTokenizer, directory),
        patch_size=ours.image_processor.patch_size,
        vision_feature_select_strategy="full",
        chat_template=ours.chat_template,
        image_token=ours.image_token,
    )


def _model(directory: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Load one side, none of whose weights may be new."""
    options: dict[str, Any] = {"dtype": dtype, "output_loading_info": True}
    tensors = read_checkpoint(directory)
    kind = model_type(directory)
    if kind in STOCK:
        config_class, model_class = STOCK[kind]
        config = read_saved(config_class, directory)
        config.tie_word_embeddings = is_tied(config, tensors)
        model, report = read_saved(model_class, directory, config=config, **options)
    else:
        model, report = read_saved(AmaliaVLForConditionalGeneration, directory, **options)
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"{directory} lacks weights of its own model: {', '.join(missing)}")
    return model.eval()


def _read_images(directory: Path) -> list[Sample]:
    """Read a directory's pictures as ours reads them, so that both sides get the same upright RGB pixels."""
    files = sorted(path for path in directory.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"{directory} holds no images: {', '.join(sorted(SUFFIXES))}")
    return [Sample(path.name, load_image(path, number)) for number, path in enumerate(files)]


def _make_images(tile_size: int) -> list[Sample]:
    """Make coloured noise of several shapes, coarse enough to survive resizing."""
    generator = np.random.default_rng(0)
    sizes = [(max(1, round(rows * tile_size)), max(1, round(cols * tile_size))) for rows, cols in GENERATED]
    noise = [Image.fromarray(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8)) for _ in sizes]
    return [
        Sample(f"{height}x{width}", picture.resize((width, height), Image.Resampling.BICUBIC))
        for (height, width), picture in zip(sizes, noise, strict=True)
    ]


def _make_clip(size: int) -> Sample:
    """Make a video of coloured noise."""
    generator = np.random.default_rng(1)
    noise = [Image.fromarray(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8)) for _ in range(FRAMES)]
    frames = tuple(frame.resize((size, size), Image.Resampling.BICUBIC) for frame in noise)
    return Sample(f"a video of {FRAMES} frames", None, frames)


def _observe(model: PreTrainedModel, processor: ProcessorMixin, sample: Sample, chat: bool) -> dict[str, torch.Tensor]:
    """Run one sample, and keep what comes out of each stage, on the CPU."""
    inputs = _inputs(processor, sample, chat)
    stages: dict[str, torch.Tensor] = {"input ids": inputs["input_ids"]}
    hooks = []
    if sample.picture is not None or sample.clip:
        pixels = inputs["pixel_values_videos" if sample.clip else "pixel_values"]
        stages["pixels"] = pixels[0] if pixels.ndim == 5 else pixels  # (tiles or frames, 3, S, S)
        token_id = processor.video_token_id if sample.clip else processor.image_token_id
        hooks = _watch(model, stages, slots=inputs["input_ids"] == token_id)
    try:
        with torch.no_grad():
            stages["logits"] = model(**inputs, logits_to_keep=SCORED).logits
    finally:
        for hook in hooks:
            hook.remove()
    stages["greedy tokens"] = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
    return {stage: value.detach().clone().contiguous() for stage, value in stages.items()}


def _inputs(processor: ProcessorMixin, sample: Sample, chat: bool) -> Any:
    """Prepare one question, as a chat in string form where both sides know how chats are written."""
    text = QUESTION
    if sample.picture is not None or sample.clip:
        text = f"{processor.video_token if sample.clip else processor.image_token}\n{QUESTION}"
    begin = processor.tokenizer.bos_token
    if chat:
        turns = [{"role": "user", "content": text}]
        with of_template():
            text = processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    options = {"add_special_tokens": not (bool(begin) and text.startswith(begin)), "return_tensors": "pt"}
    if sample.clip and isinstance(processor, LlavaOnevisionProcessor):
        return _stock_clip_inputs(processor, text, sample.clip, options)
    shown: dict[str, Any] = {"images": [sample.picture]} if sample.picture is not None else {}
    shown |= {"videos": [list(sample.clip)]} if sample.clip else {}
    return processor(text=[text], **shown, **options)


def _stock_clip_inputs(
    processor: LlavaOnevisionProcessor, text: str, clip: tuple[Image.Image, ...], options: dict[str, Any]
) -> Any:
    """Prepare a video as the stock processor does, whose video part needs torchvision: frames are images beside it."""
    frames = processor.image_processor([list(clip)], return_tensors="pt")["pixel_values"][:, 0]  # (frames, 3, S, S)
    tokens = processor.replace_video_token({"pixel_values_videos": frames[None]}, 0)
    return processor.tokenizer([text.replace(processor.video_token, tokens)], **options) | {
        "pixel_values_videos": frames[None]
    }


def _watch(model: PreTrainedModel, stages: dict[str, torch.Tensor], slots: torch.Tensor) -> list[Any]:
    """Keep what passes the connector, and what is placed in the `<image>` slots `(1, tokens)`."""

    def keep_features(_: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        stages["tower"], stages["connector"] = inputs[0], output

    def keep_packed(_: torch.nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        stages["packed features"] = options["inputs_embeds"][slots]

    body = model.model
    return [
        body.multi_modal_projector.register_forward_hook(keep_features),
        body.language_model.register_forward_pre_hook(keep_packed, with_kwargs=True),
    ]


def _compare(
    expected: dict[str, torch.Tensor], actual: dict[str, torch.Tensor], sample: str, drifts: dict[str, Drift]
) -> None:
    """Note the sample at the stages where it drifts the most so far."""
    for stage in expected:
        drift = Drift(stage, _difference(expected[stage], actual[stage]), sample)
        worst = drifts.get(stage)
        if worst is None or _rank(drift) > _rank(worst):
            drifts[stage] = drift


def _rank(drift: Drift) -> float:
    return math.inf if drift.difference is None else drift.difference


def _difference(expected: torch.Tensor, actual: torch.Tensor) -> float | None:
    if expected.shape != actual.shape:
        return None
    if not expected.is_floating_point():
        return float((expected != actual).sum())
    difference = (expected.double() - actual.double()).abs().max().item()
    return difference if math.isfinite(difference) else None
