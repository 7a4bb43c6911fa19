"""Frames of encoded videos, decoded by PyAV within bounds.

A video is read twice: its packets, which say when each frame is shown and which ones decoding may begin at, and then
the frames that are asked for, from the keyframe before each. So the cost is known before a frame is decoded. Only
containers of videos are opened, from an open file and nothing else: a playlist could name any file or address.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .decoding_amalia_vl import RefusedImageError, decoding_memory
from .image_loading_amalia_vl import on_white
from .video_containers_amalia_vl import MOST_FRAMES, require_whole

try:  # the `video` extra
    import av
except ImportError:
    av = None

CONTAINERS = ("mov", "mp4", "matroska", "webm", "avi", "mpegts", "mpeg", "ogg", "gif", "flv", "asf")
MOST_SECONDS = 4 * 3600  # of a video
MOST_FRAME_PIXELS = 2**25  # 8K
MOST_DECODED_PIXELS = 2**35  # of all frames that have to be decoded; ten minutes of 1080p from a single keyframe
_BYTES_A_PIXEL = 40  # that a decoder takes at most: sixteen frames to predict from, and the one that is converted
_MOST_PACKETS = 2**22  # of all streams: sound, subtitles
_LOST = 3  # frames' lengths that one may be shown late, where a packet shows nothing

Source = Path | bytes


class Timeline(NamedTuple):
    """When the frames of a video are shown.

    Attributes:
        times: `(frames,)` int64, rising, in ticks; the frames' numbers where the file does not say times.
        tick: Seconds.
        steady: Whether they are shown equally long.
        packets: `(packets, 2)` int64, in the order of the file: time, and whether decoding may begin there.
        height: Of a frame as it is stored, in pixels.
        width: Of a frame as it is stored, in pixels.
        counted: Whether times are the frames' numbers.
    """

    times: NDArray[np.int64]
    tick: Fraction
    steady: bool
    packets: NDArray[np.int64]
    height: int
    width: int
    counted: bool

    @property
    def span(self) -> int:
        """Ticks from the first frame to the end of the last, which is shown as long as others are on average."""
        shown = int(self.times[-1] - self.times[0])
        return shown + max(round(shown / max(len(self.times) - 1, 1)), 1)

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return float(self.span * self.tick)


def read_timeline(source: Source) -> Timeline:
    """Read when the frames of a video are shown, without decoding one.

    Raises:
        ImportError: PyAV is not installed.
        ValueError: The file is no video, has none in it, is truncated, or its video is too long or too large.
    """
    with _opened(source) as (container, stream):
        packets = [(packet.pts, packet.dts, packet.is_keyframe) for packet in _packets(container, stream)]
        if not packets:
            raise RefusedImageError("its video has no frames")
        if stream.frames and len(packets) < 0.9 * stream.frames:
            raise RefusedImageError(f"only {len(packets)} of its {stream.frames} frames are there")
        counted = any(pts is None for pts, *_ in packets) or len({pts for pts, *_ in packets}) < len(packets)
        rows = [(number if counted else pts, key) for number, (pts, _, key) in enumerate(packets)]
        table = np.array(rows, np.int64)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        timeline = Timeline(
            times=np.sort(table[:, 0]),
            tick=1 / Fraction(rate) if counted else Fraction(stream.time_base),
            steady=counted or _steady(np.sort(table[:, 0])),
            packets=table,
            height=stream.codec_context.height,
            width=stream.codec_context.width,
            counted=counted,
        )
        stated = container.duration / av.time_base if container.duration and container.format.name != "gif" else 0
    if timeline.seconds > MOST_SECONDS:
        raise RefusedImageError(f"it is {timeline.seconds:.0f} s long; at most {MOST_SECONDS} s are read")
    if timeline.seconds + 1 < stated / 2 and not counted:
        raise RefusedImageError(f"its frames end after {timeline.seconds:.1f} s of {stated:.1f} s")
    return timeline


def decode_frames(source: Source, timeline: Timeline, times: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """Decode what is shown at certain times.

    Args:
        source: The file.
        timeline: Its timeline.
        times: In ticks, rising; equal ones give the same frame again.

    Yields:
        Frames `(height, width, 3)`, upright; transparent ones are composed on white.

    Raises:
        ValueError: That would take too long, or the file is corrupt or truncated.
    """
    _require_cost(timeline, times)
    with decoding_memory(timeline.height * timeline.width * _BYTES_A_PIXEL), _opened(source) as (container, stream):
        reader = _FrameReader(container, stream, timeline)
        for time in times:
            yield _upright(reader.at(time))


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[tuple[Any, Any]]:
    """Open a file, and find its video; whatever FFmpeg says of it is a ValueError."""
    if av is None:
        raise ModuleNotFoundError("videos need PyAV: pip install 'amalia-vl-hf[video]'", name="av")
    limits = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none"}
    limits["max_pixels"] = str(MOST_FRAME_PIXELS)
    with contextlib.ExitStack() as stack:
        file: Any = source.open("rb") if isinstance(source, Path) else io.BytesIO(source)
        stack.enter_context(file)
        require_whole(file)
        try:
            container = stack.enter_context(av.open(file, options=limits, buffer_size=2**17))
            stream = _video_of(container)
            yield container, stream
        except av.FFmpegError as error:
            raise RefusedImageError(f"is the file corrupt, truncated, or not a video? ({error.strerror})") from error


def _video_of(container: Any) -> Any:
    """Find the first stream of moving pictures; a cover of sound is none."""
    covers = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise RefusedImageError(f"there is no video in it, but {kinds}")
    stream = streams[0]
    if stream.codec_context is None:
        raise RefusedImageError("its video is coded in a way that PyAV does not know")
    _require_pixels(stream.codec_context.height, stream.codec_context.width)
    stream.codec_context.thread_count = 1  # memory that is known, and workers that do not stand in each other's way
    return stream


def _require_pixels(height: int, width: int) -> None:
    if height < 1 or width < 1:  # FFmpeg leaves a size out that is beyond its limit
        raise RefusedImageError(f"its frames are larger than the {MOST_FRAME_PIXELS} pixels allowed, or have none")
    if height * width > MOST_FRAME_PIXELS:
        raise RefusedImageError(f"its frames of {height}x{width} pixels are more than the {MOST_FRAME_PIXELS} allowed")


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the packets of frames that are shown; those of other streams are counted only."""
    kept = 0
    for number, packet in enumerate(container.demux()):
        if number > _MOST_PACKETS or kept > MOST_FRAMES:
            raise RefusedImageError(f"it has more than {MOST_FRAMES} frames, or {_MOST_PACKETS} packets")
        if packet.stream_index == stream.index and packet.size and not packet.is_discard:
            kept += 1
            yield packet


