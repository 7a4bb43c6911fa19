"""Small stand-ins for AMALIA-VL's parts, built in process: no downloads, no fixtures."""

from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CONFIG_MAPPING,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

from amalia_vl_hf import AmaliaVLConfig, AmaliaVLForConditionalGeneration

SPECIAL_TOKENS = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")  # ids 0-4, as in AMALIA-9B
IMAGE_TOKEN_ID, VIDEO_TOKEN_ID = 100, 101
PINPOINTS = [(32, 32), (32, 64), (64, 32), (64, 64), (32, 96), (96, 32)]  # px, of 32 px tiles: at most 4
LETTERS = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZáàâãçéêíóôõúÁÉÍÓÚ0123456789.,;:!?-"
MERGES = (
    *(("▁", letter) for letter in "aceodnpqstu"),
    *(("o", "s"), ("a", "s"), ("q", "u"), ("e", "n"), ("i", "m"), ("im", "a"), ("a", "r"), ("▁qu", "e")),
    *(("▁q", "u"), ("r", "e"), ("ã", "o"), ("▁a", "r"), ("u", "s"), ("s", "t")),
)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Build a BPE tokenizer of EuroLLM's kind: metaspace, byte fallback, AMALIA's special tokens and ids.

    `<image>` is appended after the vocabulary, the tokenizer adds `<s>` by itself, and it pads on the left.
    """
    unknown, begin, pad, _, end = SPECIAL_TOKENS
    pieces = [*SPECIAL_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256)), *LETTERS]
    pieces += [left + right for left, right in MERGES if left + right not in pieces]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    merges = [pair for pair in dict.fromkeys(MERGES) if all(part in vocabulary for part in pair)]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token=unknown, byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_special_tokens([AddedToken("<image>", special=True, normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=unknown,
        bos_token=begin,
        eos_token=end,
        pad_token=pad,
        additional_special_tokens=["<|im_start|>", "<image>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def tiny_text_config(model_type: str = "llama", **changes: Any) -> PreTrainedConfig:
    """Two-layer decoder: `llama` as in AMALIA, `gemma2` (soft caps, sliding window) as in TowerVision."""
    shape = {
        "vocab_size": 128,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 4096,
        "bos_token_id": 1,
        "pad_token_id": 2,
        "eos_token_id": 4,
    }
    return CONFIG_MAPPING[model_type](**{**shape, **changes})


def tiny_vision_config(**changes: Any) -> SiglipVisionConfig:
    """Three-layer tower over 32 px tiles of 4 x 4 patches."""
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    return SiglipVisionConfig(**{**shape, **changes})


def tiny_config(text: PreTrainedConfig | None = None, vision: SiglipVisionConfig | None = None, **changes: Any):
    """AMALIA-VL configuration of about 60,000 parameters."""
    arguments = {"image_token_id": IMAGE_TOKEN_ID, **changes}
    return AmaliaVLConfig(
        text_config=text or tiny_text_config(), vision_config=vision or tiny_vision_config(), **arguments
    )


def tiny_model(config: AmaliaVLConfig | None = None, seed: int = 0) -> AmaliaVLForConditionalGeneration:
    """Random model in evaluation mode, the same for the same seed."""
    torch.manual_seed(seed)
    return AmaliaVLForConditionalGeneration(config or tiny_config()).eval()


def tiny_llava_next(feature_layer: int = -1, text=None, vision=None, seed: int = 0, **changes: Any):
    """Random stock LLaVA-NeXT model, whose checkpoint ours must read."""
    config = LlavaNextConfig(
        text_config=text or tiny_text_config(),
        vision_config=vision or tiny_vision_config(),
        vision_feature_layer=feature_layer,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[list(size) for size in PINPOINTS],
        **{"image_token_index": IMAGE_TOKEN_ID, **changes},
    )
    torch.manual_seed(seed)
    return LlavaNextForConditionalGeneration(config).eval()


def tiny_llava_onevision(feature_layer: int = -1, text=None, vision=None, seed: int = 0, **changes: Any):
    """Random stock LLaVA-OneVision model, whose checkpoint ours must read: images and videos."""
    arguments = {
        "image_token_index": IMAGE_TOKEN_ID,
        "video_token_index": VIDEO_TOKEN_ID,
        "image_grid_pinpoints": [list(size) for size in PINPOINTS],
        **changes,
    }
    config = LlavaOnevisionConfig(
        text_config=text or tiny_text_config("qwen2"),
        vision_config=vision or tiny_vision_config(vision_use_head=False),
        vision_feature_layer=feature_layer,
        **arguments,
    )
    torch.manual_seed(seed)
    return LlavaOnevisionForConditionalGeneration(config).eval()


def tiny_video_config(**changes: Any):
    """AMALIA-VL configuration of a model that takes videos, and pools images of more than two tiles."""
    return tiny_config(**{"video_token_id": VIDEO_TOKEN_ID, "pool_above_tiles": 2, **changes})
