"""A small SigLIP tower that has learnt what patches show."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import SiglipVisionConfig, SiglipVisionModel

from ..data.scenes import draw_scene, render
from ..processing.image_processing_amalia_vl import AmaliaVLImageProcessor
from .optimise import minimise
from .patches import LABEL_SIZES, patch_labels
from .sizes import HEAD_WIDTH, BackboneSizes


def warmed_up_tower(sizes: BackboneSizes, seed: int) -> SiglipVisionModel:
    """Train a tower to say, for each patch of training scenes, which shape, colour and word it shows.

    The head that says it is thrown away; it reads the patches before the tower's last norm, where AMALIA-VL takes its
    features.
    """
    torch.manual_seed(seed)
    tower = SiglipVisionModel(_config(sizes))
    norm, tower.post_layernorm = tower.post_layernorm, nn.Identity()
    head = nn.Linear(sizes.tower_width, sum(LABEL_SIZES))
    tiles, labels = labelled_tiles(sizes, random.Random(f"{seed} tower"))  # noqa: S311

    def loss(rows: torch.Tensor) -> torch.Tensor:
        pixels = tiles[rows].float() / 127.5 - 1
        scores = torch.split(head(tower(pixel_values=pixels).last_hidden_state), list(LABEL_SIZES), dim=-1)
        parts = zip(scores, labels[rows].unbind(-1), strict=True)
        return torch.stack([F.cross_entropy(score.flatten(0, 1), label.flatten()) for score, label in parts]).sum()

    both = nn.ModuleDict({"tower": tower, "head": head})
    minimise(loss, both, len(tiles), sizes.tower, "warming up the tower on labels")
    tower.post_layernorm = norm
    rescale(tower, 1 / _feature_size(tower, tiles[: sizes.tower.batch]))
    return tower


@torch.no_grad()
def rescale(tower: SiglipVisionModel, factor: float) -> None:
    """Multiply a tower's features by `factor` without changing what they say.

    Its layers add to a residual stream and read it through norms, which no scale changes: everything that is written
    to the stream is multiplied. Features many times larger than word embeddings would drown what the decoder adds.
    """
    for name, weight in tower.named_parameters():
        if name.startswith("embeddings.") or ".out_proj." in name or ".fc2." in name:
            weight.mul_(factor)


def labelled_tiles(sizes: BackboneSizes, rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw training scenes and cut them into tiles.

    Returns:
        Tiles `(tiles, 3, S, S)` as grey levels in uint8, and for each of their patches the shape, colour and word it
        shows, `(tiles, side**2, 3)`; 0 is none.
    """
    processor = AmaliaVLImageProcessor(
        size=sizes.tile_size, patch_size=sizes.patch_size, max_tiles=sizes.max_tiles, resampler="torch"
    )
    tiles, labels = [], []
    for _ in tqdm(range(sizes.tower.scenes), desc="drawing tiles for the tower", unit="scene"):
        scene = draw_scene(rng, "train")
        pixels = processor(render(scene), return_tensors="pt")["pixel_values"]
        tiles.append(((pixels + 1) * 127.5).round().to(torch.uint8))
        labels.append(patch_labels(scene, sizes))
    return torch.cat(tiles), torch.from_numpy(np.concatenate(labels))


@torch.no_grad()
def _feature_size(tower: SiglipVisionModel, tiles: torch.Tensor) -> float:
    """Root mean square of the features of some tiles, taken before the last norm."""
    features = tower(pixel_values=tiles.float() / 127.5 - 1, output_hidden_states=True).hidden_states[-1]
    return features.pow(2).mean().sqrt().item()


def _config(sizes: BackboneSizes) -> SiglipVisionConfig:
    return SiglipVisionConfig(
        hidden_size=sizes.tower_width,
        intermediate_size=3 * sizes.tower_width,
        num_hidden_layers=sizes.tower_layers,
        num_attention_heads=max(1, sizes.tower_width // HEAD_WIDTH),
        image_size=sizes.tile_size,
        patch_size=sizes.patch_size,
        vision_use_head=False,
    )
