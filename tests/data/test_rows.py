"""Rows of rendered datasets: their pictures and turns."""

import pytest
from PIL import Image

from amalia_vl_hf.data.rows import exchange, jpeg


def test_lossy_pictures_keep_their_colours_size():
    assert jpeg(Image.new("RGB", (32, 32), "red"), 60).startswith(b"\xff\xd8")


def test_turns_of_others_are_refused():
    with pytest.raises(ValueError, match="sample 5: turns of assistant"):
        exchange({"index": 5, "messages": [{"role": "assistant", "content": "?"}]})
