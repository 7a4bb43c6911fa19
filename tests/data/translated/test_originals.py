"""Rows of every format that training reads become items, and one that cannot be read costs the others nothing."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from amalia_vl_hf.data.translated.originals import Originals

TURNS = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ana."}]
FORMATS = {
    "TRL": {"messages": TURNS},
    "TRL, parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Who?"}]}, TURNS[1]]},
    "completion": {"prompt": TURNS[:1], "completion": TURNS[1:]},
    "FineVision": {"texts": [{"user": "Who?", "assistant": "Ana."}]},
    "LLaVA": {"conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Ana."}]},
    "Multi-PixMo": {"image_url": "https://a.example/x.png", "question": "Who?", "answer": "Ana."},
    "PD12M": {"url": "https://a.example/x.png", "caption": "Ana."},
}


def originals(folder, rows, method="sft"):
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Originals(str(folder / "in.jsonl"), method)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read(name, tmp_path):
    (item,) = originals(tmp_path, [FORMATS[name]]).read(0, 1)
    texts = [turn["content"] for turn in item["record"]["messages"]]
    assert texts[-1] == "Ana."
    assert json.loads(json.dumps(item)) == item


def test_a_row_that_cannot_be_read_costs_the_others_nothing(tmp_path):
    found = originals(tmp_path, [FORMATS["TRL"], {"conversations": 5}, FORMATS["LLaVA"]])
    first, second, third = found.read(0, 3)
    assert "needs" in second["fault"] or "turns" in second["fault"]
    assert "record" in first
    assert "record" in third


def test_images_and_videos_come_with_their_bytes_or_their_place(tmp_path):
    encoded = io.BytesIO()
    Image.new("RGB", (4, 3)).save(encoded, "PNG")
    (tmp_path / "x.png").write_bytes(encoded.getvalue())
    (tmp_path / "x.mp4").write_bytes(b"film")
    rows = [{"messages": TURNS, "images": ["x.png"]}, {"messages": TURNS, "images": ["missing.png"]}, FORMATS["PD12M"]]
    rows += [{"messages": TURNS, "videos": ["x.mp4"]}, {"messages": TURNS, "videos": [["x.png", "x.png"]]}]
    found = originals(tmp_path, rows)
    assert found.media(0, True) == {"images": [{"bytes": encoded.getvalue(), "path": "x.png"}], "videos": []}
    assert found.media(0, False)["images"] == [{"bytes": None, "path": str(tmp_path / "x.png")}]
    assert found.media(2, True)["images"] == [{"bytes": None, "path": "https://a.example/x.png"}]
    assert found.media(3, True) == {"images": [], "videos": [{"bytes": b"film", "path": "x.mp4"}]}
    with pytest.raises(OSError, match="missing"):
        found.media(1, True)
    with pytest.raises(ValueError, match="2 frames"):
        found.media(4, True)
    cell = {"bytes": encoded.getvalue(), "path": None}
    pq.write_table(pa.Table.from_pylist([{"messages": TURNS, "images": [cell]}]), tmp_path / "rows.parquet")
    assert Originals(str(tmp_path / "rows.parquet"), "sft").media(0, True)["images"] == [cell]


def test_other_rows_have_another_fingerprint(tmp_path):
    first = originals(tmp_path, [FORMATS["TRL"]]).fingerprint()
    (tmp_path / "b").mkdir()
    assert originals(tmp_path / "b", [FORMATS["TRL"]]).fingerprint() == first
    assert originals(tmp_path / "b", [FORMATS["LLaVA"]]).fingerprint() != first
