"""How large the demo's model is and how long its backbones are warmed up."""

from dataclasses import dataclass

HEAD_WIDTH = 32  # of the attention heads of both backbones


@dataclass(frozen=True)
class WarmUp:
    """One backbone's warm-up.

    Args:
        scenes: Training scenes it sees.
        steps: Optimiser steps.
        batch: Rows a step: tiles for the tower, conversations for the decoder.
        rate: Peak learning rate of AdamW.
        matrix_rate: Peak learning rate of Muon.
    """

    scenes: int
    steps: int
    batch: int
    rate: float
    matrix_rate: float


@dataclass(frozen=True)
class BackboneSizes:
    """Widths and depths of the two backbones, the tiles, and the warm-ups.

    Args:
        tile_size: Side of a tile, in pixels.
        patch_size: Side of a patch, in pixels.
        max_tiles: Most tiles of a picture, the thumbnail excluded.
        tower_width: Hidden size of the tower.
        tower_layers: Layers of the tower.
        decoder_width: Hidden size of the decoder.
        decoder_layers: Layers of the decoder.
        vocab_size: Most tokens of the tokenizer.
        tower: The tower's warm-up.
        decoder: The decoder's warm-up.
    """

    tile_size: int = 64
    patch_size: int = 16
    max_tiles: int = 4
    tower_width: int = 128
    tower_layers: int = 4
    decoder_width: int = 128
    decoder_layers: int = 4
    vocab_size: int = 1024
    tower: WarmUp = WarmUp(scenes=4000, steps=600, batch=64, rate=3e-3, matrix_rate=0.02)
    decoder: WarmUp = WarmUp(scenes=4800, steps=600, batch=8, rate=2e-3, matrix_rate=0.01)

    @property
    def side(self) -> int:
        """Patches along a side of a tile."""
        return self.tile_size // self.patch_size
