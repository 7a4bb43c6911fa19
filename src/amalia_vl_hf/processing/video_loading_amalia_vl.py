"""Any video a user may hold, and the frames of it that a model sees, or a refusal with its name.

| what comes in | rule |
|---|---|
| a path, encoded bytes, a `{"bytes": ..., "path": ...}` cell | decoded by PyAV, the `video` extra, within `video_decoding_amalia_vl`'s limits |
| an http(s) or `file://` address, a `data:` URI | the user's word, as for images; at most 500 MB |
| a list of frames: pictures, arrays `(H, W)` or `(H, W, C)`, paths of image files | each as `image_loading_amalia_vl` says |
| an array or tensor of four dimensions | the same, frame by frame; five dimensions are several videos |
| camera rotation and mirroring | applied |
| a cover of a sound file, sound alone | no video |

**Which frames.** Of N frames at most `num_frames` are taken, n of them: frame `i * N // n` for i from 0 to n - 1, as
transformers samples. `fps`, if it is set, also limits n to `int(seconds * fps)`, but one is always taken; frames that
come as pictures have no rate, so it does not limit them. Where frames are not shown equally long, the n moments are
spread evenly over the time instead, and at each what is shown then is taken, a long still more than once.
"""  # noqa: E501

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from .addresses_amalia_vl import DownloadLimits, FetchError
from .decoding_amalia_vl import SUFFIXES, RefusedImageError
from .image_loading_amalia_vl import describe, load_image, locate, require_file
from .video_decoding_amalia_vl import Timeline, decode_frames, read_timeline

LIMITS = DownloadLimits(max_bytes=500_000_000, seconds=300.0)
PICTURES = tuple(suffix for suffix in SUFFIXES if suffix != ".gif")  # files that are frames, not videos


class Sampling(NamedTuple):
    """How many frames of a video are taken.

    Attributes:
        num_frames: At most.
        fps: At most, a second of the video; None for no such limit.
    """

    num_frames: int
    fps: float | None = None


class SampledFrames(NamedTuple):
    """What is taken of a video.

    Attributes:
        positions: Numbers of the frames, from 0.
        total: Frames that the video has.
        seconds: When each is shown, from the video's start; None where frames have no rate.
        length: Of the video, in seconds; None where frames have no rate.
    """

    positions: list[int]
    total: int
    seconds: list[float] | None = None
    length: float | None = None


class VideoReader:
    """One video, its frames not decoded yet.

    Args:
        source: In any form that the module lists.
        index: Position of the video in the call, for errors.

    Raises:
        ValueError: It is no video, or cannot be used; names it.
        ImportError: It is encoded, and PyAV is not installed.
    """

    def __init__(self, source: Any, index: int) -> None:
        self.name = f"video {index}{describe(source) if not isinstance(source, list | tuple) else ''}"
        self._frames: Sequence[Any] | None = None
        self._file: Path | bytes = b""
        self._timeline: Timeline | None = None
        try:
            opened = _opened(source)
            if isinstance(opened, Path | bytes):
                self._file, self._timeline = opened, read_timeline(opened)
            else:
                self._frames = opened
        except ImportError:
            raise
        except Exception as error:
            raise self._refusal(error) from error

    def sampled(self, sampling: Sampling) -> SampledFrames:
        """Choose frames, by the rule of the module."""
        if self._timeline is None:
            count = len(self._frames or ())
            return SampledFrames(_spread(count, min(sampling.num_frames, count)), count)
        times, span, tick = self._timeline.times, self._timeline.span, self._timeline.tick
        taken = min(sampling.num_frames, len(times))
        if sampling.fps is not None:
            taken = max(1, min(taken, int(self._timeline.seconds * sampling.fps + 1e-6)))
        positions = _spread(len(times), taken)
        if not self._timeline.steady:
            moments = times[0] + np.arange(taken) * span // taken
            positions = (np.searchsorted(times, moments, side="right") - 1).tolist()
        seconds = [float(int(times[place] - times[0]) * tick) for place in positions]
        return SampledFrames(positions, len(times), seconds, self._timeline.seconds)

    def frames(self, positions: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Decode frames `(height, width, 3)`, whose numbers rise.

        Raises:
            ValueError: One of them cannot be used; names the video.
        """
        try:
            if self._timeline is None:
                for place in positions:
                    yield np.asarray(load_image((self._frames or ())[place], place))
            else:
                times = self._timeline.times[list(positions)].tolist()
                yield from decode_frames(self._file, self._timeline, times)
        except ImportError:
            raise
        except Exception as error:
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> ValueError:
        return ValueError(f"{self.name} cannot be used: {_reason(error)}")


def is_frame(value: Any) -> bool:
    """Tell a frame from a video: a picture, an array of two or three dimensions, or the name of a picture's file."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.ndim in (2, 3)
    if isinstance(value, str | Path):
        return Path(str(value)[-16:]).suffix.lower() in PICTURES
    return isinstance(value, Image.Image)


def is_frames(value: Any) -> bool:
    """Tell a video that comes as a list of frames from a list of videos.

    Raises:
        ValueError: Some are frames and some are not.
    """
    if not isinstance(value, list | tuple) or not value:
        return False
    frames = [is_frame(entry) for entry in value]
    if any(frames) and not all(frames):
        odd = type(value[frames.index(False)]).__name__
        raise ValueError(f"a list of frames and videos together ({sum(frames)} frames, and {odd}); which is it?")
    return all(frames)


def flatten_videos(videos: Any) -> list[Any]:
    """List videos out of any nesting of lists; `None` holds none."""
    if videos is None:
        return []
    if isinstance(videos, np.ndarray | torch.Tensor) and videos.ndim == 5:
        return list(videos)
    if isinstance(videos, list | tuple) and not is_frames(videos):
        return [video for entry in videos for video in flatten_videos(entry)]
    return [videos]


def _spread(count: int, taken: int) -> list[int]:
    return [number * count // taken for number in range(taken)]


def _opened(source: Any) -> Path | bytes | Sequence[Any]:
    """Find the file of a video, or its frames."""
    if isinstance(source, np.ndarray | torch.Tensor):
        if source.ndim != 4:
            raise RefusedImageError(f"an array of shape {tuple(source.shape)} has no four dimensions, frames first")
        source = list(source)
    if isinstance(source, list | tuple):
        if not source:
            raise RefusedImageError("it has no frames")
        return source
    if isinstance(source, Mapping) and (source.get("bytes") is not None or source.get("path")):
        source = source["bytes"] if source.get("bytes") is not None else str(source["path"])
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if not isinstance(source, str | Path):
        kind = type(source).__name__
        raise RefusedImageError(f"{kind} is no path, address, bytes, list of frames, array, or a cell with them")
    file = locate(source, LIMITS) if isinstance(source, str) else source
    if isinstance(file, Path):
        require_file(file)
    if file is None or (isinstance(file, Path) and not file.exists()):
        raise FileNotFoundError(str(source))
    return file


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, FetchError):
        return f"the download failed ({error})"
    if isinstance(error, RefusedImageError) or type(error) is ValueError:  # of a frame: says what is the matter
        return str(error)
    return f"is the file corrupt, truncated, or not a video? ({type(error).__name__}: {error})"
