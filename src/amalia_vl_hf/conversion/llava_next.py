"""From `llava_next` checkpoints (the official AMALIA-VL, TowerVision) to `amalia_vl` ones, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from transformers import (
    GenerationConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    PreTrainedModel,
)

from ..modeling.configuration_amalia_vl import AmaliaVLConfig, to_llava_next
from ..modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration
from ..modeling.raw_pixels_amalia_vl import take_normalisation
from ..processing.image_processing_amalia_vl import AmaliaVLImageProcessor
from ..processing.processing_amalia_vl import AmaliaVLProcessor
from ..processing.tiling_amalia_vl import generate_pinpoints
from .checkpoints import (
    MAX_SHARD_SIZE,
    Conversion,
    empty_model,
    find_source,
    give_dtypes,
    own_shapes,
    read_saved,
    require_tied_heads,
    require_type,
    save_checkpoint,
    stored_dtype,
)
from .compose import END_OF_TURN, pad_left
from .provenance import provenance_of
from .rules import (
    EXPORT_RULES,
    NEUTRAL,
    STOCK_RULES,
    import_rules,
    plan_tensors,
    rename,
    require_complete,
)
from .shards import (
    LazyTensor,
    filled,
    read_weights,
    recast,
)


def import_checkpoint(
    source: str | Path,
    out: str | Path,
    *,
    dtype: str | None = None,
    max_shard_size: int | str = MAX_SHARD_SIZE,
    revision: str | None = None,
) -> Conversion:
    """Turn a `llava_next` checkpoint into an `amalia_vl` one, weight for weight.

    Tiling moves from the model's config to the processor's; the tower ends at its feature layer.

    Args:
        source: Directory or Hub id, with the key names of transformers 4 or 5, sharded or not.
        out: Directory to write, which must not exist yet.
        dtype: "bf16", "fp16" or "fp32"; as stored, when left out.
        max_shard_size: Most bytes of a file of weights, or "4GB".
        revision: Of the Hub repository.

    Returns:
        What was written and what was left behind.

    Raises:
        ValueError: The checkpoint is no `llava_next` one that AMALIA-VL can express, or is not sound.
        OSError: A file cannot be read or written; nothing is left under the final name.
    """
    directory, cast = find_source(source, revision), stored_dtype(dtype)
    require_type(directory, "llava_next", "only llava_next checkpoints are imported")
    source_tensors = read_weights(directory)
    config = read_saved(AmaliaVLConfig, directory)
    _require_plain(config, directory)
    config.tie_word_embeddings = is_tied(config, source_tensors)
    rules = import_rules(
        config.vision_config.num_hidden_layers, config.source_vision_layers, tied=config.tie_word_embeddings
    )
    plan = plan_tensors(rules, source_tensors)
    require_tied_heads(plan, source_tensors)
    tensors = {target: recast(source_tensors[name], cast) for target, name in plan.copied.items()}
    model = empty_model(AmaliaVLForConditionalGeneration, config)
    give_dtypes(model, {name: tensor.dtype for name, tensor in tensors.items()})
    processor = read_saved(AmaliaVLProcessor, directory)
    take_normalisation(model.config, processor.image_processor)
    pad_left(processor.tokenizer)
    model.generation_config = _generation_config(directory, model, processor)
    record = provenance_of("import", {"model": directory}, (tensor.dtype for tensor in tensors.values()))
    size = save_checkpoint(model, processor, tensors, Path(out), max_shard_size, own_shapes(model), record)
    return Conversion(Path(out), len(tensors), size, plan.dropped, added=(), record=record)


def _require_plain(config: AmaliaVLConfig, directory: Path) -> None:
    if getattr(config, "quantization_config", None):
        raise ValueError(f"{directory} is quantised; convert the checkpoint that it was made from")


def is_tied(config: AmaliaVLConfig | LlavaNextConfig, tensors: Iterable[str]) -> bool:
    """Say, by the names of its tensors, whether a checkpoint's head and input embeddings are one.

    transformers 4 tied them when the text config said so, whatever the whole config says, and stored no head.
    """
    stores_head = any(name.endswith("lm_head.weight") for name in tensors)
    return config.tie_word_embeddings or (
        not stores_head and getattr(config.text_config, "tie_word_embeddings", False)
    )


def _generation_config(directory: Path, model: PreTrainedModel, processor: AmaliaVLProcessor) -> GenerationConfig:
    """Carry the source's over; where it is silent, answers end with their turn."""
    if (directory / "generation_config.json").is_file():
        config = read_saved(GenerationConfig, directory)
    else:
        config = GenerationConfig.from_model_config(model.config)
    tokenizer = processor.tokenizer
    if config.eos_token_id is None:
        ends_turns = END_OF_TURN in tokenizer.get_vocab()
        config.eos_token_id = tokenizer.convert_tokens_to_ids(END_OF_TURN) if ends_turns else tokenizer.eos_token_id
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    return config


