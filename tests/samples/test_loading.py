import json
import pickle

import pytest
from datasets import Dataset

from amalia_vl_hf.samples.loading import conversation, load_samples, require_readable
from amalia_vl_hf.samples.manifest import write_manifest
from amalia_vl_hf.samples.sources import Source

IMAGE = {"type": "image"}


def text(words):
    return {"type": "text", "text": words}


def write(path, *rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_rows_keep_what_their_method_needs_and_name_their_line(samples, pictures):
    data = load_samples(samples["dpo"], "dpo")
    known = {"index", "sample", "source", "language", "category", "fault"}
    assert set(data[3]) == {*known, "images", "prompt", "chosen", "rejected"}
    assert [row["index"] for row in data] == list(range(8))
    assert data[3]["sample"] == f"{samples['dpo']}, line 4"
    assert data[3]["images"] == [str(pictures / "3.png")]


def test_rows_may_lack_images_and_mix_text_with_parts(tmp_path):
    turns = [{"role": "user", "content": [text("a")]}, {"role": "assistant", "content": [text("b")]}]
    data = load_samples(write(tmp_path / "data.jsonl", {"messages": turns}, {"messages": turns, "images": []}), "sft")
    assert [row["images"] for row in data] == [[], []]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"data\.jsonl, line 1: not JSON"),
        ("[1]", "line 1: needs messages but holds list"),
        ('{"images": [], "text": []}', "line 1: needs conversations but holds images, text;"),
        ('{"images": ["gone.png"], "messages": []}', r"line 1: no such image: .*gone\.png"),
        ("", r"data\.jsonl holds no samples"),
    ],
)
def test_faulty_files_are_refused(tmp_path, line, message):
    (tmp_path / "data.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_samples(tmp_path / "data.jsonl", "sft")


def test_images_fill_the_slots_in_order():
    turns = [{"role": "user", "content": [IMAGE, text("e"), IMAGE]}, {"role": "assistant", "content": "sim"}]
    typed = conversation(turns, ["a.png", "b.png"], "here")
    first, second = {"type": "image", "image": "a.png"}, {"type": "image", "image": "b.png"}
    assert typed[0]["content"] == [first, text("e"), second]
    assert typed[1]["content"] == [text("sim")]
    assert turns[0]["content"][0] == {"type": "image"}, "the sample itself must stay as it was"


def test_without_slots_images_open_the_first_user_turn():
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "user", "content": "v"}]
    typed = conversation(turns, ["a.png"], "here")
    assert typed[1]["content"] == [{"type": "image", "image": "a.png"}, text("u")]
    assert [typed[0]["content"], typed[2]["content"]] == [[text("s")], [text("v")]]


def test_keys_that_a_dataset_column_filled_with_none_are_dropped():
    turns = [{"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "u"}]}]
    assert conversation(turns, ["a.png"], "here")[0]["content"] == [{"type": "image", "image": "a.png"}, text("u")]


@pytest.mark.parametrize(
    ("content", "images", "message"),
    [
        ([IMAGE, text("u")], ["a.png", "b.png"], "line 7: 1 image slots in the conversation but 2 images"),
        ([IMAGE, IMAGE], ["a.png"], "line 7: 2 image slots in the conversation but 1 images"),
        ([IMAGE], [], "line 7: 1 image slots in the conversation but 0 images"),
    ],
)
def test_as_many_slots_as_images(content, images, message):
    with pytest.raises(ValueError, match=message):
        conversation([{"role": "user", "content": content}], images, "data.jsonl, line 7")


def test_images_without_a_user_turn_have_no_place():
    with pytest.raises(ValueError, match="line 7: 0 image slots in the conversation but 1 images"):
        conversation([{"role": "assistant", "content": "a"}], ["a.png"], "line 7")


def test_placeholders_that_open_the_text_are_its_images():
    turns = [{"role": "user", "content": "<image>\n<image> Iguais a <image>?"}]
    assert conversation(turns, ["a", "b"], "here")[0]["content"] == [
        {"type": "image", "image": "a"},
        {"type": "image", "image": "b"},
        text("Iguais a <image>?"),
    ]
    for images in ([], ["a"], ["a", "b", "c"]):
        content = conversation(turns, images, "here")[0]["content"]
        assert content[-1] == text("<image>\n<image> Iguais a <image>?"), "text, when they are not as many as images"
        assert len(content) == len(images) + 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": 3}, r"line 2: not what TRL conversations.*must be a list"),
        ({"messages": [], "images": ["gone.png"]}, "line 2: no such image"),
        (
            {"messages": [], "images": ["https://h/a.png"]},
            r"line 2: https://h/a\.png is not fetched yet; run amalia-vl",
        ),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "line 2: not what TRL.*half of a surrogate pair"),
    ],
)
def test_a_faulty_row_is_an_error_or_says_its_fault(tmp_path, row, message):
    path = write(tmp_path / "data.jsonl", {"messages": []}, row)
    with pytest.raises(ValueError, match=message):
        load_samples(path, "sft")
    with pytest.raises(ValueError, match=message):
        require_readable(load_samples(path, "sft", every_row=False)[1])
    write_manifest(tmp_path / "m.parquet", {"source": [0], "row": [1]}, [Source("um", path=str(path))], {})
    with pytest.raises(ValueError, match=message):
        load_samples(tmp_path / "m.parquet", "sft")[0]


def test_an_empty_manifest_is_refused(tmp_path):
    write_manifest(tmp_path / "m.parquet", {"source": [], "row": []}, [], {})
    with pytest.raises(ValueError, match=r"m\.parquet holds no samples"):
        load_samples(tmp_path / "m.parquet", "sft")


def test_a_bomb_of_brackets_is_only_a_faulty_line(tmp_path):
    (tmp_path / "data.jsonl").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ValueError, match=r"data\.jsonl, line 1: not JSON"):
        load_samples(tmp_path / "data.jsonl", "sft")
    (tmp_path / "data.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ValueError, match=r"data\.json: not JSON"):
        load_samples(tmp_path / "data.json", "sft")


def test_samples_are_read_in_a_process_that_inherits_nothing(samples):
    data = load_samples(samples["sft"], "sft")
    assert pickle.loads(pickle.dumps(data))[3] == data[3]  # noqa: S301


def test_a_dataset_of_the_hub_is_read_by_subset_and_split(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "repo").mkdir()
    for name in ("treino", "teste"):
        turns = [[{"role": "user", "content": name}]]
        Dataset.from_dict({"messages": turns}).to_parquet(tmp_path / "repo" / f"{name}.parquet")
    card = "---\nconfigs:\n- config_name: um\n  data_files:\n  - split: treino\n    path: treino.parquet\n"
    card += "  - split: teste\n    path: teste.parquet\n---\n"
    (tmp_path / "repo" / "README.md").write_text(card, encoding="utf-8")
    source = Source("um", hub=str(tmp_path / "repo"), subset="um", split="treino+teste")
    write_manifest(tmp_path / "m.parquet", {"source": [0, 0], "row": [0, 1]}, [source], {})
    samples = load_samples(tmp_path / "m.parquet", "sft")
    assert [sample["messages"][0]["content"] for sample in samples] == ["treino", "teste"]
    assert samples[1]["sample"] == f"{tmp_path / 'repo'} um, row 2"
