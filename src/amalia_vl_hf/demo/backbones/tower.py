"""A small SigLIP tower that has learnt what patches show."""

import random
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import SiglipVisionConfig, SiglipVisionModel

from ...processing.image_processing_amalia_vl import AmaliaVLImageProcessor
from ..scenes import draw_scene, render
from .optimise import minimise
from .patches import LABEL_VALUES, patch_labels
from .sizes import HEAD_WIDTH, BackboneSizes

CODE_STD = 0.5  # features of size 1 for two to five labels a patch


def warmed_up_tower(sizes: BackboneSizes, seed: int) -> SiglipVisionModel:
    """Train a tower to say, for each patch of training scenes, what it shows and in which half of its tile it lies.

    Every label has a random code, and the features of a patch, taken before the tower's last norm as AMALIA-VL takes
    them, approach the sum of its labels' codes: they come out well scaled and without a common part.
    """
    torch.manual_seed(seed)
    tower = SiglipVisionModel(_config(sizes))
    norm, tower.post_layernorm = tower.post_layernorm, nn.Identity()
    codes = [CODE_STD * torch.randn(len(values), sizes.tower_width) for values in LABEL_VALUES]
    tiles, labels = labelled_tiles(sizes, random.Random(f"{seed} tower"))  # noqa: S311

    def loss(rows: torch.Tensor) -> torch.Tensor:
        features = tower(pixel_values=tiles[rows].float() / 127.5 - 1).last_hidden_state
        return code_loss(features, labels[rows], codes)

    minimise(loss, tower, len(tiles), sizes.tower, "warming up the tower on labels")
    tower.post_layernorm = norm
    return tower


def code_loss(features: torch.Tensor, labels: torch.Tensor, codes: Sequence[torch.Tensor]) -> torch.Tensor:
    """Add up the squared distance of features to the sum of their labels' codes and cross-entropy of each label.

    Args:
        features: `(tiles, side**2, width)`.
        labels: `(tiles, side**2, kinds of label)`.
        codes: `(values, width)` for each kind of label.
    """
    kinds = list(zip(labels.unbind(-1), codes, strict=True))
    target = torch.stack([code[label] for label, code in kinds]).sum(dim=0)
    wrong = [F.cross_entropy((features @ code.T).flatten(0, 1), label.flatten()) for label, code in kinds]
    return F.mse_loss(features, target) + torch.stack(wrong).sum()


def labelled_tiles(sizes: BackboneSizes, rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw training scenes and cut them into tiles.

    Returns:
        Tiles `(tiles, 3, S, S)` as grey levels in uint8, and the labels of their patches, `(tiles, side**2, 5)`.
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
