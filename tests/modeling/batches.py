"""Batches in both forms, ours and stock LLaVA-NeXT's, from one set of random tiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from amalia_vl_hf.processing.tiling_amalia_vl import layout_for, num_visual_tokens, select_grid
from tests.tiny import IMAGE_TOKEN_ID, PINPOINTS

Size = tuple[int, int]  # height, width in px
PAD_ID = 2


@dataclass
class Batch:
    """Samples of text tokens and images: `samples[i]` lists the image sizes of sample i."""

    samples: Sequence[Sequence[Size]]
    text_lengths: Sequence[int]
    tile_size: int = 32
    side: int = 4
    padding_side: str = "left"
    seed: int = 0

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        self.sizes = [size for sample in self.samples for size in sample]
        grids = [select_grid(*size, PINPOINTS, 32) for size in self.sizes]
        self.layouts = [layout_for(*size, grid, self.side) for size, grid in zip(self.sizes, grids, strict=True)]
        shape = (3, self.tile_size, self.tile_size)
        self.tiles = [torch.randn(layout.num_tiles, *shape, generator=generator) for layout in self.layouts]
        self._lay_out_text(generator)

    def _lay_out_text(self, generator: torch.Generator) -> None:
        counts = iter([num_visual_tokens(layout, self.side) for layout in self.layouts])
        rows = []
        for sample, length in zip(self.samples, self.text_lengths, strict=True):
            row = [1]
            for _ in sample:
                row += [5, *[IMAGE_TOKEN_ID] * next(counts), 6]
            rows.append(row + torch.randint(7, 90, (length,), generator=generator).tolist())
        longest = max(map(len, rows))
        ids, mask = [], []
        for row in rows:
            pad = [PAD_ID] * (longest - len(row))
            on, off = [1] * len(row), [0] * len(pad)
            left = self.padding_side == "left"
            ids.append(pad + row if left else row + pad)
            mask.append(off + on if left else on + off)
        self.input_ids, self.attention_mask = torch.tensor(ids), torch.tensor(mask)

    @property
    def text(self) -> dict[str, torch.Tensor]:
        return {"input_ids": self.input_ids, "attention_mask": self.attention_mask}

    @property
    def ours(self) -> dict[str, torch.Tensor]:
        """Inputs of `AmaliaVLForConditionalGeneration`."""
        if not self.sizes:
            return self.text
        rows = [layout for layout in self.layouts for _ in range(layout.num_tiles)]
        return {**self.text, "pixel_values": torch.cat(self.tiles), "tile_layouts": torch.tensor(rows)}

    @property
    def stock(self) -> dict[str, torch.Tensor]:
        """Inputs of `LlavaNextForConditionalGeneration`: every image padded to the most tiles."""
        if not self.sizes:
            return self.text
        most = max(map(len, self.tiles))
        padded = [torch.cat((tiles, tiles.new_zeros(most - len(tiles), *tiles.shape[1:]))) for tiles in self.tiles]
        return {**self.text, "pixel_values": torch.stack(padded), "image_sizes": torch.tensor(self.sizes)}


MIXED = [[(60, 60), (20, 90)], [(70, 30)], []]  # two images, one image, text only
EXTREME = [[(10, 4044)], [(1, 1)], [(33, 31), (500, 7)]]
