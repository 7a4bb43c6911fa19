import json

import pytest

from amalia_vl_hf.training.samples import conversation, load_samples

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
