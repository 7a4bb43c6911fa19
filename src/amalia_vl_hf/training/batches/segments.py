"""Segmented attention: several conversations in one row, each attending to itself alone, without a block mask.

The stack detects packed rows by restarting positions and builds a dense mask, which costs more than packing wins, and
any attention mask switches that off silently. Here the collator says what the segments are, and the decoder gets one
causal call a segment, or one call of a variable-length kernel on a GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple, cast

import torch
import torch.nn.attention
from packaging.version import Version
from torch.nn.functional import dropout as drop
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

logger = logging.getLogger(__name__)

IMPLEMENTATION = "segmented"


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens `start` to `stop` of a packed row, which attend causally to themselves.

    Where the prefix is not empty they attend to all of it too, as if it stood right before them. It is no tuple, since
    `Trainer` takes those apart on the way to the device.
    """

    start: int
    stop: int
    prefix_start: int = 0
    prefix_stop: int = 0

    @property
    def queries(self) -> int:
        """Tokens that attend."""
        return self.stop - self.start

    @property
    def keys(self) -> int:
        """Tokens attended to, prefix included."""
        return self.prefix_stop - self.prefix_start + self.queries


class _Options(NamedTuple):
    """What a decoder layer asks of its attention."""

    scaling: float | None
    dropout: float
    soft_cap: float | None
    window: int | None  # tokens a query sees, itself included


def use_segmented_attention(model: PreTrainedModel) -> None:
    """Switch a model's decoder to segmented attention; the vision tower keeps its own.

    `forward` then takes `segments`, a tuple of [`Segment`] that covers the one row of the batch. Without it attention
    is the ordinary causal one, so generation and evaluation go on working.
    """
    sees = hasattr(model.config, "text_config")  # else all of it is a decoder
    model.set_attn_implementation({"text_config": IMPLEMENTATION} if sees else IMPLEMENTATION)


def use_installed_flash_attention() -> str | None:
    """Let torch's flash attention, also the one over segments, be that of an installed package: FA4, else FA3.

    Returns:
        Its name; None where there is no GPU or no such package, and torch's own stays.
    """
    if not torch.cuda.is_available():
        return None
    for name in ("FA4", "FA3"):
        try:
            torch.nn.attention.activate_flash_attention_impl(name)
        except (ImportError, AttributeError, RuntimeError, ValueError) as error:
            logger.debug("no %s: %s", name, error)
        else:
            logger.warning("attention by %s", name)
            return name
    return None


def segment_lengths(lengths: Sequence[int]) -> tuple[Segment, ...]:
    """Lay segments one after the other.

    >>> segment_lengths([3, 2])
    (Segment(start=0, stop=3, prefix_start=0, prefix_stop=0), Segment(start=3, stop=5, prefix_start=0, prefix_stop=0))
    """
    return tuple(Segment(stop - length, stop) for length, stop in zip(lengths, accumulate(lengths), strict=True))


def segmented_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    sliding_window: int | None = None,
    segments: tuple[Segment, ...] | None = None,
    position_ids: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within segments; what `transformers` calls as the implementation `"segmented"`.

    Args:
        module: The layer's attention.
        query: `(batch, heads, queries, d_head)`.
        key: `(batch, key heads, keys, d_head)`.
        value: `(batch, key heads, keys, d_head)`.
        attention_mask: `(batch, 1, queries, keys)` booleans where padding or a cache calls for a mask, else None.
        scaling: Factor of the scores.
        dropout: Share of attention weights to drop.
        softcap: Bound of the scores, as gemma2 has it.
        sliding_window: Most tokens a query sees, itself included; None: all.
        segments: Segments of the one row, in order and without gaps; None: each row is one segment.
        position_ids: `(batch, queries)`.
        kwargs: What other implementations read.

    Returns:
        `(batch, queries, heads, d_head)`, and no weights.

    Raises:
        ValueError: Segments with a batch of several rows, padding or a cache; segments that do not cover the row; or
            positions that restart without segments.
    """
    options = _Options(scaling, dropout, softcap, sliding_window)
    if segments is not None:
        _check_segments(segments, query, key, attention_mask)
        return _attend(query, key, value, segments, options).transpose(1, 2), None
    if attention_mask is None and query.shape[2] == key.shape[2]:
        if getattr(module, "layer_idx", 0) == 0:  # the same for every layer, and it waits for the device
            _check_positions(position_ids)
        rows = (Segment(0, query.shape[2]),)
        return _attend(query, key, value, rows, options).transpose(1, 2), None
    if softcap is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    return _soft_capped(query, key, value, attention_mask, softcap, options).transpose(1, 2), None


def _mask(q_length: int, kv_length: int, attention_mask: torch.Tensor | None = None, **kwargs: Any) -> Any:
    """Build a mask only where padding or a cache calls for one: segments, the window and order need none."""
    if attention_mask is None and q_length == kv_length:
        return None
    return sdpa_mask(q_length=q_length, kv_length=kv_length, attention_mask=attention_mask, **kwargs)


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, segments: tuple[Segment, ...], options: _Options
) -> torch.Tensor:
    if query.is_cuda and torch.is_autocast_enabled("cuda"):
        query, key, value = (part.to(torch.get_autocast_dtype("cuda")) for part in (query, key, value))
    if _varlen_takes(query, options):
        return _varlen(query, key, value, segments, options)
    lengths = [segment.queries for segment in segments]
    # One split each: its gradient is one concatenation, where slices would each fill a whole row with zeros.
    own_keys, own_values = key.split_with_sizes(lengths, dim=2), value.split_with_sizes(lengths, dim=2)
    outputs = []
    for segment, own_query, own_key, own_value in zip(
        segments, query.split_with_sizes(lengths, dim=2), own_keys, own_values, strict=True
    ):
        if segment.keys > segment.queries:
            prefix = slice(segment.prefix_start, segment.prefix_stop)
            own_key = torch.cat((key[:, :, prefix], own_key), dim=2)
            own_value = torch.cat((value[:, :, prefix], own_value), dim=2)
        outputs.append(_attend_causally(own_query, own_key, own_value, options))
    return torch.cat(outputs, dim=2)


def _attend_causally(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: _Options) -> torch.Tensor:
    """Attention of the last `queries` of `keys` tokens to all tokens up to themselves."""
    queries, keys = query.shape[2], key.shape[2]
    plain = queries == keys and (options.window is None or keys <= options.window)
    mask = None if plain and options.soft_cap is None else _causal(queries, keys, options.window, query.device)
    if options.soft_cap is not None:
        return _soft_capped(query, key, value, mask, options.soft_cap, options)
    return scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=options.dropout,
        is_causal=plain,
        scale=options.scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _causal(queries: int, keys: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Mark what each of the last `queries` tokens sees, `(queries, keys)`."""
    distance = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
    seen = distance >= 0
    return seen if window is None else seen & (distance < window)


