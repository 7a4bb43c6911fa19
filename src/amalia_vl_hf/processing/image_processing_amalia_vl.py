"""Image processor of AMALIA-VL: a thumbnail and exact tiles, without torchvision and without padding tiles."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import torch
from huggingface_hub.dataclasses import validate_typed_dict
from PIL import Image
from transformers import BaseImageProcessor, BatchFeature
from transformers.image_utils import ChannelDimension
from transformers.utils import TensorType

from .foreign_options_amalia_vl import translated_options
from .image_loading_amalia_vl import load_image
from .tile_pixels_amalia_vl import (
    MOST_CANVASES,
    TileSettings,
    empty_pixels,
    floats,
    on_square,
    per_channel,
    tile_size_of,
    write_tiles,
)
from .tiling_amalia_vl import UNTILED, TileLayout

HUB_OPTIONS = ("cache_dir", "local_files_only", "revision", "subfolder", "token")  # where a directory's files are
LOADING = {  # what whoever loads passes on: the Hub's options, Auto classes, and pipelines with those of the model
    *HUB_OPTIONS, "force_download", "proxies", "use_auth_token", "trust_remote_code", "code_revision", "_commit_hash",
    "_from_auto", "_from_pipeline", "image_processor_filename", "return_unused_kwargs", "use_fast", "backend", "task",
    "config", "dtype", "torch_dtype", "device_map", "max_memory", "offload_folder", "attn_implementation", "variant",
    "low_cpu_mem_usage", "quantization_config", "use_safetensors", "tp_plan",
}  # fmt: skip
# Options of every image processor of transformers, with the values that are what this one does; others are refused.
STANDARD: dict[str, tuple[Any, ...]] = {
    "do_resize": (True,),
    "do_rescale": (True,),
    "do_normalize": (True,),
    "do_convert_rgb": (True,),
    "do_center_crop": (False,),
    "do_pad": (False,),
    "rescale_factor": (1 / 255,),
    "data_format": ("channels_first", ChannelDimension.FIRST),
    "input_data_format": (),
    "device": ("cpu", torch.device("cpu")),
    "disable_grouping": (True, False),
}
MOST_SETTINGS = 64  # that are kept: of the processors, and of the ways to call them, that a process has
BOOKKEEPING = {"auto_map", "feature_extractor_type", "image_processor_type", "processor_class"}  # of saved files


class AmaliaVLImageProcessorKwargs(TypedDict, total=False):
    """Options of `AmaliaVLImageProcessor`, the same when it is made and when it is called."""

    size: int | dict[str, int] | None
    patch_size: int | None
    max_tiles: int | None
    image_grid_pinpoints: list[list[int]] | list[tuple[int, int]] | None
    resampler: Literal["pil", "torch"] | None
    resample: int | None
    image_mean: float | list[float] | tuple[float, ...] | None
    image_std: float | list[float] | tuple[float, ...] | None
    pixels: Literal["float", "uint8"] | None
    pool_above_tiles: int | None
    tile_several: bool | None
    return_tensors: str | TensorType | None


class AmaliaVLImageProcessor(BaseImageProcessor):
    """Cut images into a thumbnail and tiles of the vision tower's size, as LLaVA-NeXT does.

    The thumbnail is the whole image squeezed into one square tile. The tiles come from the image enlarged or reduced
    to fill the canvas that suits it best, with black bars around it. An image gives `1 + rows * cols` tiles, no more:
    tiles are never padded to the largest image of the batch.

    A call with `pixels="uint8"` gives raw grey levels, a quarter of the bytes, which the model normalises itself. That
    is no option of the class: what is saved gives normalised pixels, as everybody expects.

    Args:
        size: Side of a tile in pixels, as an int, `{"height": s, "width": s}` or `{"shortest_edge": s}`.
        patch_size: Side of the tower's patches in pixels; decides how many visual tokens a tile gives.
        max_tiles: Most tiles of an image, the thumbnail excluded; 0 turns tiling off.
        image_grid_pinpoints: Allowed canvases as `(height, width)` in pixels, those above `max_tiles` left out. The
            first wins ties. `None` allows every canvas of at most `max_tiles` tiles.
        resampler: `"pil"` gives the pixels of `LlavaNextImageProcessorPil`, bit by bit, on every machine. `"torch"` is
            several times faster and differs by at most 2 grey levels in at most 1 % of values.
        resample: Pillow's filter, bicubic by default; the torch resampler knows bicubic and bilinear.
        image_mean: Mean of each channel, in parts of full scale (0-1). The default is SigLIP's.
        image_std: Standard deviation of each channel, in parts of full scale. The default is SigLIP's.
        pool_above_tiles: LLaVA-OneVision's models shrink the features of an image with many more tiles to so many.
        tile_several: Whether several images of a sample, a list within a list, are tiled as a single one is. If not,
            each is padded to a square and not tiled: LLaVA-OneVision's way.

    Examples:
        >>> processor = AmaliaVLImageProcessor()
        >>> batch = processor([Image.new("RGB", (1920, 1080)), Image.new("RGB", (200, 300))], return_tensors="pt")
        >>> batch["pixel_values"].shape  # 1 + 3 * 4 tiles, then 1 + 1 * 1
        torch.Size([15, 3, 384, 384])
        >>> batch["tile_layouts"][[0, 13]].tolist()
        [[3, 4, 9, 0], [1, 1, 0, 4]]
    """

    model_input_names = ["pixel_values", "tile_layouts"]
    valid_kwargs = AmaliaVLImageProcessorKwargs
    pixels = "float"

    def __init__(
        self,
        size: int | Mapping[str, int] = 384,
        patch_size: int = 16,
        max_tiles: int = 12,
        image_grid_pinpoints: Sequence[Sequence[int]] | None = None,
        resampler: str = "pil",
        resample: int = Image.Resampling.BICUBIC,
        image_mean: float | Sequence[float] = (0.5, 0.5, 0.5),
        image_std: float | Sequence[float] = (0.5, 0.5, 0.5),
        pool_above_tiles: int | None = None,
        tile_several: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs = without_standard(kwargs)
        if unknown := sorted(set(kwargs) - BOOKKEEPING):
            raise ValueError(f"AmaliaVLImageProcessor has no option {', '.join(unknown)}")
        super().__init__(**kwargs)
        tile_size = tile_size_of(size)
        self.size = {"height": tile_size, "width": tile_size}
        self.patch_size = patch_size
        self.max_tiles = max_tiles
        self.image_grid_pinpoints = image_grid_pinpoints and [list(pinpoint) for pinpoint in image_grid_pinpoints]
        self.resampler = resampler
        self.resample = int(resample)
        self.image_mean = floats(image_mean)
        self.image_std = floats(image_std)
        self.pool_above_tiles = pool_above_tiles
        self.tile_several = tile_several
        self.settings({})  # refuse bad options now, not at the first image

    @classmethod
    def get_image_processor_dict(
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read saved options; those of a `llava_next` or `llava_onevision` directory are translated.

        Raises:
            ValueError: If they belong to another kind of image processor, or ask for what AMALIA-VL does not do.
        """
        hub_options = {name: kwargs[name] for name in HUB_OPTIONS if name in kwargs}
        try:
            options, unused = super().get_image_processor_dict(pretrained_model_name_or_path, **kwargs)
        except RecursionError as error:
            raise ValueError(f"the options of {pretrained_model_name_or_path} have lists in one another") from error
        if options.get("image_processor_type") != cls.__name__:
            options = translated_options(options, pretrained_model_name_or_path, **hub_options)
        return options, unused

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Make a processor of saved options, others in their place.

        Raises:
            ValueError: One of `kwargs` is no option, and is none of those that loading takes, and the caller does not
                want back what is not used.
        """
        options = without_standard(kwargs)
        known = {name: options.pop(name) for name in cls.valid_kwargs.__annotations__ if name in options}
        returned = options.pop("return_unused_kwargs", False)
        if not returned:
            require_known(options, cls.valid_kwargs.__annotations__, cls.__name__)
        processor = super().from_dict(image_processor_dict, **known)
        return (processor, options) if returned else processor

    def fetch_images(self, image_url_or_urls: Any) -> Any:
        """Load images of any kind into RGB pictures, keeping the nesting of lists; `None` in a list is an empty list.

        Raises:
            ValueError: If an image cannot be used; names it by its position, all lists taken together.
        """
        position = itertools.count()

        def fetch(images: Any) -> Any:
            if isinstance(images, list | tuple):
                return [[] if image is None else fetch(image) for image in images]
            if isinstance(images, np.ndarray | torch.Tensor) and images.ndim == 4:  # a batch of images
                return [fetch(image) for image in images]
            return load_image(images, next(position))

        return fetch(image_url_or_urls)

    def preprocess(self, images: Any, **kwargs: Any) -> BatchFeature:
        """Turn images into tiles.

        Args:
            images: An image or (nested) lists of images, of any kind `image_loading_amalia_vl` lists; `[]` means none.
            **kwargs: Options of the class, for this call only, and `return_tensors`: `"pt"` (if unset) or `"np"`.

        Returns:
            `pixel_values` `(total_tiles, 3, S, S)` float32, or uint8 if `pixels` says so: image after image, the
            thumbnail first, then the tiles row by row. `tile_layouts` `(total_tiles, 4)` int64:
            `rows, cols, pad_rows, pad_cols` of each tile's image.

        Raises:
            ValueError: If an image cannot be used, or an option is unknown or impossible.
        """
        return_tensors = kwargs.pop("return_tensors", None)
        settings = self.settings(kwargs)
        pictures, layouts = [], []
        for picture, alone in _with_company(self.fetch_images(images)):
            tiled = alone or settings.tile_several
            pictures.append(picture if tiled else on_square(picture, settings.mean))
            layouts.append(settings.layout(picture.height, picture.width) if tiled else UNTILED)
        counts = [layout.num_tiles for layout in layouts]
        pixel_values = empty_pixels(sum(counts), settings)
        for picture, layout, tiles in zip(pictures, layouts, torch.split(pixel_values, counts), strict=True):
            write_tiles(picture, layout, settings, out=tiles)
        rows = [layout for layout in layouts for _ in range(layout.num_tiles)]
        tile_layouts = torch.tensor(rows, dtype=torch.int64).view(-1, 4)
        return BatchFeature({"pixel_values": pixel_values, "tile_layouts": tile_layouts}, tensor_type=return_tensors)

    def tile_layout(self, height: int, width: int, **kwargs: Any) -> TileLayout:
        """Say how an image would be tiled, without the image.

        Args:
            height: Height of the image, in pixels.
            width: Width of the image, in pixels.
            **kwargs: Options of the class, for this call only.

        Examples:
            >>> AmaliaVLImageProcessor().tile_layout(1080, 1920)
            TileLayout(rows=3, cols=4, pad_rows=9, pad_cols=0)
            >>> AmaliaVLImageProcessor().tile_layout(1080, 1920, max_tiles=0)
            TileLayout(rows=0, cols=0, pad_rows=0, pad_cols=0)
        """
        return self.settings(kwargs).layout(height, width)

    def num_visual_tokens(self, height: int, width: int, **kwargs: Any) -> int:
        """Count the positions an image would take in the decoder, without the image.

        Args:
            height: Height of the image, in pixels.
            width: Width of the image, in pixels.
            **kwargs: Options of the class, for this call only.

        Examples:
            >>> AmaliaVLImageProcessor().num_visual_tokens(1080, 1920)
            5814
            >>> AmaliaVLImageProcessor().num_visual_tokens(1080, 1920, max_tiles=0)
            577
        """
        return self.image_tokens([(height, width)], **kwargs)[0]

    def image_tokens(self, sizes: Sequence[tuple[int, int]], **kwargs: Any) -> list[int]:
        """Count the positions that each image of one sample would take in the decoder, without the images.

        Args:
            sizes: Height and width of each, in pixels.
            **kwargs: Options of the class, for this call only.
        """
        settings = self.settings(kwargs)
        return [settings.tokens(layout) for layout in settings.layouts(sizes)]

    def settings(self, overrides: Mapping[str, Any]) -> TileSettings:
        """Merge a call's options over the processor's own and check them.

        Raises:
            ValueError: One is unknown or impossible.
        """
        names = set(self.valid_kwargs.__annotations__) - {"return_tensors"}
        overrides = without_standard(overrides)
        if unknown := sorted(set(overrides) - names):
            raise ValueError(
                f"AmaliaVLImageProcessor has no option {', '.join(unknown)}; it has {', '.join(sorted(names))}"
            )
        given = {name: value for name, value in overrides.items() if value is not None}
        options = {name: given.get(name, getattr(self, name)) for name in names}
        canvases = options["image_grid_pinpoints"]
        if isinstance(canvases, Sequence) and len(canvases) > MOST_CANVASES:  # checking each would take minutes
            raise ValueError(f"image_grid_pinpoints has {len(canvases)} canvases; at most {MOST_CANVASES} are taken")
        options |= {name: floats(options[name]) for name in ("image_mean", "image_std")}
        key = repr(options)  # numbers, words and lists of them; whatever else there is does not read like those
        if key in _settings:
            return _settings[key]
        validate_typed_dict(self.valid_kwargs, options)  # type: ignore[type-var]
        if len(_settings) >= MOST_SETTINGS:
            _settings.clear()
        _settings[key] = _checked(options)
        return _settings[key]


_settings: dict[str, TileSettings] = {}  # checking them takes as long as a tile does


def _checked(options: Mapping[str, Any]) -> TileSettings:
    canvases = options["image_grid_pinpoints"]
    return TileSettings(
        tile_size=tile_size_of(options["size"]),
        patch_size=options["patch_size"],
        max_tiles=options["max_tiles"],
        pinpoints=canvases and [tuple(canvas) for canvas in canvases],  # the caller's may change
        resampler=options["resampler"],
        resample=Image.Resampling(options["resample"]),
        mean=per_channel(options, "image_mean"),
        std=per_channel(options, "image_std"),
        pixels=options["pixels"],
        pool_above_tiles=options["pool_above_tiles"],
        tile_several=options["tile_several"],
    )


def flatten_images(images: Any) -> list[Image.Image]:
    """List pictures out of any nesting of lists; `None` holds none."""
    if images is None:
        return []
    if isinstance(images, list):
        return [picture for image in images for picture in flatten_images(image)]
    return [images]


def without_standard(options: Mapping[str, Any], more: Mapping[str, tuple[Any, ...]] | None = None) -> dict[str, Any]:
    """Leave out the options of any processor of transformers whose values are what this one does anyway.

    Args:
        options: Those given.
        more: Options beside `STANDARD`, with the values that may be given.

    Raises:
        ValueError: One has another value.
    """
    standard = STANDARD | dict(more or {})
    for name, values in standard.items():
        if options.get(name) is not None and options[name] not in values:
            listed = " or ".join(repr(value) for value in values) or "left out"
            raise ValueError(f"there is no option {name}={options[name]!r}: {name} is always {listed}")
    return {name: value for name, value in options.items() if name not in standard}


def _with_company(images: Any) -> Iterator[tuple[Image.Image, bool]]:
    """Say of each picture whether it is its sample's only one; in a flat list each is, as in LLaVA-OneVision."""
    nested = isinstance(images, list) and any(isinstance(entry, list) for entry in images)
    for sample in images if nested else flatten_images(images):
        pictures = flatten_images(sample)
        yield from ((picture, len(pictures) == 1) for picture in pictures)


def require_known(options: Mapping[str, Any], known: Iterable[str], owner: str) -> None:
    """Refuse options that nobody reads.

    Raises:
        ValueError: There are some; names them.
    """
    if unknown := sorted(set(options) - set(known) - LOADING - BOOKKEEPING):
        raise ValueError(f"{owner} has no option {', '.join(unknown)}; it has {', '.join(sorted(known))}")


AmaliaVLImageProcessor.register_for_auto_class()
