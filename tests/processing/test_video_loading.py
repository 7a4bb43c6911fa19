"""Which frames of a video are taken, from whatever holds it."""

import base64
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.video_utils import VideoMetadata, default_sample_indices_fn

from amalia_vl_hf import AmaliaVLImageProcessor
from amalia_vl_hf.processing.video_loading_amalia_vl import Sampling, VideoReader, flatten_videos
from amalia_vl_hf.processing.video_processing_amalia_vl import AmaliaVLVideoProcessor
from tests.processing.clips import ONE, QUARTER, corner_frame, grey_frame, numbers, turned, write_clip, write_sound

CODECS = {"mp4": "libx264", "mkv": "libx264", "webm": "libvpx-vp9", "ts": "libx264", "gif": "gif"}
CODECS |= {"avi": "mpeg4", "mov": "mpeg4"}
OPTIONS = {"libx264": {"bf": 2, "g": 12}, "mpeg4": {"qmin": 1, "qmax": 1}}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """The same fifty frames in every container."""
    folder = tmp_path_factory.mktemp("clips")
    for kind, codec in CODECS.items():
        write_clip(folder / f"clip.{kind}", codec=codec, **OPTIONS.get(codec, {}))
    return folder


@pytest.fixture
def videos():
    return AmaliaVLVideoProcessor(AmaliaVLImageProcessor(size=32, patch_size=8), num_frames=8)


def taken(videos, video, **options):
    return numbers(videos(video, pixels="uint8", **options)["pixel_values_videos"])


@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("num_frames", [1, 3, 8, 32, 49, 50, 64])
def test_frames_are_those_that_transformers_samples(videos, clips, kind, num_frames):
    metadata = VideoMetadata(total_num_frames=50, fps=25)
    expected = default_sample_indices_fn(metadata, num_frames=min(num_frames, 50)).tolist()
    batch = videos(clips / f"clip.{kind}", num_frames=num_frames, pixels="uint8", return_metadata=True)
    assert batch["video_metadata"][0]["frames_indices"] == expected
    assert numbers(batch["pixel_values_videos"]) == expected
    assert batch["video_frames"].tolist() == [len(expected)]


@pytest.mark.parametrize("kind", ["mp4", "webm", "avi"])
@pytest.mark.parametrize("fps", [0.1, 0.5, 1, 2.5, 7, 25, 100])
def test_fps_limits_frames_a_second(videos, clips, kind, fps):
    metadata = VideoMetadata(total_num_frames=50, fps=25)
    expected = max(1, default_sample_indices_fn(metadata, fps=min(fps, 25)).size)  # 5.19 gives none at 0.1
    frames = videos.sampled(clips / f"clip.{kind}", num_frames=1000, fps=fps)
    assert len(frames.positions) == expected
    assert frames.length == pytest.approx(2)
    assert len(videos.sampled(clips / f"clip.{kind}", num_frames=2, fps=fps).positions) == min(expected, 2)


def test_sources_of_every_kind_give_the_same(videos, clips, monkeypatch):
    path, content = clips / "clip.mp4", (clips / "clip.mp4").read_bytes()
    expected = videos(path)["pixel_values_videos"]
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(clips)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sources = {
        "text": str(path),
        "bytes": content,
        "memory": memoryview(content),
        "cell with bytes": {"bytes": content, "path": "other.mp4"},
        "cell with a path": {"bytes": None, "path": str(path)},
        "file URI": path.as_uri(),
        "data URI": f"data:video/mp4;base64,{base64.b64encode(content).decode()}",
        "address": f"http://127.0.0.1:{server.server_port}/clip.mp4",
    }
    try:
        for name, source in sources.items():
            assert torch.equal(videos(source)["pixel_values_videos"], expected), name
    finally:
        server.shutdown()
        server.server_close()