def _soft_capped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    soft_cap: float,
    options: _Options,
) -> torch.Tensor:
    """Attention with bounded scores, which no fused call of torch offers; holds `(heads, queries, keys)` scores."""
    groups = query.shape[1] // key.shape[1]
    scores = query @ repeat_kv(key, groups).transpose(2, 3)  # (batch, heads, queries, keys)
    scores = scores * (query.shape[-1] ** -0.5 if options.scaling is None else options.scaling)
    scores = soft_cap * torch.tanh(scores / soft_cap)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = drop(torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype), options.dropout)
    return weights @ repeat_kv(value, groups)


def _varlen_takes(query: torch.Tensor, options: _Options) -> bool:
    """Whether torch's own variable-length flash kernel can do the work; its grouped keys came with torch 2.12."""
    return (
        query.is_cuda
        and query.shape[0] == 1
        and query.dtype in (torch.bfloat16, torch.float16)
        and not options.dropout
        and options.soft_cap is None
        and Version(torch.__version__).release >= (2, 12)
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


def _varlen(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, segments: tuple[Segment, ...], options: _Options
) -> torch.Tensor:
    """One kernel for all segments; its causal order is aligned to the last key, as a prefix needs it."""
    from torch.nn.attention.varlen import varlen_attn

    queries, keys, values = (part[0].transpose(0, 1) for part in (query, key, value))  # (tokens, heads, d_head)
    if any(segment.keys > segment.queries for segment in segments):
        index = _key_index(segments, query.device)
        keys, values = keys.index_select(0, index), values.index_select(0, index)
    attended = varlen_attn(
        queries.contiguous(),
        keys.contiguous(),
        values.contiguous(),
        _offsets(tuple(segment.queries for segment in segments), query.device),
        _offsets(tuple(segment.keys for segment in segments), query.device),
        max(segment.queries for segment in segments),
        max(segment.keys for segment in segments),
        scale=options.scaling,
        window_size=(-1 if options.window is None else options.window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return cast(torch.Tensor, attended).transpose(0, 1)[None]


@lru_cache(maxsize=8)
def _offsets(lengths: tuple[int, ...], device: torch.device) -> torch.Tensor:
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)


@lru_cache(maxsize=8)
def _key_index(segments: tuple[Segment, ...], device: torch.device) -> torch.Tensor:
    """Positions of every segment's keys, prefix first, one segment after the other."""
    parts = [
        torch.arange(*part)
        for segment in segments
        for part in ((segment.prefix_start, segment.prefix_stop), (segment.start, segment.stop))
    ]
    return torch.cat(parts).to(device)


def _check_segments(
    segments: tuple[Segment, ...], query: torch.Tensor, key: torch.Tensor, attention_mask: torch.Tensor | None
) -> None:
    rows, tokens = query.shape[0], query.shape[2]
    if rows != 1:
        raise ValueError(f"segments describe one packed row, but the batch has {rows} rows")
    if key.shape[2] != tokens:
        raise ValueError(f"segments of {tokens} tokens but {key.shape[2]} keys: a packed row cannot continue a cache")
    if attention_mask is not None:
        raise ValueError("segments and an attention_mask: a packed row has no padding, leave the mask out")
    ends = [0, *(segment.stop for segment in segments)]
    starts = [*(segment.start for segment in segments), tokens]
    backwards = any(segment.stop <= segment.start for segment in segments)
    if ends != starts or backwards:
        raise ValueError(f"segments must cover the row's {tokens} tokens in order and without gaps, not {segments}")
    for segment in segments:
        if not 0 <= segment.prefix_start <= segment.prefix_stop <= segment.start:
            raise ValueError(f"the prefix of {segment} must lie before it")


def _check_positions(position_ids: torch.Tensor | None) -> None:
    """Refuse a packed row whose segments were lost on the way: its conversations would see each other."""
    if position_ids is not None and bool((position_ids.diff(dim=-1) < 0).any()):
        raise ValueError(
            "position_ids restart within a row, but no segments came with it; did the collator pack them?"
        )


AttentionInterface.register(IMPLEMENTATION, segmented_attention)
AttentionMaskInterface.register(IMPLEMENTATION, _mask)
