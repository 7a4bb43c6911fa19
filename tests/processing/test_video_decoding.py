"""Hostile and damaged files: refused by a reason, before they cost much."""

import gc
import os
import random
import resource
import signal
import struct
import time

import av
import numpy as np
import pytest

from amalia_vl_hf import AmaliaVLImageProcessor
from amalia_vl_hf.processing import video_containers_amalia_vl, video_decoding_amalia_vl
from amalia_vl_hf.processing.decoding_amalia_vl import _budget
from amalia_vl_hf.processing.video_decoding_amalia_vl import _upright, decode_frames, read_timeline
from amalia_vl_hf.processing.video_processing_amalia_vl import AmaliaVLVideoProcessor
from tests.processing.clips import STEP, write_clip

KINDS = {"mp4": "libx264", "mkv": "libx264", "webm": "libvpx-vp9", "avi": "mpeg4", "ts": "libx264", "gif": "gif"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    clips = {kind: write_clip(folder / f"a.{kind}", codec=codec) for kind, codec in KINDS.items()}
    return {kind: path.read_bytes() for kind, path in clips.items()}


@pytest.fixture
def videos():
    return AmaliaVLVideoProcessor(AmaliaVLImageProcessor(size=16, patch_size=8), num_frames=8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.66, 0.97])