def test_frames_in_memory_are_read_as_images_are(videos, tmp_path):
    arrays = [grey_frame(number) for number in range(20)]
    pictures = [Image.fromarray(array) for array in arrays]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number:03}.png")
    video = np.stack(arrays)
    expected = videos(video)["pixel_values_videos"]
    assert taken(videos, video) == [number * 20 // 8 for number in range(8)]
    forms = {
        "pictures": pictures,
        "arrays": arrays,
        "tensor": torch.from_numpy(video),
        "channels first": video.transpose(0, 3, 1, 2),
        "floats": video.astype(np.float32) / 255,
        "grey": [picture.convert("L") for picture in pictures],
        "files": sorted(tmp_path.iterdir()),
        "names": [str(path) for path in sorted(tmp_path.iterdir())],
    }
    for name, form in forms.items():
        assert torch.equal(videos(form)["pixel_values_videos"], expected), name
        assert videos.sampled(form).seconds is None, name
    assert taken(videos, video, fps=0.001) == taken(videos, video)  # nobody knows how fast these are


def test_nesting_is_flattened_but_frames_belong_together():
    picture, array = Image.new("RGB", (4, 4)), np.zeros((2, 4, 4, 3), np.uint8)
    assert len(flatten_videos([picture, picture])) == 1
    assert len(flatten_videos([[picture, picture], [picture]])) == 2
    assert len(flatten_videos([["a.mp4", "b.mp4"], None, [], [array]])) == 3
    assert len(flatten_videos(["1.png", "2.png"])) == 1
    assert len(flatten_videos(np.zeros((3, 2, 4, 4, 3), np.uint8))) == 3
    assert flatten_videos(None) == flatten_videos([]) == []
    with pytest.raises(ValueError, match="frames and videos together"):
        flatten_videos([picture, "a.mp4"])


def test_a_varying_rate_is_sampled_by_time(videos, tmp_path):
    """Ten quick frames and a still of nine seconds: what is shown at evenly spread moments."""
    times = [*range(0, 1000, 100), 9000, 9500]
    path = write_clip(tmp_path / "still.mkv", frames=12, times=times)
    frames = videos.sampled(path, num_frames=10)
    moments = [number * frames.length / 10 for number in range(10)]
    expected = [max(place for place, time in enumerate(times) if time / 1000 <= moment + 1e-9) for moment in moments]
    assert frames.positions == expected
    assert expected.count(9) > 5
    assert taken(videos, path, num_frames=10) == expected


def test_one_frame_is_a_video(videos, tmp_path):
    assert taken(videos, write_clip(tmp_path / "one.mp4", frames=1), fps=1) == [0]


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [
        ((ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), (0, 0)),
        (QUARTER, (0, 1)),
        ((-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30), (1, 1)),
        ((0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30), (1, 0)),
        ((-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), (0, 1)),  # mirrored
        ((0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30), (0, 0)),  # mirrored along the diagonal
    ],
)
def test_a_turned_camera_gives_upright_frames(tmp_path, matrix, corner):
    content = turned(write_clip(tmp_path / "a.mp4", frames=3, draw=corner_frame).read_bytes(), matrix)
    [frame] = VideoReader(content, 0).frames([1])
    assert frame.shape[:2] == ((64, 48) if matrix[0] == 0 else (48, 64))
    rows, cols = frame.shape[0] // 2, frame.shape[1] // 2
    quarters = frame.reshape(2, rows, 2, cols, 3).mean(axis=(1, 3, 4))
    assert np.unravel_index(quarters.argmax(), (2, 2)) == corner
    assert quarters[corner] > 200
    assert np.sort(quarters.flatten())[2] < 50


def test_a_transparent_frame_is_composed_on_white(videos, tmp_path):
    frames = [Image.new("RGBA", (16, 16), (0, 0, 0, 0)) for _ in range(3)]
    frames[0].save(tmp_path / "clear.gif", save_all=True, append_images=frames[1:], duration=100)
    assert (videos(tmp_path / "clear.gif", pixels="uint8")["pixel_values_videos"] == 255).all()


def test_sound_has_no_video(videos, tmp_path):
    for cover in (False, True):
        with pytest.raises(ValueError, match=r"a\.mp4\) cannot be used: there is no video in it, but .*audio"):
            videos(write_sound(tmp_path / "a.mp4", cover))


@pytest.mark.parametrize(
    ("video", "reason"),
    [
        ("nothing.mp4", r"video 0 \(nothing\.mp4\) cannot be used: no such file"),
        (b"", r"\(0 bytes\) cannot be used: it is empty"),
        (b"hello world" * 100, r"\(1100 bytes\) cannot be used: is the file corrupt, truncated, or not a video"),
        ({"path": None, "bytes": None}, "dict is no path"),
        (7, "int is no path"),
        (np.zeros((0, 4, 4, 3), np.uint8), "it has no frames"),
        (np.zeros(3), "has no four dimensions"),
        (np.full((2, 4, 4, 3), 7.0), "values must be within 0 and 1"),
        ("http://127.0.0.1:9/a.mp4", "the download failed"),
        ("data:video/mp4,abc", "must be base64"),
    ],
    ids=str,
)
def test_what_is_no_video_is_refused_by_name(videos, video, reason, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the attempts of a download
    with pytest.raises(ValueError, match=reason):
        videos(video)


def test_a_folder_is_no_video(videos, tmp_path):
    with pytest.raises(ValueError, match="it is a folder, not a file"):
        videos(tmp_path)


def test_the_second_of_two_is_named(videos, clips):
    with pytest.raises(ValueError, match=r"video 1 \(nothing\.mp4\)"):
        videos([clips / "clip.mp4", "nothing.mp4"])


def test_sampling_is_a_plain_value():
    assert VideoReader(np.zeros((5, 4, 4, 3), np.uint8), 0).sampled(Sampling(2, 1.0)).positions == [0, 2]
