"""Frames of videos for the vision tower: sampled, squeezed to its size as thumbnails are, and normalised."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypedDict

import numpy as np
import torch
from huggingface_hub.dataclasses import validate_typed_dict
from numpy.typing import NDArray
from transformers import BatchFeature
from transformers.utils import TensorType

from .image_processing_amalia_vl import AmaliaVLImageProcessor, without_standard
from .tile_pixels_amalia_vl import TileSettings, empty_pixels, normalise, torch_resized
from .tiling_amalia_vl import video_tokens
from .video_loading_amalia_vl import SampledFrames, Sampling, VideoReader, flatten_videos

MOST_TAKEN = 4096  # frames of a video, far more than fit into a decoder
_PIXELS_AT_ONCE = 2**24  # of frames that are resized together; a whole short clip
# Options of any video processor of transformers, with the values that are what this one does.
STANDARD: Mapping[str, tuple[Any, ...]] = {
    "do_sample_frames": (True,),
    "default_to_square": (True, False),  # sizes are square
    "crop_size": (),
    "video_metadata": (),
}


class AmaliaVLVideoProcessorKwargs(TypedDict, total=False):
    """Options of a call of `AmaliaVLVideoProcessor`."""

    num_frames: int | None
    fps: float | int | None
    size: int | dict[str, int] | None
    patch_size: int | None
    resample: int | None
    image_mean: float | list[float] | tuple[float, ...] | None
    image_std: float | list[float] | tuple[float, ...] | None
    pixels: Literal["float", "uint8"] | None
    return_metadata: bool | None
    return_tensors: str | TensorType | None


class AmaliaVLVideoProcessor:
    """Turn videos into frames of the vision tower's size: what `image_processor` makes of a frame's thumbnail.

    Its size, mean, standard deviation and filter are those of the images: the model has one of each. Frames are
    resized by torch, together, whatever resampler images have: the pixels of `resampler="torch"`.

    `AmaliaVLProcessor` holds and saves the options; transformers' own video processors need torchvision, and so would
    every processor that has one of them.

    Args:
        image_processor: Says what pixels become.
        num_frames: Most frames of a video; `video_loading_amalia_vl` says which.
        fps: Most frames a second of video; None for no such limit.

    Examples:
        >>> processor = AmaliaVLVideoProcessor(AmaliaVLImageProcessor(), num_frames=4)
        >>> batch = processor([np.zeros((9, 20, 30, 3), np.uint8), np.zeros((2, 50, 50, 3), np.uint8)])
        >>> batch["pixel_values_videos"].shape, batch["video_frames"].tolist()
        (torch.Size([6, 3, 384, 384]), [4, 2])
    """

    model_input_names = ["pixel_values_videos", "video_frames"]
    valid_kwargs = AmaliaVLVideoProcessorKwargs

    def __init__(
        self, image_processor: AmaliaVLImageProcessor, num_frames: int = 32, fps: float | None = None
    ) -> None:
        self.image_processor = image_processor
        self.sampling = _checked(num_frames, fps)

    def __call__(self, videos: Any, **kwargs: Any) -> BatchFeature:
        """Turn videos into frames.

        Args:
            videos: A video or (nested) lists of them, of any kind that `video_loading_amalia_vl` lists.
            **kwargs: For this call only: `num_frames`, `fps`; `size`, `image_mean`, `image_std`, `resample` and
                `pixels` as of images; `return_metadata`, and `return_tensors`.

        Returns:
            `pixel_values_videos` `(total_frames, 3, S, S)`, float32 or uint8 if `pixels` says so: video after video,
            frame after frame; `video_frames` `(videos,)` int64: frames of each. With `return_metadata`,
            `video_metadata`: of each video its `frames_indices`, `total_num_frames`, `timestamps` and `duration`.

        Raises:
            ValueError: A video cannot be used, or an option is unknown or impossible.
            ImportError: A video is encoded, and PyAV is not installed.
        """
        return_tensors, metadata = kwargs.pop("return_tensors", None), kwargs.pop("return_metadata", None)
        sampling, settings = self._options(kwargs)
        readers = [VideoReader(video, index) for index, video in enumerate(flatten_videos(videos))]
        sampled = [reader.sampled(sampling) for reader in readers]
        counts = [len(taken.positions) for taken in sampled]
        pixel_values = empty_pixels(sum(counts), settings)
        for reader, taken, frames in zip(readers, sampled, torch.split(pixel_values, counts), strict=True):
            _write_frames(reader.frames(taken.positions), settings, out=frames)
        data: dict[str, Any] = {
            "pixel_values_videos": pixel_values,
            "video_frames": torch.tensor(counts, dtype=torch.int64),
        }
        if metadata:
            data["video_metadata"] = [_metadata(taken) for taken in sampled]
        return BatchFeature(data, tensor_type=return_tensors, skip_tensor_conversion=["video_metadata"])

    def sampled(self, video: Any, **kwargs: Any) -> SampledFrames:
        """Say which frames of a video are taken, without decoding one.

        Args:
            video: Of any kind that `video_loading_amalia_vl` lists.
            **kwargs: Options of a call.

        Raises:
            ValueError: The video cannot be used.
        """
        sampling, _ = self._options(kwargs)
        return VideoReader(video, 0).sampled(sampling)

    def num_visual_tokens(self, frames: int, **kwargs: Any) -> int:
        """Count the positions that a video of so many frames takes in the decoder.

        Args:
            frames: Frames that are taken.
            **kwargs: Options of a call.

        Examples:
            >>> AmaliaVLVideoProcessor(AmaliaVLImageProcessor(patch_size=14)).num_visual_tokens(32)
            6273
        """
        return video_tokens(frames, self._options(kwargs)[1].side)

    def _options(self, overrides: Mapping[str, Any]) -> tuple[Sampling, TileSettings]:
        """Merge a call's options over the processor's own and check them."""
        options = {name: value for name, value in without_standard(overrides, STANDARD).items() if value is not None}
        if unknown := sorted(set(options) - set(self.valid_kwargs.__annotations__)):
            known = ", ".join(sorted(self.valid_kwargs.__annotations__))
            raise ValueError(f"AmaliaVLVideoProcessor has no option {', '.join(unknown)}; it has {known}")
        validate_typed_dict(self.valid_kwargs, options)  # type: ignore[type-var]
        sampling = _checked(options.pop("num_frames", self.sampling.num_frames), options.pop("fps", self.sampling.fps))
        return sampling, self.image_processor.settings(options | {"resampler": "torch", "max_tiles": 0})


def _checked(num_frames: int, fps: float | None) -> Sampling:
    """Hold options to what can be.

    Raises:
        ValueError: They cannot be.
    """
    if isinstance(num_frames, bool) or not isinstance(num_frames, int) or not 1 <= num_frames <= MOST_TAKEN:
        raise ValueError(f"num_frames is {num_frames!r}; it must be a whole number from 1 to {MOST_TAKEN}")
    if fps is not None and (isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps <= 1000):
        raise ValueError(f"fps is {fps!r}; it must be above 0 and at most 1000, or None")
    return Sampling(num_frames, fps)


def _write_frames(frames: Iterator[NDArray[np.uint8]], settings: TileSettings, out: torch.Tensor) -> None:
    """Write frames into `out`, `(frames, 3, S, S)` as `empty_pixels` gives it, as many at once as are of one size."""
    places = iter(out.numpy())
    for _, alike in itertools.groupby(frames, key=lambda frame: frame.shape):
        while some := _few(alike):
            pixels = torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2)  # (n, 3, H, W), channels last in memory
            size = (settings.tile_size, settings.tile_size)
            for levels, frame in zip(torch_resized(pixels, *size, settings.resample).numpy(), places):  # noqa: B905
                frame[...] = levels
                normalise(frame, settings)


def _few(frames: Iterator[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Take frames up to `_PIXELS_AT_ONCE`."""
    some: list[NDArray[np.uint8]] = []
    for frame in frames:
        some.append(frame)
        if len(some) * frame.shape[0] * frame.shape[1] >= _PIXELS_AT_ONCE:
            break
    return some


def _metadata(taken: SampledFrames) -> dict[str, Any]:
    return {
        "frames_indices": taken.positions,
        "total_num_frames": taken.total,
        "timestamps": taken.seconds,
        "duration": taken.length,
    }
