"""Compose AMALIA-VL from a vision tower and a text model, as the paper does (section 3)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedModel

from ..modeling.configuration_amalia_vl import TOWER_MODEL_TYPE, AmaliaVLConfig
from ..modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration
from ..modeling.raw_pixels_amalia_vl import take_normalisation
from ..processing.image_processing_amalia_vl import AmaliaVLImageProcessor
from ..processing.processing_amalia_vl import AmaliaVLProcessor
from ..processing.tiling_amalia_vl import UNTILED, TileLayout, num_visual_tokens
from .checkpoints import (
    MAX_SHARD_SIZE,
    Conversion,
    empty_model,
    find_source,
    give_dtypes,
    own_shapes,
    read_saved,
    require_tied_heads,
    save_checkpoint,
    stored_dtype,
)
from .provenance import provenance_of
from .rules import compose_rules, plan_tensors, require_complete
from .shards import (
    LazyTensor,
    in_memory,
    read_weights,
    recast,
    values_of,
)
from .tensor_files import FLOATS

IMAGE_TOKEN, VIDEO_TOKEN = "<image>", "<video>"
END_OF_TURN = "<|im_end|>"  # ChatML's, which ends every answer
NEW = ("model.multi_modal_projector.", "model.image_newline")
EMBEDDINGS, HEAD = "model.language_model.embed_tokens.weight", "lm_head.weight"
VOCAB_MULTIPLE = 64  # embedding rows, so that the head's matrix splits evenly over tensor cores and ranks


def compose(
    vision_model: PreTrainedModel,
    text_model: PreTrainedModel,
    tokenizer: Any,
    *,
    max_tiles: int,
    seed: int,
    drop_vision_layers: int = 0,
    videos: bool = False,
) -> tuple[AmaliaVLForConditionalGeneration, AmaliaVLProcessor]:
    """Join a SigLIP tower and a causal language model by a new connector.

    The tower keeps its layers up to the feature layer; what comes after (dropped layers, final norm, head) is left
    behind. The vocabulary gains `<image>` and is padded; new rows are the mean of the old ones, in the input
    embeddings and in the head, so that they neither stand out nor are ever the likeliest token.

    Args:
        vision_model: A `SiglipVisionModel`, or a `SiglipModel`, whose vision part is taken.
        text_model: A causal language model.
        tokenizer: The text model's fast tokenizer, with ChatML's tokens; a copy of it is extended.
        max_tiles: Most tiles the processor cuts an image into.
        seed: Of the connector's and the newline's first weights.
        drop_vision_layers: Layers left out at the tower's end: N takes features at layer -(N + 1) (-1 by default).
        videos: Whether the model is to take videos: the vocabulary gains `<video>` as well.

    Returns:
        The model, on the CPU in the text model's dtype, and its processor.

    Raises:
        ValueError: Tokenizer and text model, layers dropped and layers there, or an image's tokens and the decoder's
            positions do not fit.
    """
    vision_model = getattr(vision_model, "vision_model", vision_model)
    parts = {"vision:": vision_model, "text:model.": text_model.base_model}
    if not text_model.config.tie_word_embeddings:
        parts["text:lm_head."] = text_model.get_output_embeddings()
    source = {
        prefix + name: in_memory(weight)
        for prefix, part in parts.items()
        for name, weight in part.state_dict().items()
    }
    composed = _compose(
        vision_model.config, text_model.config, tokenizer, source, max_tiles, seed, drop_vision_layers, videos=videos
    )
    model = AmaliaVLForConditionalGeneration.from_pretrained(
        None,
        config=composed.model.config,
        state_dict={name: values_of(tensor) for name, tensor in composed.tensors.items()},
        dtype=composed.model.dtype,
        trust_remote_code=False,
    )
    model.generation_config = composed.model.generation_config
    return model, composed.processor


def compose_checkpoint(
    vision: str | Path,
    text: str | Path,
    out: str | Path,
    *,
    max_tiles: int,
    seed: int,
    drop_vision_layers: int = 0,
    dtype: str | None = None,
    max_shard_size: int | str = MAX_SHARD_SIZE,
    videos: bool = False,
) -> Conversion:
    """Write what `compose` gives, out of checkpoints that need not fit into memory.

    Args:
        vision: Directory or Hub id of a SigLIP checkpoint, of both towers or of the vision tower.
        text: Directory or Hub id of a causal language model, with its tokenizer.
        out: Directory to write, which must not exist yet.
        max_tiles: As in `compose`, like the two that follow.
        seed: Of the new weights.
        drop_vision_layers: Layers left out at the tower's end.
        dtype: "bf16", "fp16" or "fp32"; the text model's, when left out.
        max_shard_size: Most bytes of a file of weights, or "4GB".
        videos: As in `compose`.

    Returns:
        What was written, left behind and added.

    Raises:
        ValueError: The parts do not fit, see `compose`, or a checkpoint is not sound.
        OSError: A file cannot be read or written; nothing is left under the final name.
    """
    directories = {"vision": find_source(vision), "text": find_source(text)}
    settings = max_tiles, seed, drop_vision_layers, stored_dtype(dtype)
    composed = _compose(*_read_parts(directories), *settings, videos=videos)
    model, processor, tensors = composed.model, composed.processor, composed.tensors
    record = provenance_of("compose", directories, (tensor.dtype for tensor in tensors.values()))
    size = save_checkpoint(model, processor, tensors, Path(out), max_shard_size, own_shapes(model), record)
    return Conversion(Path(out), len(tensors), size, composed.dropped, composed.added, record)


def _read_parts(directories: Mapping[str, Path]) -> tuple[Any, Any, Any, dict[str, LazyTensor]]:
    """Read both configs, the tokenizer, and where the tensors lie: `vision:NAME` and `text:NAME`."""
    source = {
        f"{part}:{name}": tensor
        for part, directory in directories.items()
        for name, tensor in read_weights(directory).items()
    }
    vision_config, text_config = (read_saved(AutoConfig, directory) for directory in directories.values())
    if vision_config.model_type != TOWER_MODEL_TYPE:  # both towers of a SigLIP
        vision_config = getattr(vision_config, "vision_config", vision_config)
    return vision_config, text_config, read_saved(AutoTokenizer, directories["text"]), source


class _Composition(NamedTuple):
    """A model that is put together, all but the reading of its weights."""

    model: PreTrainedModel  # without weights, with their dtypes
    processor: AmaliaVLProcessor
    tensors: dict[str, LazyTensor]
    dropped: dict[str, str]  # source name -> why it is left behind
    added: tuple[str, ...]  # tensors that no source holds


def _compose(
    vision_config: Any,
    text_config: Any,
    tokenizer: Any,
    source: Mapping[str, LazyTensor],
    max_tiles: int,
    seed: int,
    drop_vision_layers: int,
    dtype: str | None = None,
    *,
    videos: bool = False,
) -> _Composition:
    """Compose what `source` holds, `vision:` and `text:` before its names, in memory or in files."""
    tokenizer = _extended(tokenizer, text_config.vocab_size, [IMAGE_TOKEN, VIDEO_TOKEN] if videos else [IMAGE_TOKEN])
    config = _config(vision_config, text_config, tokenizer, drop_vision_layers, videos=videos)
    _require_positions(config, max_tiles)
    rules = compose_rules(
        config.vision_config.num_hidden_layers, vision_config.num_hidden_layers, tied=config.tie_word_embeddings
    )
    plan = plan_tensors(rules, source)
    require_tied_heads(plan, source)
    tensors = {target: source[name] for target, name in plan.copied.items()}
    if EMBEDDINGS not in tensors:
        raise ValueError("the text checkpoint has no model.embed_tokens.weight: it is no causal language model's")
    dtype = dtype or tensors[EMBEDDINGS].dtype
    for name in {EMBEDDINGS, HEAD} & tensors.keys():
        tensors[name] = with_mean_rows(tensors[name], text_config.vocab_size, config.text_config.vocab_size, dtype)
    model = empty_model(AmaliaVLForConditionalGeneration, config)
    shapes = {name: shape for name, shape in own_shapes(model).items() if not name.startswith(NEW)}
    require_complete({name: tensor.shape for name, tensor in tensors.items()}, shapes)
    new = _new_weights(config, seed)  # not before: their size is the config's word
    tensors = {name: recast(tensor, dtype) for name, tensor in (tensors | new).items()}
    give_dtypes(model, {name: tensor.dtype for name, tensor in tensors.items()})
    model.generation_config = _generation_config(tokenizer)
    processor = AmaliaVLProcessor(_image_processor(config, max_tiles), tokenizer)
    take_normalisation(model.config, processor.image_processor)
    return _Composition(model, processor, tensors, plan.dropped, tuple(new))


def with_mean_rows(tensor: LazyTensor, rows: int, all_rows: int, dtype: str) -> LazyTensor:
    """Cast, and append rows that are the mean of the `rows` that there are, as they were stored."""
    width = tensor.shape[-1]
    if tensor.shape != (rows, width):
        raise ValueError(f"the text model has embeddings of shape {list(tensor.shape)} for a vocabulary of {rows}")

    def blocks() -> Iterator[torch.Tensor]:
        yield from recast(tensor, dtype).blocks()
        mean = _mean_row(block.view(-1, width) for block in tensor.blocks())
        for _ in range(all_rows - rows):
            yield mean.to(FLOATS[dtype])

    return LazyTensor(dtype, (all_rows, width), blocks)


def _generation_config(tokenizer: Any) -> GenerationConfig:
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.convert_tokens_to_ids(END_OF_TURN),
        pad_token_id=tokenizer.pad_token_id,
    )


def pad_left(tokenizer: Any) -> None:
    """Pad on the left, as batched generation needs; saving keeps what a tokenizer was made with, not what was set."""
    tokenizer.padding_side = "left"
    tokenizer.init_kwargs["padding_side"] = "left"


def _extended(tokenizer: Any, rows: int, tokens: list[str]) -> Any:
    """Return a copy of the tokenizer that knows `<image>`, and pads left, as batched generation needs."""
    if len(tokenizer) > rows:
        raise ValueError(f"the tokenizer has {len(tokenizer)} tokens but the text model {rows} embedding rows")
    if END_OF_TURN not in tokenizer.get_vocab():
        raise ValueError(f"the tokenizer's {len(tokenizer)} tokens lack {END_OF_TURN}, which ends a ChatML turn")
    if tokenizer.pad_token_id is None:
        raise ValueError("the tokenizer has no padding token; batches need one")
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens(tokens, special_tokens=True)
    pad_left(tokenizer)
    return tokenizer


def _config(
    vision_config: Any, text_config: Any, tokenizer: Any, drop_vision_layers: int, *, videos: bool
) -> AmaliaVLConfig:
    vision, text = copy.deepcopy(vision_config), copy.deepcopy(text_config)
    if not 0 <= drop_vision_layers < vision.num_hidden_layers:
        raise ValueError(
            f"drop_vision_layers={drop_vision_layers} does not fit a tower of {vision.num_hidden_layers} layers; "
            f"0 to {vision.num_hidden_layers - 1} can be dropped"
        )
    vision.num_hidden_layers -= drop_vision_layers
    vision.name_or_path = text.name_or_path = ""  # a path of this machine would be published
    text.vocab_size = padded_rows(max(text.vocab_size, len(tokenizer)))
    text.bos_token_id = tokenizer.bos_token_id
    text.eos_token_id = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    text.pad_token_id = tokenizer.pad_token_id
    return AmaliaVLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        video_token_id=tokenizer.convert_tokens_to_ids(VIDEO_TOKEN) if videos else None,
        tie_word_embeddings=text.tie_word_embeddings,
    )


def padded_rows(rows: int) -> int:
    """Give the embedding rows of a vocabulary, padded."""
    return -(-rows // VOCAB_MULTIPLE) * VOCAB_MULTIPLE


def _image_processor(config: AmaliaVLConfig, max_tiles: int) -> AmaliaVLImageProcessor:
    vision = config.vision_config
    return AmaliaVLImageProcessor(size=vision.image_size, patch_size=vision.patch_size, max_tiles=max_tiles)


def _require_positions(config: AmaliaVLConfig, max_tiles: int) -> None:
    """Refuse tilings whose largest image alone is longer than the decoder reads."""
    tallest = TileLayout(rows=max_tiles, cols=1, pad_rows=0, pad_cols=0) if max_tiles else UNTILED  # most newlines
    tokens = num_visual_tokens(tallest, config.patches_per_side)
    positions = config.text_config.max_position_embeddings
    if tokens >= positions:
        raise ValueError(
            f"an image of {max_tiles} tiles is {tokens} tokens but the text model has {positions} positions"
        )


def _mean_row(blocks: Iterable[torch.Tensor]) -> torch.Tensor:
    """Average rows that come in blocks `(rows, width)`, in fp64, so that the blocks' size does not show."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for block in blocks:
        total, count = total + block.double().sum(dim=0), count + len(block)
    return total / count  # (width,)


def _new_weights(config: AmaliaVLConfig, seed: int) -> dict[str, LazyTensor]:
    """Draw connector and newline, normal with variance 1 / inputs, so that features keep their scale; biases are 0."""
    generator = torch.Generator().manual_seed(seed)
    d_vision, d_text = config.vision_config.hidden_size, config.text_config.hidden_size
    weights = {"model.image_newline.weight": torch.randn(d_text, generator=generator) * d_text**-0.5}
    for name, inputs in (("linear_1", d_vision), ("linear_2", d_text)):
        weight = torch.randn(d_text, inputs, generator=generator) * inputs**-0.5
        layer = f"model.multi_modal_projector.{name}"
        weights |= {f"{layer}.weight": weight, f"{layer}.bias": torch.zeros(d_text)}
    return {name: in_memory(weight) for name, weight in weights.items()}
