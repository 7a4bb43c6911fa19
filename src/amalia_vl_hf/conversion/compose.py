"""Compose AMALIA-VL from a vision tower and a text model, as the paper does (section 3)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedModel

from ..modeling.configuration_amalia_vl import AmaliaVLConfig
from ..modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration
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
from .provenance import provenance
from .rules import Rule, compose_rules, plan
from .shards import NewTensor, in_memory, stored
from .tensor_files import (
    FLOATS,
    StoredTensor,
    read_checkpoint,
    stored_blocks,
)

IMAGE_TOKEN = "<image>"
END_OF_TURN = "<|im_end|>"  # ChatML's, which ends every answer
EMBEDDINGS, HEAD = "model.language_model.embed_tokens.weight", "lm_head.weight"
VOCAB_MULTIPLE = 64  # embedding rows, so that the head's matrix splits evenly over tensor cores and ranks

State = dict[str, torch.Tensor]


def compose(
    vision_model: PreTrainedModel,
    text_model: PreTrainedModel,
    tokenizer: Any,
    *,
    max_tiles: int,
    seed: int,
    drop_vision_layers: int = 0,
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

    Returns:
        The model, on the CPU in the text model's dtype, and its processor.

    Raises:
        ValueError: Tokenizer and text model, layers dropped and layers there, or an image's tokens and the decoder's
            positions do not fit.
    """
    vision_model = getattr(vision_model, "vision_model", vision_model)
    tokenizer = _extended(tokenizer, len(text_model.get_input_embeddings().weight))
    config = _config(vision_model.config, text_model.config, tokenizer, drop_vision_layers)
    _require_positions(config, max_tiles)
    processor = AmaliaVLProcessor(_image_processor(config, max_tiles), tokenizer)
    rows = config.text_config.vocab_size
    state = {
        **_tower_weights(vision_model, config.vision_config.num_hidden_layers),
        **_decoder_weights(text_model, rows, tied=config.tie_word_embeddings),
        **_new_weights(config, seed),
    }
    model = _load(config, state, next(text_model.parameters()).dtype)
    model.generation_config = _generation_config(tokenizer)
    return model, processor


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

    Returns:
        What was written, left behind and added.

    Raises:
        ValueError: The parts do not fit, see `compose`, or a checkpoint is not sound.
        OSError: A file cannot be read or written; nothing is left under the final name.
    """
    directories = {"vision": find_source(vision), "text": find_source(text)}
    held = {
        f"{part}:{name}": tensor
        for part, directory in directories.items()
        for name, tensor in read_checkpoint(directory).items()
    }
    vision_config, text_config = (read_saved(AutoConfig, directory) for directory in directories.values())
    vision_config = getattr(vision_config, "vision_config", vision_config)
    tokenizer = _extended(read_saved(AutoTokenizer, directories["text"]), text_config.vocab_size)
    config = _config(vision_config, text_config, tokenizer, drop_vision_layers)
    _require_positions(config, max_tiles)
    planned = plan(_rules(config, vision_config.num_hidden_layers), held)
    require_tied_heads(planned, held)
    sources = {target: held[name] for target, name in planned.copied.items()}
    new = _new_weights(config, seed)
    tensors = _composed_tensors(config, sources, new, stored_dtype(dtype))
    model = empty_model(AmaliaVLForConditionalGeneration, config)
    give_dtypes(model, {name: tensor.dtype for name, tensor in tensors.items()})
    model.generation_config = _generation_config(tokenizer)
    processor = AmaliaVLProcessor(_image_processor(config, max_tiles), tokenizer)
    made = provenance("compose", directories, (tensor.dtype for tensor in tensors.values()))
    size = save_checkpoint(model, processor, tensors, Path(out), max_shard_size, own_shapes(model), made)
    return Conversion(Path(out), len(tensors), size, planned.dropped, added=tuple(new), made=made)


def _rules(config: AmaliaVLConfig, source_layers: int) -> tuple[Rule, ...]:
    return compose_rules(config.vision_config.num_hidden_layers, source_layers, tied=config.tie_word_embeddings)


def _composed_tensors(
    config: AmaliaVLConfig, sources: Mapping[str, StoredTensor], new: State, dtype: str | None
) -> dict[str, NewTensor]:
    """Plan every weight: copied, with rows for new tokens, or new."""
    if EMBEDDINGS not in sources:
        raise ValueError("the text checkpoint has no model.embed_tokens.weight: it is no causal language model's")
    dtype = dtype or sources[EMBEDDINGS].dtype
    tensors = {name: stored(tensor, dtype) for name, tensor in sources.items()}
    for name in {EMBEDDINGS, HEAD} & sources.keys():
        tensors[name] = _stored_with_mean_rows(sources[name], config.text_config.vocab_size, dtype)
    return tensors | {name: in_memory(weight, dtype) for name, weight in new.items()}


def _stored_with_mean_rows(tensor: StoredTensor, rows: int, dtype: str) -> NewTensor:
    width = tensor.shape[-1]

    def blocks() -> Iterator[torch.Tensor]:
        yield from stored(tensor, dtype).blocks()
        mean = _mean_row(block.view(-1, width) for block in stored_blocks(tensor))
        for _ in range(rows - tensor.shape[0]):
            yield mean.to(FLOATS[dtype])

    return NewTensor(dtype, (rows, width), blocks)


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


def _extended(tokenizer: Any, rows: int) -> Any:
    """Return a copy of the tokenizer that knows `<image>` and pads left, as batched generation needs."""
    if len(tokenizer) > rows:
        raise ValueError(f"the tokenizer has {len(tokenizer)} tokens but the text model {rows} embedding rows")
    if END_OF_TURN not in tokenizer.get_vocab():
        raise ValueError(f"the tokenizer's {len(tokenizer)} tokens lack {END_OF_TURN}, which ends a ChatML turn")
    if tokenizer.pad_token_id is None:
        raise ValueError("the tokenizer has no padding token; batches need one")
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens([IMAGE_TOKEN], special_tokens=True)
    pad_left(tokenizer)
    return tokenizer


def _config(vision_config: Any, text_config: Any, tokenizer: Any, drop_vision_layers: int) -> AmaliaVLConfig:
    vision, text = copy.deepcopy(vision_config), copy.deepcopy(text_config)
    if not 0 <= drop_vision_layers < vision.num_hidden_layers:
        raise ValueError(
            f"drop_vision_layers={drop_vision_layers} does not fit a tower of {vision.num_hidden_layers} layers; "
            f"0 to {vision.num_hidden_layers - 1} can be dropped"
        )
    vision.num_hidden_layers -= drop_vision_layers
    vision.name_or_path = text.name_or_path = ""  # a path of this machine would be published
    rows = max(text.vocab_size, len(tokenizer))
    text.vocab_size = -(-rows // VOCAB_MULTIPLE) * VOCAB_MULTIPLE
    text.bos_token_id = tokenizer.bos_token_id
    text.eos_token_id = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    text.pad_token_id = tokenizer.pad_token_id
    return AmaliaVLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        tie_word_embeddings=text.tie_word_embeddings,
    )


def _image_processor(config: AmaliaVLConfig, max_tiles: int) -> AmaliaVLImageProcessor:
    vision = config.vision_config
    # The fast resampler: a new model is trained and used with the same one.
    return AmaliaVLImageProcessor(
        size=vision.image_size, patch_size=vision.patch_size, max_tiles=max_tiles, resampler="torch"
    )


def _require_positions(config: AmaliaVLConfig, max_tiles: int) -> None:
    """Refuse tilings whose largest image alone is longer than the decoder reads."""
    tallest = TileLayout(rows=max_tiles, cols=1, pad_rows=0, pad_cols=0) if max_tiles else UNTILED  # most newlines
    tokens = num_visual_tokens(tallest, config.patches_per_side)
    positions = config.text_config.max_position_embeddings
    if tokens >= positions:
        raise ValueError(
            f"an image of {max_tiles} tiles is {tokens} tokens but the text model has {positions} positions"
        )


def _tower_weights(tower: PreTrainedModel, layers: int) -> State:
    """Copy the embeddings and the first `layers` layers."""
    kept = ("embeddings.", *(f"encoder.layers.{layer}." for layer in range(layers)))
    weights = tower.state_dict()
    return {f"model.vision_tower.{name}": weight.clone() for name, weight in weights.items() if name.startswith(kept)}


def _decoder_weights(text_model: PreTrainedModel, rows: int, *, tied: bool) -> State:
    """Copy the decoder and its head, with `rows` rows of vocabulary."""
    decoder: Mapping[str, torch.Tensor] = text_model.base_model.state_dict()
    state = {f"model.language_model.{name}": weight.clone() for name, weight in decoder.items()}
    if not tied:
        head: Mapping[str, torch.Tensor] = text_model.get_output_embeddings().state_dict()
        state |= {f"lm_head.{name}": weight.clone() for name, weight in head.items()}
    embedded = text_model.get_input_embeddings().weight
    for name, weight in state.items():
        if name == "lm_head.weight" or (name.endswith("embed_tokens.weight") and weight.shape == embedded.shape):
            state[name] = _with_mean_rows(weight, rows)
    return state


def _with_mean_rows(weight: torch.Tensor, rows: int) -> torch.Tensor:
    """Append rows that are the mean of the others."""
    mean = _mean_row(torch.split(weight, 4096)).to(weight)
    return torch.cat((weight, mean.expand(rows - len(weight), -1)))


def _mean_row(blocks: Iterable[torch.Tensor]) -> torch.Tensor:
    """Average rows that come in blocks `(rows, width)`, in fp64, so that the blocks' size does not show."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for block in blocks:
        total, count = total + block.double().sum(dim=0), count + len(block)
    return total / count  # (width,)


def _new_weights(config: AmaliaVLConfig, seed: int) -> State:
    """Draw connector and newline, normal with variance 1 / inputs, so that features keep their scale; biases are 0."""
    generator = torch.Generator().manual_seed(seed)
    d_vision, d_text = config.vision_config.hidden_size, config.text_config.hidden_size
    state = {"model.image_newline": torch.randn(d_text, generator=generator) * d_text**-0.5}
    for name, inputs in (("linear_1", d_vision), ("linear_2", d_text)):
        weight = torch.randn(d_text, inputs, generator=generator) * inputs**-0.5
        state |= {f"model.connector.{name}.weight": weight, f"model.connector.{name}.bias": torch.zeros(d_text)}
    return state


def _load(config: AmaliaVLConfig, state: State, dtype: torch.dtype) -> AmaliaVLForConditionalGeneration:
    """Build the model from weights that must be exactly its own."""
    model, report = AmaliaVLForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=state, dtype=dtype, output_loading_info=True
    )
    missing, unexpected = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    if missing or unexpected:
        raise ValueError(f"the sources do not make up the model: missing {missing}, unexpected {unexpected}")
    return model
