"""Image processor of AMALIA-VL: a thumbnail and exact tiles, without torchvision and without padding tiles."""

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import PIL
import torch
from huggingface_hub.dataclasses import validate_typed_dict
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoConfig, BaseImageProcessor, BatchFeature
from transformers.image_utils import ChannelDimension
from transformers.utils import PROCESSOR_NAME, TensorType, cached_file

from .image_loading_amalia_vl import load_image
from .tiling_amalia_vl import (
    UNTILED,
    TileLayout,
    generate_pinpoints,
    layout_for,
    num_visual_tokens,
    place_on_canvas,
    select_grid,
)

TORCH_MODES = {Image.Resampling.BICUBIC: "bicubic", Image.Resampling.BILINEAR: "bilinear"}
PILLOW = tuple(int(number) for number in PIL.__version__.split(".")[:2])
# Far above any model's: options may be a stranger's, and each image is held against every canvas.
MOST_SIDE, MOST_TILES, MOST_CANVASES = 4096, 1000, 10_000  # pixels, tiles, canvases
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
BOOKKEEPING = {"auto_map", "feature_extractor_type", "image_processor_type", "processor_class"}  # of saved files

Resize = Callable[[int, int], torch.Tensor]  # (height, width) -> (3, height, width), grey levels


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
        **kwargs: Any,
    ) -> None:
        kwargs = _without_standard(kwargs)
        if unknown := sorted(set(kwargs) - BOOKKEEPING):
            raise ValueError(f"AmaliaVLImageProcessor has no option {', '.join(unknown)}")
        super().__init__(**kwargs)
        tile_size = _tile_size(size)
        self.size = {"height": tile_size, "width": tile_size}
        self.patch_size = patch_size
        self.max_tiles = max_tiles
        self.image_grid_pinpoints = image_grid_pinpoints and [list(pinpoint) for pinpoint in image_grid_pinpoints]
        self.resampler = resampler
        self.resample = int(resample)
        self.image_mean = _floats(image_mean)
        self.image_std = _floats(image_std)
        self._settings({})  # refuse bad options now, not at the first image

    @classmethod
    def get_image_processor_dict(
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read saved options; those of a `llava_next` directory are translated.

        Raises:
            ValueError: If they belong to another kind of image processor, or ask for what AMALIA-VL does not do.
        """
        hub_options = {name: kwargs[name] for name in HUB_OPTIONS if name in kwargs}
        try:
            options, unused = super().get_image_processor_dict(pretrained_model_name_or_path, **kwargs)
        except RecursionError as error:
            raise ValueError(f"the options of {pretrained_model_name_or_path} have lists in one another") from error
        if options.get("image_processor_type") != cls.__name__:
            options = _translate_llava_next(options)
            options["patch_size"] = _llava_next_patch_size(pretrained_model_name_or_path, **hub_options)
        return options, unused

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Make a processor of saved options, others in their place.

        Raises:
            ValueError: One of `kwargs` is no option, and is none of those that loading takes, and the caller does not
                want back what is not used.
        """
        options = _without_standard(kwargs)
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
        settings = self._settings(kwargs)
        pictures = flatten_images(self.fetch_images(images))
        layouts = [settings.layout(picture.height, picture.width) for picture in pictures]
        counts = [layout.num_tiles for layout in layouts]
        levels = torch.empty(sum(counts), 3, settings.tile_size, settings.tile_size, dtype=torch.uint8)
        for picture, layout, tiles in zip(pictures, layouts, torch.split(levels, counts), strict=True):
            _write_tiles(picture, layout, settings, out=tiles)
        pixel_values = levels if settings.pixels == "uint8" else _normalised(levels, settings)
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
        return self._settings(kwargs).layout(height, width)

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
        settings = self._settings(kwargs)
        return num_visual_tokens(settings.layout(height, width), settings.side)

    def _settings(self, overrides: Mapping[str, Any]) -> "_Settings":
        """Merge a call's options over the processor's own and check them."""
        names = set(self.valid_kwargs.__annotations__) - {"return_tensors"}
        overrides = _without_standard(overrides)
        if unknown := sorted(set(overrides) - names):
            raise ValueError(
                f"AmaliaVLImageProcessor has no option {', '.join(unknown)}; it has {', '.join(sorted(names))}"
            )
        given = {name: value for name, value in overrides.items() if value is not None}
        options = {name: given.get(name, getattr(self, name)) for name in names}
        canvases = options["image_grid_pinpoints"]
        if isinstance(canvases, Sequence) and len(canvases) > MOST_CANVASES:  # checking each would take minutes
            raise ValueError(f"image_grid_pinpoints has {len(canvases)} canvases; at most {MOST_CANVASES} are taken")
        options |= {name: _floats(options[name]) for name in ("image_mean", "image_std")}
        validate_typed_dict(self.valid_kwargs, options)  # type: ignore[type-var]
        return _Settings(
            tile_size=_tile_size(options["size"]),
            patch_size=options["patch_size"],
            max_tiles=options["max_tiles"],
            pinpoints=options["image_grid_pinpoints"],
            resampler=options["resampler"],
            resample=Image.Resampling(options["resample"]),
            mean=_per_channel(options, "image_mean"),
            std=_per_channel(options, "image_std"),
            pixels=options["pixels"],
        )


@dataclass(frozen=True)
class _Settings:
    """Checked options of one call."""

    tile_size: int
    patch_size: int
    max_tiles: int
    pinpoints: Sequence[Sequence[int]] | None
    resampler: str
    resample: Image.Resampling
    mean: torch.Tensor  # (3, 1, 1)
    std: torch.Tensor  # (3, 1, 1)
    pixels: str

    def __post_init__(self) -> None:
        if self.tile_size > MOST_SIDE:
            raise ValueError(f"size is {self.tile_size} pixels; no tower's tiles are larger than {MOST_SIDE}")
        if not 0 < self.patch_size <= self.tile_size:
            raise ValueError(f"patch_size {self.patch_size} must be within 1 and the tile's {self.tile_size} pixels")
        if self.max_tiles < 0:
            raise ValueError(f"max_tiles is {self.max_tiles}; it must be 0 (no tiling) or more")
        if self.max_tiles > MOST_TILES:
            raise ValueError(f"max_tiles is {self.max_tiles:.6g}; more than {MOST_TILES} fit into no decoder")
        for pinpoint in self.pinpoints or ():
            if len(pinpoint) != 2 or any(length < self.tile_size or length % self.tile_size for length in pinpoint):
                raise ValueError(
                    f"image_grid_pinpoints has {tuple(pinpoint)}; a canvas is (height, width), both multiples of the "
                    f"tile's {self.tile_size} pixels"
                )
        if (self.std == 0).any():
            raise ValueError(f"image_std is {self.std.flatten().tolist()}; no channel can be divided by 0")
        if self.resampler == "torch" and self.resample not in TORCH_MODES:
            raise ValueError(f"the torch resampler knows bicubic and bilinear, not {self.resample.name.lower()}")

    @property
    def side(self) -> int:
        """Patches on a side of a tile."""
        return self.tile_size // self.patch_size

    def layout(self, height: int, width: int) -> TileLayout:
        """Lay an image of this size, in pixels, out on the canvas that suits it best."""
        allowed = self.pinpoints if self.pinpoints is not None else generate_pinpoints(self.max_tiles, self.tile_size)
        most_pixels = self.max_tiles * self.tile_size**2
        canvases = [canvas for canvas in allowed if canvas[0] * canvas[1] <= most_pixels]
        return layout_for(height, width, select_grid(height, width, canvases, self.tile_size), self.side)


def flatten_images(images: Any) -> list[Image.Image]:
    """List pictures out of any nesting of lists; `None` holds none."""
    if images is None:
        return []
    if isinstance(images, list):
        return [picture for image in images for picture in flatten_images(image)]
    return [images]


def _tile_size(size: int | Mapping[str, int]) -> int:
    """Read the ways Hugging Face writes a square size."""
    sides = {size} if isinstance(size, int) else set(size.values())
    if len(sides) != 1 or (tile_size := sides.pop()) < 1:
        raise ValueError(f"size {size} is not one positive side: tiles are square")
    return tile_size


def _without_standard(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the options of any image processor whose values are what this one does anyway.

    Raises:
        ValueError: One has another value.
    """
    for name, values in STANDARD.items():
        if options.get(name) is not None and options[name] not in values:
            listed = " or ".join(repr(value) for value in values) or "left out"
            raise ValueError(f"there is no option {name}={options[name]!r}: {name} is always {listed}")
    return {name: value for name, value in options.items() if name not in STANDARD}


def require_known(options: Mapping[str, Any], known: Iterable[str], owner: str) -> None:
    """Refuse options that nobody reads.

    Raises:
        ValueError: There are some; names them.
    """
    if unknown := sorted(set(options) - set(known) - LOADING - BOOKKEEPING):
        raise ValueError(f"{owner} has no option {', '.join(unknown)}; it has {', '.join(sorted(known))}")


def _floats(value: Any) -> Any:
    """Read numbers as `image_mean` and `image_std` have them, for one channel or for each: JSON may hold integers."""
    if isinstance(value, int | float):
        return float(value)
    return [float(entry) if isinstance(entry, int | float) else entry for entry in value]


def _per_channel(options: Mapping[str, Any], name: str) -> torch.Tensor:
    value = options[name]
    channels = torch.tensor([value] * 3 if isinstance(value, float | int) else value, dtype=torch.float32)
    if len(channels) != 3:
        raise ValueError(f"{name} has {len(channels)} values; give one, or one for each of the 3 channels")
    if not channels.isfinite().all():
        raise ValueError(f"{name} is {value}; every value must be a finite number")
    return channels.view(3, 1, 1)


def _write_tiles(picture: Image.Image, layout: TileLayout, settings: _Settings, out: torch.Tensor) -> None:
    """Write the grey levels of one picture's thumbnail and tiles into `out`, `(1 + rows * cols, 3, S, S)` uint8."""
    size = settings.tile_size
    resize = (_torch_resize if settings.resampler == "torch" else _pil_resize)(picture, settings.resample)
    out[0] = resize(size, size)
    if layout == UNTILED:
        return
    top, left, height, width = place_on_canvas(picture.height, picture.width, layout.grid, size)
    canvas = torch.zeros((3, layout.rows * size, layout.cols * size), dtype=torch.uint8)  # bars are black
    canvas[:, top : top + height, left : left + width] = resize(height, width)
    grid = canvas.view(3, layout.rows, size, layout.cols, size).permute(1, 3, 0, 2, 4)  # (rows, cols, 3, S, S)
    out[1:].view(layout.rows, layout.cols, 3, size, size).copy_(grid)


def _normalised(levels: torch.Tensor, settings: _Settings) -> torch.Tensor:
    """Turn grey levels `(tiles, 3, S, S)` into the tower's values.

    In float32, `level / 255` is what LLaVA-NeXT's processor computes in float64, `level * (1 / 255)`, for all 256.
    """
    return levels.float().div_(255).sub_(settings.mean).div_(settings.std)


def _pil_resize(picture: Image.Image, resample: Image.Resampling) -> Resize:
    return lambda height, width: torch.from_numpy(np.array(picture.resize((width, height), resample))).permute(2, 0, 1)


def _torch_resize(picture: Image.Image, resample: Image.Resampling) -> Resize:
    pixels = torch.from_numpy(_to_array(picture)).permute(2, 0, 1)[None]  # (1, 3, H, W), channels last in memory
    mode = TORCH_MODES[resample]

    def resize(height: int, width: int) -> torch.Tensor:
        source = pixels
        if _columns_first(picture, height, width):
            source = torch.nn.functional.interpolate(pixels, (height, picture.width), mode=mode, antialias=True)
        return torch.nn.functional.interpolate(source, (height, width), mode=mode, antialias=True)[0]

    return resize


def _columns_first(picture: Image.Image, height: int, width: int) -> bool:
    """Tell whether Pillow would resize columns before rows, which torch does never; the roundings between matter."""
    if PILLOW < (12, 2) or height >= picture.height:
        return False
    if PILLOW < (13,):
        return picture.height > 100 * picture.width
    return picture.height - height > 2 * (picture.width - width)


def _to_array(picture: Image.Image) -> NDArray[np.uint8]:
    """Copy a picture into `(H, W, 3)`; a large one by stripes, as buffers above 32 MiB are mapped anew each time."""
    height, width = picture.height, picture.width
    rows = height if height * width < 2**23 else max(1, 2**17 // width)
    array = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        whole = rows == height  # spares the crop's copy
        array[top : top + rows] = np.asarray(
            picture if whole else picture.crop((0, top, width, min(top + rows, height)))
        )
    return array


def _translate_llava_next(options: Mapping[str, Any]) -> dict[str, Any]:
    """Translate the options of LLaVA-NeXT's image processors, of any version, but for the patch size."""
    kind = options.get(
        "image_processor_type", options.get("feature_extractor_type", "an image processor without a type")
    )
    if not kind.startswith("LlavaNext") and "image_grid_pinpoints" not in options:
        raise ValueError(
            f"these are the options of {kind}; AMALIA-VL reads AmaliaVLImageProcessor and LlavaNextImageProcessor"
        )
    if missing := [
        name for name in ("image_grid_pinpoints", "size", "image_mean", "image_std") if name not in options
    ]:
        raise ValueError(f"the options of {kind} lack {', '.join(missing)}")
    if off := [name for name in ("do_resize", "do_rescale", "do_normalize") if options.get(name) is False]:
        raise ValueError(
            f"{kind} has {', '.join(off)} turned off; AMALIA-VL's pixels are resized, rescaled and normalised"
        )
    tile_size = _tile_size(options["size"])
    crop_size = _tile_size(options.get("crop_size") or tile_size)
    if crop_size != tile_size:
        raise ValueError(
            f"{kind} crops tiles to {crop_size} pixels after resizing them to {tile_size}; these must be equal"
        )
    pinpoints = options["image_grid_pinpoints"]
    if not abs(options.get("rescale_factor", 1 / 255) * 255 - 1) <= 1e-9:  # so that NaN is refused, too
        raise ValueError(f"{kind} has rescale_factor {options['rescale_factor']}; AMALIA-VL's is 1/255")
    return {
        "size": tile_size,
        "resample": options.get("resample", Image.Resampling.BICUBIC),
        "image_grid_pinpoints": pinpoints,
        "max_tiles": max((height * width for height, width in pinpoints), default=0) // tile_size**2,
        "image_mean": options["image_mean"],
        "image_std": options["image_std"],
    }


def _llava_next_patch_size(directory: str | Path, **hub_options: Any) -> int:
    """Find the patch size, in pixels, that LLaVA-NeXT keeps out of its image processor's options."""
    directory = Path(directory).parent if Path(directory).is_file() else directory
    file = cached_file(directory, PROCESSOR_NAME, _raise_exceptions_for_missing_entries=False, **hub_options)
    patch_size = json.loads(Path(file).read_text(encoding="utf-8")).get("patch_size") if file else None
    if patch_size is None:
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False, **hub_options)
        patch_size = config.vision_config.patch_size
    return int(patch_size)


AmaliaVLImageProcessor.register_for_auto_class()
