"""From `llava_next` (AMALIA-VL, TowerVision) and `llava_onevision` (TowerVideo) to `amalia_vl`, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from transformers import (
    GenerationConfig,
    LlavaNextConfig,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    LlavaOnevisionConfig,
    PreTrainedModel,
    ProcessorMixin,
)

from ..modeling.configuration_amalia_vl import TRANSLATIONS, AmaliaVLConfig, to_llava
from ..modeling.llava_saving_amalia_vl import stock_class
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
from .onevision import each_channel, onevision_processor
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
from .videos import add_videos


def import_checkpoint(
    source: str | Path,
    out: str | Path,
    *,
    dtype: str | None = None,
    max_shard_size: int | str = MAX_SHARD_SIZE,
    revision: str | None = None,
    videos: bool = False,
) -> Conversion:
    """Turn a `llava_next` or `llava_onevision` checkpoint into an `amalia_vl` one, weight for weight.

    Tiling moves from the model's config to the processor's; the tower ends at its feature layer.

    Args:
        source: Directory or Hub id, with the key names of transformers 4 or 5, sharded or not.
        out: Directory to write, which must not exist yet.
        dtype: "bf16", "fp16" or "fp32"; as stored, when left out.
        max_shard_size: Most bytes of a file of weights, or "4GB".
        revision: Of the Hub repository.
        videos: Give a model that takes no videos a `<video>` token, to be trained on them (TowerVision, stage 3).
            Where the vocabulary has no row left it is padded with rows that are the mean of the others.

    Returns:
        What was written and what was left behind.

    Raises:
        ValueError: The checkpoint is none that AMALIA-VL can express, takes videos already, or is not sound.
        OSError: A file cannot be read or written; nothing is left under the final name.
    """
    directory, cast = find_source(source, revision), stored_dtype(dtype)
    require_type(directory, TRANSLATIONS, "only these checkpoints are imported")
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
    processor = read_saved(AmaliaVLProcessor, directory)
    _require_same_pooling(config, processor)
    pad_left(processor.tokenizer)
    if videos:
        processor, tensors = add_videos(config, processor, tensors)
    model = empty_model(AmaliaVLForConditionalGeneration, config)
    give_dtypes(model, {name: tensor.dtype for name, tensor in tensors.items()})
    take_normalisation(model.config, processor.image_processor)
    model.generation_config = _generation_config(directory, model, processor)
    record = provenance_of("import", {"model": directory}, (tensor.dtype for tensor in tensors.values()))
    size = save_checkpoint(model, processor, tensors, Path(out), max_shard_size, own_shapes(model), record)
    return Conversion(Path(out), len(tensors), size, plan.dropped, added=(), record=record)


def _require_plain(config: AmaliaVLConfig, directory: Path) -> None:
    if getattr(config, "quantization_config", None):
        raise ValueError(f"{directory} is quantised; convert the checkpoint that it was made from")


def _require_same_pooling(config: AmaliaVLConfig, processor: AmaliaVLProcessor) -> None:
    """Refuse a model and a processor that count the visual tokens of large images otherwise."""
    counted = processor.image_processor.pool_above_tiles
    if config.pool_above_tiles != counted:
        raise ValueError(
            f"the model pools images above {config.pool_above_tiles} tiles but the processor counts their tokens as "
            f"pooled above {counted}; does vision_aspect_ratio of config.json and of the processor's options agree?"
        )


def is_tied(config: AmaliaVLConfig | LlavaNextConfig | LlavaOnevisionConfig, tensors: Iterable[str]) -> bool:
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
    form: str | None = None,
) -> Conversion:
    """Turn an `amalia_vl` checkpoint into one for what knows no other: vLLM's own loader, the Hub.

    It is a `llava_next` one, or `llava_onevision` where the model takes videos. Keys have their legacy names; the norm
    past the features, which nothing uses but every loader wants, is neutral.

    Args:
        source: Directory or Hub id.
        out: Directory to write, which must not exist yet.
        dtype: "bf16", "fp16" or "fp32"; as stored, when left out.
        max_shard_size: Most bytes of a file of weights, or "4GB".
        revision: Of the Hub repository.
        resampler: "pil" accepts that stock classes resize otherwise than a processor whose resampler is "torch": some
            grey levels differ, by at most 2. Such a processor is refused when left out.
        form: "llava_next" or "llava_onevision", refused where the model needs the other.

    Returns:
        What was written and what was added.

    Raises:
        ValueError: The checkpoint uses what its format cannot express, or is not sound.
        OSError: A file cannot be read or written; nothing is left under the final name.
    """
    directory, cast = find_source(source, revision), stored_dtype(dtype)
    require_type(directory, ("amalia_vl",), "only amalia_vl checkpoints are exported")
    source_tensors = read_weights(directory)
    config, processor = read_saved(AmaliaVLConfig, directory), read_saved(AmaliaVLProcessor, directory)
    _require_plain(config, directory)
    _require_expressible(config, processor, resampler, form)
    plan = plan_tensors(EXPORT_RULES, source_tensors)
    tensors = {target: recast(source_tensors[name], cast) for target, name in plan.copied.items()}
    tensors |= _neutral_weights(config, tensors)
    stock_config = to_llava(config, canvases_of(processor.image_processor))
    model = empty_model(stock_class(stock_config), stock_config)
    shapes = {rename(STOCK_RULES, name): shape for name, shape in own_shapes(model).items()}
    require_complete({name: tensor.shape for name, tensor in tensors.items()}, shapes)
    give_dtypes(model, {name: tensors[rename(STOCK_RULES, name)].dtype for name in own_shapes(model)})
    model.generation_config = _generation_config(directory, model, processor)
    record = provenance_of("export", {"model": directory}, (tensor.dtype for tensor in tensors.values()))
    stock_processor = _stock_processor(processor, stock_config)
    size = save_checkpoint(model, stock_processor, tensors, Path(out), max_shard_size, shapes, record)
    return Conversion(Path(out), len(tensors), size, dropped={}, added=tuple(NEUTRAL), record=record)


def _require_expressible(
    config: AmaliaVLConfig, processor: AmaliaVLProcessor, resampler: str | None, wanted: str | None
) -> None:
    """Refuse what the stock class would silently do otherwise."""
    images, vision = processor.image_processor, config.vision_config
    form = "llava_next" if config.video_token_id is None else "llava_onevision"
    if wanted not in (None, form):
        takes = "takes no videos" if config.video_token_id is None else "takes videos"
        raise ValueError(f"the model {takes}, so it is written as {form!r}, not as {wanted!r}")
    if resampler not in (None, "pil"):
        raise ValueError(f"resampler is {resampler!r}; only 'pil' can be accepted in the place of the processor's own")
    if images.resampler != "pil" and resampler != "pil":
        raise ValueError(
            f"the processor's resampler is {images.resampler!r}, which {form} does not have: its pixels would "
            "differ by up to 2 grey levels; accept that with resampler='pil' (--resampler pil)"
        )
    if not canvases_of(images):
        raise ValueError(f"the processor never tiles (max_tiles=0), but {form} always does")
    geometry = (images.size["height"], images.patch_size)
    if geometry != (vision.image_size, vision.patch_size):
        raise ValueError(
            f"the processor's tile and patch are {geometry} pixels, the tower's "
            f"{(vision.image_size, vision.patch_size)}; {form} takes one pair for both"
        )
    _require_same_pooling(config, processor)
    if images.tile_several == (form == "llava_onevision"):
        tiles, does = ("tiles", "does not") if images.tile_several else ("does not tile", "does")
        raise ValueError(
            f"the processor {tiles} several images of a sample, but {form} {does}; what the model was trained with "
            f"cannot be said there. Where it is used with one image a sample, save its processor with "
            f"tile_several={not images.tile_several} first"
        )
    for kind, token_id in config.slot_ids.items():
        own = getattr(processor, f"{kind}_token_id", None)
        if own != token_id:
            raise ValueError(
                f"{getattr(processor, f'{kind}_token', None)} is token {own} of the tokenizer, but the config's "
                f"{kind}_token_id is {token_id}"
            )


def canvases_of(images: AmaliaVLImageProcessor) -> list[list[int]]:
    """List the canvases that images can get, in the order that decides ties."""
    size = images.size["height"]
    allowed = images.image_grid_pinpoints or generate_pinpoints(images.max_tiles, size)
    return [[height, width] for height, width in allowed if height * width <= images.max_tiles * size**2]


def _neutral_weights(config: AmaliaVLConfig, tensors: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    shape = (config.vision_config.hidden_size,)
    beside = tensors.get("vision_tower.vision_model.embeddings.patch_embedding.weight")
    dtype = beside.dtype if beside else "F32"  # without it, the plan is refused as incomplete
    return {name: filled(value, shape, dtype) for name, value in NEUTRAL.items()}


def _stock_processor(processor: AmaliaVLProcessor, config: LlavaNextConfig | LlavaOnevisionConfig) -> ProcessorMixin:
    if isinstance(config, LlavaOnevisionConfig):
        return onevision_processor(processor, config, canvases_of(processor.image_processor))
    images = processor.image_processor
    size = images.size["height"]
    return LlavaNextProcessor(
        LlavaNextImageProcessorPil(
            size={"shortest_edge": size},
            crop_size={"height": size, "width": size},
            image_grid_pinpoints=canvases_of(images),
            resample=images.resample,
            image_mean=each_channel(images.image_mean),
            image_std=each_channel(images.image_std),
        ),
        processor.tokenizer,
        patch_size=images.patch_size,
        vision_feature_select_strategy="full",
        chat_template=processor.chat_template,
        image_token=processor.image_token,
    )
