"""Batches with videos in both forms, ours and stock LLaVA-OneVision's, from one set of random pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from amalia_vl_hf.modeling.visual_packing_amalia_vl import pooled_size
from amalia_vl_hf.processing.tiling_amalia_vl import UNTILED, layout_for, select_grid
from tests.modeling.batches import PAD_ID
from tests.tiny import IMAGE_TOKEN_ID, PINPOINTS, VIDEO_TOKEN_ID

Part = int | tuple[int, int]  # a video of so many frames, or an image of so many pixels, height first
SEVERAL = [[3, (60, 60), 1], [(70, 30)], [], [2, 5], [4]]  # videos, images and both, in several lengths; one without
TEXT_LENGTHS = [6, 9, 40, 5, 7]


@dataclass
class VideoBatch:
    """Samples of text tokens, videos and images: `samples[i]` lists the parts of sample i.

    As LLaVA-OneVision has it, images are tiled where they are alone in their sample, and stay whole beside others.
    """

    samples: Sequence[Sequence[Part]]
    text_lengths: Sequence[int]
    padding_side: str = "left"
    seed: int = 0
    tile_size: int = 32
    side: int = 4
    pool_above_tiles: int | None = 2
    pinpoints: Sequence[tuple[int, int]] = tuple(PINPOINTS)

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)
        self.sizes, self.layouts, self.tiles, self.videos, self.images_of_each = [], [], [], [], []
        rows = [self._row(*sample) for sample in zip(self.samples, self.text_lengths, strict=True)]
        longest = max(map(len, rows))
        pads = [torch.full((longest - len(row),), PAD_ID) for row in rows]
        left = self.padding_side == "left"
        self.input_ids = torch.stack(
            [torch.cat((pad, row) if left else (row, pad)) for pad, row in zip(pads, rows, strict=True)]
        )
        real = [torch.ones_like(row) for row in rows]
        masks = [torch.cat((pad * 0, row) if left else (row, pad * 0)) for pad, row in zip(pads, real, strict=True)]
        self.attention_mask = torch.stack(masks)

    def _row(self, parts: Sequence[Part], length: int) -> torch.Tensor:
        images = sum(isinstance(part, tuple) for part in parts)
        self.images_of_each.append(images)
        ids = [1]
        for part in parts:
            if isinstance(part, tuple):
                ids += [5, *[IMAGE_TOKEN_ID] * self._image(part, tiled=images == 1), 6]
            else:
                ids += [5, *[VIDEO_TOKEN_ID] * self._video(part), 6]
        return torch.tensor(ids + torch.randint(7, 90, (length,), generator=self.generator).tolist())

    def _image(self, size: tuple[int, int], tiled: bool) -> int:
        """Draws an image's tiles, and counts its visual tokens."""
        grid = select_grid(*size, self.pinpoints, self.tile_size)
        layout = layout_for(*size, grid, self.side) if tiled else UNTILED
        self.sizes.append(size)
        self.layouts.append(layout)
        self.tiles.append(self._pixels(layout.num_tiles))
        if layout == UNTILED:
            return self.side**2 + 1
        rows = layout.rows * self.side - 2 * layout.pad_rows
        cols = layout.cols * self.side - 2 * layout.pad_cols
        rows, cols = pooled_size(rows, cols, self.side, self.pool_above_tiles)
        return self.side**2 + rows * (cols + 1)

    def _video(self, frames: int) -> int:
        self.videos.append(self._pixels(frames))
        return frames * math.ceil(self.side / 2) ** 2 + 1

    def _pixels(self, count: int) -> torch.Tensor:
        return torch.randn(count, 3, self.tile_size, self.tile_size, generator=self.generator)

    @property
    def text(self) -> dict[str, torch.Tensor]:
        return {"input_ids": self.input_ids, "attention_mask": self.attention_mask}

    @property
    def ours(self) -> dict[str, torch.Tensor]:
        """Inputs of `AmaliaVLForConditionalGeneration`."""
        inputs = dict(self.text)
        if self.tiles:
            rows = [layout for layout in self.layouts for _ in range(layout.num_tiles)]
            inputs |= {"pixel_values": torch.cat(self.tiles), "tile_layouts": torch.tensor(rows)}
        if self.videos:
            frames = torch.tensor([len(video) for video in self.videos])
            inputs |= {"pixel_values_videos": torch.cat(self.videos), "video_frames": frames}
        return inputs

    @property
    def stock_whole(self) -> dict[str, torch.Tensor]:
        """Inputs of `LlavaOnevisionForConditionalGeneration`, which only takes videos of one length."""
        inputs = {**self.text, **self._stock_images()}
        if self.videos:
            inputs["pixel_values_videos"] = torch.stack(self.videos)
        return inputs

    def stock(self, model) -> dict[str, torch.Tensor]:
        """The same for videos of any lengths, each of which the stock model encodes alone, before."""
        if len({len(video) for video in self.videos}) < 2:
            return self.stock_whole
        with torch.no_grad():
            each = [model.get_video_features(video[None], return_dict=True).pooler_output[0] for video in self.videos]
        encoded = {"video": BaseModelOutputWithPooling(pooler_output=torch.cat(each)[None])}
        if images := self._stock_images():
            encoded["image"] = model.get_image_features(**images, return_dict=True)
        return {**self.text, "mm_encoder_outputs": encoded}

    def _stock_images(self) -> dict[str, torch.Tensor]:
        if not self.tiles:
            return {}
        most = max(map(len, self.tiles))
        padded = [torch.cat((tiles, tiles.new_zeros(most - len(tiles), *tiles.shape[1:]))) for tiles in self.tiles]
        numbers = torch.tensor([count for count in self.images_of_each if count])
        return {
            "pixel_values": torch.stack(padded),
            "image_sizes": torch.tensor(self.sizes),
            "batch_num_images": numbers,
        }
