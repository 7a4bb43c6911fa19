"""Small videos, written by PyAV: the grey level of each frame is its number, so that a frame says which one it is."""

import struct
from fractions import Fraction

import av
import numpy as np

STEP = 4  # grey levels between a frame and the next
ONE = 1 << 16  # of a display matrix
QUARTER = (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30)  # clockwise


def grey_frame(number, height=48, width=64):
    return np.full((height, width, 3), number * STEP % 256, np.uint8)


def corner_frame(number, height=48, width=64):
    """Black, with a white quarter at the upper left."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[: height // 2, : width // 2] = 255
    return frame


def write_clip(path, frames=50, codec="libx264", rate=25, times=None, draw=grey_frame, size=(48, 64), **options):
    """Write a video.

    Args:
        path: Its ending says the container.
        frames: How many.
        codec: Of the video.
        rate: Frames a second.
        times: Of each frame, in milliseconds, in the place of a rate.
        draw: Gives a frame by its number.
        size: Height and width.
        **options: Of the codec.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={name: str(value) for name, value in options.items()})
        stream.height, stream.width = size
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(number, *size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path, cover=False):
    """Write a second of silence, and maybe the picture of a record's cover."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        if cover:
            picture = container.add_stream("png", rate=1)
            picture.height = picture.width = 32
            picture.pix_fmt = "rgb24"
            picture.disposition = av.stream.Disposition.attached_pic
            container.mux(picture.encode(av.VideoFrame.from_ndarray(grey_frame(9, 32, 32), format="rgb24")))
            container.mux(picture.encode())
        for _ in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 8000
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path


def turned(content, matrix):
    """Set the display matrix of an MP4's track."""
    place = content.index(b"tkhd") + 4 + 4 + 5 * 4 + 8 + 4 * 2
    return content[:place] + struct.pack(">9i", *matrix) + content[place + 36 :]


def numbers(levels):
    """Read the numbers of frames `(frames, 3, S, S)` off their grey levels."""
    return (levels.float().mean(dim=(1, 2, 3)) / STEP).round().int().tolist()