def _steady(times: NDArray[np.int64]) -> bool:
    """Tell whether frames come in equal steps, but for the rounding of their times to ticks."""
    steps = np.diff(times)
    return not len(steps) or int(steps.max() - steps.min()) <= 2


def _require_cost(timeline: Timeline, times: Sequence[int]) -> None:
    """Count the frames that have to be decoded."""
    place = {int(time): number for number, time in enumerate(timeline.packets[:, 0].tolist())}
    begins = np.flatnonzero(timeline.packets[:, 1])
    reached, frames = -1, 0
    for time in times:
        number = place[time]
        before = begins[begins <= number]
        begin = int(before[-1]) if len(before) and not timeline.counted else 0
        frames += max(number - max(begin - 1, reached), 0)
        reached = max(reached, number)
    pixels = frames * timeline.height * timeline.width
    if pixels > MOST_DECODED_PIXELS:
        raise RefusedImageError(
            f"{frames} frames of {timeline.height}x{timeline.width} pixels have to be decoded for {len(times)}, more "
            f"than {MOST_DECODED_PIXELS} pixels; cut it, or save it smaller or with more keyframes"
        )


class _FrameReader:
    """Goes forward through the frames of a video, over what nobody asks for.

    Args:
        container: An open file.
        stream: Its video.
        timeline: When its frames are shown.
    """

    def __init__(self, container: Any, stream: Any, timeline: Timeline) -> None:
        self.container, self.stream, self.timeline = container, stream, timeline
        self.begins = timeline.packets[timeline.packets[:, 1] == 1, 0]
        self.linear = timeline.counted
        self.frames: Any = None
        self._from_start()

    def at(self, time: int) -> Any:
        """Give the frame that is shown at a time, no earlier one than the one before."""
        self._approach(time)
        while self._advance(time):
            pass
        if self.shown is None and not self.linear:  # it sought too far
            self.linear = True
            self._from_start()
            return self.at(time)
        late = _LOST * self.timeline.span // len(self.timeline.times)
        if self.shown is None or time - self.shown_at > late or self.shown.is_corrupt:
            seconds = float((time - int(self.timeline.times[0])) * self.timeline.tick)
            raise RefusedImageError(f"the frame at {seconds:.2f} s cannot be decoded: it is corrupt or missing")
        return self.shown

    def _from_start(self) -> None:
        if self.frames is not None:
            self.container.seek(int(self.timeline.times[0]), stream=self.stream)
        self.frames = self.container.decode(self.stream)
        self.shown: Any = None
        self.ahead: Any = None
        self.shown_at = self.ahead_at = int(self.timeline.times[0]) - 1
        self.decoded = 0

    def _approach(self, time: int) -> None:
        """Seek to the keyframe before a time, if that is farther on than the last frame."""
        before = self.begins[self.begins <= time]
        if self.linear or not len(before) or before[-1] <= max(self.shown_at, int(self.begins[0])):
            return
        if self.ahead is not None and self.ahead_at >= before[-1]:
            return
        self.container.seek(int(before[-1]), stream=self.stream)
        self.frames = self.container.decode(self.stream)
        self.shown = self.ahead = None

    def _advance(self, time: int) -> bool:
        """Go one frame on, if that is shown at the time or before, and not exactly then."""
        if self.shown is not None and self.shown_at == time:
            return False
        if self.ahead is None:
            self.ahead = next(self.frames, None)
            if self.ahead is None:
                return False
            _require_pixels(self.ahead.height, self.ahead.width)
            self.ahead_at = self.decoded if self.timeline.counted else self.ahead.pts
            self.decoded += 1
        if self.ahead_at is None or self.ahead_at > time:
            return False
        self.shown, self.shown_at, self.ahead = self.ahead, self.ahead_at, None
        return True


def _upright(frame: Any) -> NDArray[np.uint8]:
    """Convert a frame to RGB, and turn it as its camera was held."""
    if any(part.is_alpha for part in frame.format.components) or frame.format.name == "pal8":
        pixels = np.asarray(on_white(Image.fromarray(frame.to_ndarray(format="rgba", threads=1))))
    else:
        pixels = frame.to_ndarray(format="rgb24", threads=1)
    kinds = av.sidedata.sidedata.Type
    matrix = next((data for data in frame.side_data if data.type == kinds.DISPLAYMATRIX), None)
    if matrix is not None:
        pixels = _turned(pixels, *np.frombuffer(bytes(matrix), np.int32)[[0, 1, 3, 4]].tolist())
    return np.ascontiguousarray(pixels)


def _turned(pixels: NDArray[np.uint8], a: int, b: int, c: int, d: int) -> NDArray[np.uint8]:
    """Map column x and row y to a x + c y and b x + d y, quarter turns and mirrors only; others are not turned."""
    if (a and d) and not (b or c):
        return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    if (b and c) and not (a or d):
        return pixels.swapaxes(0, 1)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
    return pixels
