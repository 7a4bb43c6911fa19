"""Tiny `llava_next` checkpoints of every kind that is imported, and what compares directories."""

import json
from pathlib import Path

from safetensors.torch import load_file, save_file
from transformers import LlavaNextImageProcessorPil, LlavaNextProcessor, LlavaOnevisionImageProcessorPil

from amalia_vl_hf.conversion.onevision import LlavaOnevisionProcessor
from amalia_vl_hf.conversion.provenance import RECORD
from amalia_vl_hf.processing.tiling_amalia_vl import generate_pinpoints
from tests.tiny import (
    tiny_llava_next,
    tiny_llava_onevision,
    tiny_text_config,
    tiny_tokenizer,
    tiny_vision_config,
)

TILE = 32  # px
COMMIT = "a" * 40
LEFTOVERS = {"mm_projector_lr": 1e-4, "image_seq_length": 576, "use_image_newline_parameter": True}


def write_amalia(folder: Path, feature_layer: int = -1, **saving) -> Path:
    """Write a checkpoint like the official AMALIA-VL: llama, untied, at most 12 tiles."""
    return _write(folder, 8, 12, feature_layer, tiny_text_config(**_vocabulary()), **saving)


def write_towervision(folder: Path, feature_layer: int = -1, **saving) -> Path:
    """Write one like TowerVision: gemma2, patches that leave a rest, at most 6 tiles, leftovers in its config.

    As transformers 4 did, its text config alone ties head and embeddings, and no head is stored.
    """
    text = tiny_text_config("gemma2", tie_word_embeddings=True, query_pre_attn_scalar=16, **_vocabulary())
    _write(folder, 7, 6, feature_layer, text, tie_word_embeddings=True, **saving)
    edit_json(folder / "config.json", tie_word_embeddings=False, **LEFTOVERS)
    return folder


def write_towervideo(folder: Path, feature_layer: int = -1, saving=None, **changes) -> Path:
    """Write one like TowerVideo: gemma2, which ties by itself; images of more than two tiles pooled; videos."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<video>"], special_tokens=True)
    tokens = tokenizer.convert_tokens_to_ids(["<image>", "<video>"])
    pinpoints = [[rows * TILE, cols * TILE] for rows in range(1, 4) for cols in range(1, 4)]
    options = {
        "text": tiny_text_config("gemma2", query_pre_attn_scalar=16, vocab_size=len(tokenizer)),
        "vision": tiny_vision_config(patch_size=7, vision_use_head=False),
        "vision_aspect_ratio": "anyres_max_2",
        "image_grid_pinpoints": pinpoints,
        "image_token_index": tokens[0],
        "video_token_index": tokens[1],
    }
    model = tiny_llava_onevision(feature_layer, **{**options, **changes})
    images = LlavaOnevisionImageProcessorPil(
        size={"height": TILE, "width": TILE},
        image_grid_pinpoints=pinpoints,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    processor = LlavaOnevisionProcessor(images, tokenizer, 16, model.config.vision_aspect_ratio, video_frames=8)
    model.save_pretrained(folder, **(saving or {}))
    processor.save_pretrained(folder)
    return folder


def _vocabulary():
    return {"vocab_size": len(tiny_tokenizer())}


def _write(folder, patch_size, max_tiles, feature_layer, text, saving=None, **changes):
    tokenizer = tiny_tokenizer()
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    vision = tiny_vision_config(patch_size=patch_size)
    model = tiny_llava_next(feature_layer, text=text, vision=vision, image_token_index=image_token, **changes)
    pinpoints = [list(size) for size in generate_pinpoints(max_tiles, TILE)]
    model.config.image_grid_pinpoints = pinpoints
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": TILE},
        crop_size=TILE,
        image_grid_pinpoints=pinpoints,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    processor = LlavaNextProcessor(images, tokenizer, patch_size=patch_size, vision_feature_select_strategy="full")
    model.save_pretrained(folder, **(saving or {}))
    processor.save_pretrained(folder)
    return folder


def legacy_key(key: str) -> str:
    """Name a tensor as transformers 4 does."""
    return key.replace("vision_tower.", "vision_tower.vision_model.", 1)


def module_key(key: str) -> str:
    """Name a tensor as the modules of transformers 5 do."""
    if key.startswith("language_model.lm_head"):
        return key.removeprefix("language_model.")
    return "model." + key.replace("language_model.model.", "language_model.", 1)


def rename_keys(folder: Path, rename) -> None:
    """Rewrite an unsharded checkpoint with other names."""
    edit_weights(folder, lambda weights: {rename(key): weight for key, weight in weights.items()})


def edit_weights(folder: Path, edit) -> None:
    path = folder / "model.safetensors"
    save_file(edit(load_file(path)), path, metadata={"format": "pt"})


def edit_json(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def contents(folder: Path) -> dict[str, bytes]:
    """Read every file of a directory."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def made_of(folder: Path) -> dict[str, bytes]:
    """Read every file but the record of what it was made from."""
    return {name: data for name, data in contents(folder).items() if name != RECORD}


def keep_in_hub_cache(cache: Path, repo: str, folder: Path, branch: str = "main") -> None:
    """Lay a directory down as the Hub's client keeps a repository that it has downloaded: links to blobs."""
    repository = cache / f"models--{repo.replace('/', '--')}"
    snapshot, blobs = repository / "snapshots" / COMMIT, repository / "blobs"
    for made in (snapshot, blobs, repository / "refs"):
        made.mkdir(parents=True)
    (repository / "refs" / branch).write_text(COMMIT)
    for name, data in contents(folder).items():
        (blobs / name).write_bytes(data)
        (snapshot / name).symlink_to(blobs / name)


def weights_of(folder: Path):
    """Load the weights of a checkpoint, sharded or not, with the library of the format."""
    return {name: weight for path in sorted(folder.glob("*.safetensors")) for name, weight in load_file(path).items()}
