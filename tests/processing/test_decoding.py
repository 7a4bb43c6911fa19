"""A small file never costs gigabytes or minutes, and one whose pixels are missing is not trained on as black."""

import contextlib
import io
import os
import random
import threading
import time

import numpy as np
import pytest
from PIL import Image

from amalia_vl_hf.processing import decoding_amalia_vl
from amalia_vl_hf.processing.decoding_amalia_vl import _Budget
from amalia_vl_hf.processing.image_loading_amalia_vl import load_image
from benchmarks.hostile_images import CRAFTED, FORMATS, encoded, mutant, photograph

READ = (
    "JPEG 2000 of 2000x2000, a tile",
    "WebP of 2000x2000",
    "progressive JPEG, 250 scans of 2000x2000",
    "PNG of 5000x5000, RGBA, whole",
)
SLOW = ("13000x13000, RGB", "PNG of 13000x13000", "30000x5900", "2,000 scans of 4000x4000", "AVIF of 8000")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in CRAFTED if not any(part in name for part in SLOW)])
def test_crafted_files_are_refused_or_cheap(name):
    content = CRAFTED[name]()
    start = time.process_time()
    if name in READ:
        load_image(content, 0)
    else:
        with pytest.raises(ValueError, match="image 0"):
            load_image(content, 0)
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("JPEG 2000 of 13000x13000, a tile", r"169000000 pixels in 162 bytes: almost all of it is missing"),
        ("progressive JPEG, 2,000 scans of 1024x1024", "1025 scans or more of 1048576 pixels"),
        ("JPEG of 1024x1024, 3 % of its data, then its end", "almost all of the JPEG is missing"),
        ("progressive JPEG, 1 % of its data, then its end", "almost all of the JPEG is missing"),
        ("PNG of 1000x1000, ten rows", "only 30010 of the PNG's 3001000 bytes of pixels are there"),
        ("PNG of 1000x1000, ten rows of noise", "only 30010 of the PNG's 3001000 bytes of pixels are there"),
        ("GIF of 1000x1000, empty", "almost all of the GIF is missing"),
        ("TIFF of 64x64, one tile of 40000x40000", "1600000000 pixels in"),
    ],
)
def test_reasons_are_said(name, message):
    with pytest.raises(ValueError, match=message):
        load_image(CRAFTED[name](), 0)


def test_pictures_of_one_colour_are_read_in_every_format():
    for colour in ("white", "black"):
        for name in FORMATS:
            side = 200 if name == "ICO" else 700
            picture = load_image(encoded(Image.new("RGB", (side, side), colour), name), 0)
            assert np.ptp(np.asarray(picture)) <= 4, name  # an icon's corner may be rounded by its scaling
    for options in ({"interlace": 1}, {"bits": 1}):
        load_image(encoded(Image.new("1", (1501, 1500)), "PNG", **options), 0)
    scan = Image.new("1", (3000, 2000), 1)
    assert load_image(encoded(scan, "TIFF", compression="group4"), 0).size == (3000, 2000)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_black_rows_at_the_end_are_no_fault(mode):
    image = Image.new(mode, (33, 17))
    assert load_image(encoded(image, "PNG"), 0).size == (33, 17)


def test_photographs_pass_whole_and_not_cut():
    photo = photograph(512)
    for options in ({}, {"progressive": True}, {"quality": 5, "optimize": True}, {"subsampling": 0}, {"quality": 100}):
        content = encoded(photo, "JPEG", **options)
        assert load_image(content, 0).size == (512, 512)
        with pytest.raises(ValueError, match="image 0"):
            load_image(content[: len(content) // 2], 0)
    grey = encoded(photo.convert("L"), "JPEG", optimize=True)
    assert load_image(grey + bytes(100), 0).size == (512, 512)


@pytest.mark.filterwarnings("ignore")
def test_mutants_are_read_or_refused():
    rng = random.Random(1)
    parents = [encoded(photograph(32), name) for name in FORMATS]
    for number in range(1400):
        content = mutant(parents[number % len(parents)], rng)
        with contextlib.suppress(ValueError):
            assert load_image(content, 3).mode == "RGB"


def test_threads_share_the_memory_that_decoding_may_take():
    budget, most, running = _Budget(100), 0, 0
    lock = threading.Lock()

    def decode(size):
        nonlocal most, running
        with budget.share(size):
            with lock:
                running += size
                most = max(most, running)
            time.sleep(0.002)
            with lock:
                running -= size

    threads = [threading.Thread(target=decode, args=(size,)) for size in [30, 60, 10, 90, 250, 100, 5] * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert budget.taken == 0
    assert most in range(90, 251)  # 250, which is more than there is, had it alone


def test_the_loader_holds_its_share_while_it_decodes(monkeypatch):
    taken = []
    load = Image.Image.load
    monkeypatch.setattr(
        Image.Image, "load", lambda self: (taken.append(decoding_amalia_vl._budget.taken), load(self))[1]
    )
    load_image(Image.new("RGB", (100, 50)), 0)
    assert 9 * 100 * 50 in taken
    assert decoding_amalia_vl._budget.taken == 0


def test_a_fork_while_others_decode_does_not_wait_for_them():
    with decoding_amalia_vl._budget.share(decoding_amalia_vl.DECODE_BYTES):
        child = os.fork()
        if child == 0:
            load_image(Image.new("RGB", (3000, 3000)), 0)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def test_a_file_that_the_user_opened_is_held_to_the_same():
    with pytest.raises(ValueError, match="almost all of the JPEG is missing"):
        load_image(Image.open(io.BytesIO(CRAFTED["JPEG of 1024x1024, 3 % of its data, then its end"]())), 0)