def export_checkpoint(
    source: str | Path,
    out: str | Path,
    *,
    dtype: str | None = None,
    max_shard_size: int | str = MAX_SHARD_SIZE,
    revision: str | None = None,
    resampler: str | None = None,
) -> Conversion:
    """Turn an `amalia_vl` checkpoint into a `llava_next` one, for what knows no other: vLLM's own loader, the Hub.

    Keys have their legacy names; the norm past the features, which nothing uses but every loader wants, is neutral.

    Args:
        source: Directory or Hub id.
        out: Directory to write, which must not exist yet.
        dtype: "bf16", "fp16" or "fp32"; as stored, when left out.
        max_shard_size: Most bytes of a file of weights, or "4GB".
        revision: Of the Hub repository.
        resampler: "pil" accepts that llava_next resizes otherwise than a processor whose resampler is "torch": some
            grey levels differ, by at most 2. Such a processor is refused when left out.

    Returns:
        What was written and what was added.

    Raises:
        ValueError: The checkpoint uses what llava_next cannot express, or is not sound.
        OSError: A file cannot be read or written; nothing is left under the final name.
    """
    directory, cast = find_source(source, revision), stored_dtype(dtype)
    require_type(directory, "amalia_vl", "only amalia_vl checkpoints are exported")
    source_tensors = read_weights(directory)
    config, processor = read_saved(AmaliaVLConfig, directory), read_saved(AmaliaVLProcessor, directory)
    _require_plain(config, directory)
    _require_expressible(config, processor, resampler)
    plan = plan_tensors(EXPORT_RULES, source_tensors)
    tensors = {target: recast(source_tensors[name], cast) for target, name in plan.copied.items()}
    tensors |= _neutral_weights(config, tensors)
    model = empty_model(
        LlavaNextForConditionalGeneration, to_llava_next(config, _pinpoints(processor.image_processor))
    )
    shapes = {rename(STOCK_RULES, name): shape for name, shape in own_shapes(model).items()}
    require_complete({name: tensor.shape for name, tensor in tensors.items()}, shapes)
    give_dtypes(model, {name: tensors[rename(STOCK_RULES, name)].dtype for name in own_shapes(model)})
    model.generation_config = _generation_config(directory, model, processor)
    record = provenance_of("export", {"model": directory}, (tensor.dtype for tensor in tensors.values()))
    size = save_checkpoint(model, _llava_next_processor(processor), tensors, Path(out), max_shard_size, shapes, record)
    return Conversion(Path(out), len(tensors), size, dropped={}, added=tuple(NEUTRAL), record=record)


def _require_expressible(config: AmaliaVLConfig, processor: AmaliaVLProcessor, resampler: str | None) -> None:
    """Refuse what a llava_next checkpoint would silently do otherwise."""
    images, vision = processor.image_processor, config.vision_config
    if resampler not in (None, "pil"):
        raise ValueError(f"resampler is {resampler!r}; only 'pil' can be accepted in the place of the processor's own")
    if images.resampler != "pil" and resampler != "pil":
        raise ValueError(
            f"the processor's resampler is {images.resampler!r}, which llava_next does not have: its pixels would "
            "differ by up to 2 grey levels; accept that with resampler='pil' (--resampler pil)"
        )
    if not _pinpoints(images):
        raise ValueError("the processor never tiles (max_tiles=0), but llava_next always does")
    geometry = (images.size["height"], images.patch_size)
    if geometry != (vision.image_size, vision.patch_size):
        raise ValueError(
            f"the processor's tile and patch are {geometry} pixels, the tower's "
            f"{(vision.image_size, vision.patch_size)}; llava_next takes one pair for both"
        )
    if processor.image_token_id != config.image_token_id:
        raise ValueError(
            f"{processor.image_token} is token {processor.image_token_id} of the tokenizer, but the config's "
            f"image_token_id is {config.image_token_id}"
        )


def _pinpoints(images: AmaliaVLImageProcessor) -> list[list[int]]:
    """List the canvases that images can get, in the order that decides ties."""
    size = images.size["height"]
    allowed = images.image_grid_pinpoints or generate_pinpoints(images.max_tiles, size)
    return [[height, width] for height, width in allowed if height * width <= images.max_tiles * size**2]


def _neutral_weights(config: AmaliaVLConfig, tensors: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    shape = (config.vision_config.hidden_size,)
    beside = tensors.get("vision_tower.vision_model.embeddings.patch_embedding.weight")
    dtype = beside.dtype if beside else "F32"  # without it, the plan is refused as incomplete
    return {name: filled(value, shape, dtype) for name, value in NEUTRAL.items()}


def _llava_next_processor(processor: AmaliaVLProcessor) -> LlavaNextProcessor:
    images = processor.image_processor
    size = images.size["height"]
    return LlavaNextProcessor(
        LlavaNextImageProcessorPil(
            size={"shortest_edge": size},
            crop_size={"height": size, "width": size},
            image_grid_pinpoints=_pinpoints(images),
            resample=images.resample,
            image_mean=_each_channel(images.image_mean),
            image_std=_each_channel(images.image_std),
        ),
        processor.tokenizer,
        patch_size=images.patch_size,
        vision_feature_select_strategy="full",
        chat_template=processor.chat_template,
        image_token=processor.image_token,
    )


def _each_channel(value: float | list[float]) -> list[float]:
    return [float(value)] * 3 if isinstance(value, float | int) else value