def test_a_truncated_file_is_refused(videos, whole, kind, share):
    with pytest.raises(ValueError, match=r"video 0 .* cannot be used: "):
        videos(whole[kind][: int(len(whole[kind]) * share)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_corrupt_file_is_refused_or_read(videos, whole, kind):
    """Whatever is in it, nothing but ValueError comes out, and most of it is noticed."""
    generator, refused = random.Random(kind), 0
    for _ in range(25):
        content = bytearray(whole[kind])
        for _ in range(30):
            content[generator.randrange(len(content))] = generator.randrange(256)
        try:
            videos(bytes(content))
        except ValueError as error:
            refused += str(error).startswith("video 0 (")
    assert refused >= (1 if kind == "gif" else 12)  # whose data have no checks at all


def test_playlists_and_pictures_are_not_opened(videos, tmp_path, whole):
    """A playlist could name any file or address."""
    (tmp_path / "a.ts").write_bytes(whole["ts"])
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{tmp_path}/a.ts\n#EXT-X-ENDLIST\n"
    listed = f"ffconcat version 1.0\nfile {tmp_path}/a.ts\n"
    for content in (playlist, listed):
        for name in ("list.m3u8", "list.mp4"):
            (tmp_path / name).write_text(content)
            with pytest.raises(ValueError, match="not a video"):
                videos(tmp_path / name)


def test_a_name_is_no_protocol(videos, tmp_path, whole, monkeypatch):
    """FFmpeg would take `concat:a.ts` for what it does to a.ts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.ts").write_bytes(whole["ts"])
    with pytest.raises(ValueError, match="no such file"):
        videos("concat:a.ts|a.ts")
    (tmp_path / "concat:a.ts").write_bytes(b"text")
    with pytest.raises(ValueError, match="not a video"):
        videos("concat:a.ts")


@pytest.mark.parametrize(("kind", "codec"), [("gif", "gif"), ("avi", "rawvideo")])
def test_huge_frames_are_refused_by_their_header(videos, tmp_path, kind, codec):
    content = write_clip(tmp_path / f"a.{kind}", frames=3, codec=codec).read_bytes()
    old, new = {
        "gif": (struct.pack("<HH", 64, 48), struct.pack("<HH", 60_000, 60_000)),
        "avi": (struct.pack("<II", 64, 48), struct.pack("<II", 60_000, 60_000)),
    }[kind]
    assert old in content
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="frames are larger than the 33554432 pixels allowed, or have none"):
        videos(content.replace(old, new))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_table_of_frames_is_not_believed(videos, whole):
    """Sixteen bytes would make FFmpeg write down 24 for each of a thousand million frames."""
    content = whole["mp4"]
    place = content.index(b"stsz") + 12
    grown = content[:place] + struct.pack(">I", 2**30) + content[place + 4 :]
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ValueError, match="its tables count 1073741824 frames or more"):
        videos(grown)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    assert time.process_time() - began < 1


def test_boxes_in_boxes_end(videos, whole):
    nested = b""
    for _ in range(3000):
        nested = struct.pack(">I4s", 8 + len(nested), b"moov") + nested
    began = time.process_time()
    with pytest.raises(ValueError, match="cannot be used"):
        videos(struct.pack(">I4s8s", 16, b"ftyp", b"isom0000") + nested)
    with pytest.raises(ValueError, match="cannot be used"):
        videos(struct.pack(">I4s8s", 16, b"ftyp", b"isom0000") + struct.pack(">I4s", 8, b"free") * 100_000)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        ("MOST_SECONDS", 1, "it is 2 s long; at most 1 s"),
        ("MOST_FRAMES", 10, "more than 10 frames"),
        ("MOST_FRAME_PIXELS", 3000, "48x64 pixels are more than the 3000|corrupt"),
        ("MOST_DECODED_PIXELS", 48 * 64 * 40, "46 frames of 48x64 pixels have to be decoded for 8"),
    ],
)
def test_limits_are_kept(videos, whole, monkeypatch, limit, value, reason):
    videos(whole["mp4"])
    monkeypatch.setattr(video_decoding_amalia_vl, limit, value)
    with pytest.raises(ValueError, match=reason):
        videos(whole["mp4"])


def test_keyframes_make_it_cheaper(videos, tmp_path, monkeypatch):
    """Only what lies between a keyframe and a frame that is asked for is decoded."""
    content = write_clip(tmp_path / "a.mp4", frames=200, g=10, bf=0, sc_threshold=0).read_bytes()
    monkeypatch.setattr(video_decoding_amalia_vl, "MOST_DECODED_PIXELS", 48 * 64 * 60)
    frames = videos(content, pixels="uint8")["pixel_values_videos"]
    expected = [number * 25 * STEP % 256 for number in range(8)]
    assert frames.float().mean(dim=(1, 2, 3)).round().int().tolist() == pytest.approx(expected, abs=1)


def test_seeking_gives_what_decoding_all_gives(tmp_path):
    for kind, codec in KINDS.items():
        options = {"g": 12, "bf": 3} if codec == "libx264" else {"g": 12}
        path = write_clip(tmp_path / f"a.{kind}", frames=60, codec=codec, **({} if codec == "gif" else options))
        timeline = read_timeline(path)
        every = list(decode_frames(path, timeline, timeline.times.tolist()))
        for places in ([0, 30, 59], [5, 5, 17, 18], [58], [11, 12, 13, 47]):
            some = list(decode_frames(path, timeline, timeline.times[places].tolist()))
            assert all(np.array_equal(frame, every[place]) for frame, place in zip(some, places, strict=True)), kind


def test_memory_is_given_back(videos, whole):
    with pytest.raises(ValueError, match="cannot be used"):
        videos(whole["avi"][:-2000] + bytes(2000))
    for _ in decode_frames(whole["mp4"], read_timeline(whole["mp4"]), [0]):
        assert _budget.taken > 0
    assert _budget.taken == 0


def test_resolution_may_change_within_a_video(videos, whole, tmp_path):
    """Parts of two recordings, one after the other: every frame is squeezed to the tower's size."""
    other = write_clip(tmp_path / "b.ts", size=(96, 32)).read_bytes()
    frames = videos(whole["ts"] + other, num_frames=4)
    assert frames["pixel_values_videos"].shape == (4, 3, 16, 16)


def test_limits_are_those_of_the_containers():
    assert video_decoding_amalia_vl.MOST_FRAMES is video_containers_amalia_vl.MOST_FRAMES


def test_a_frame_that_is_taken_apart_in_a_fork_waits_for_no_thread(tmp_path):
    """Workers of a DataLoader are forks, without the threads that scaled a frame: FFmpeg would wait for those."""
    with av.open(str(write_clip(tmp_path / "a.mp4", 2))) as container:
        frame = next(container.decode(video=0))
    assert _upright(frame).shape == (48, 64, 3)
    circle = [frame]
    circle.append(circle)
    del frame, circle
    child = os.fork()
    if child == 0:
        gc.collect()
        os._exit(0)
    until = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.02)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended == (child, 0)
