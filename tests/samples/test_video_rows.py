"""Rows with videos: read in their formats, put into their slots, measured, checked and listed by their files."""

import json

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image

from amalia_vl_hf import AmaliaVLImageProcessor, AmaliaVLProcessor
from amalia_vl_hf.samples.checking import check
from amalia_vl_hf.samples.files import files_behind
from amalia_vl_hf.samples.formats import read_record
from amalia_vl_hf.samples.lengths import measure
from amalia_vl_hf.samples.loading import conversation, dialogues_of, load_samples
from tests.processing.clips import write_clip
from tests.tiny import tiny_tokenizer

ANSWER = {"from": "gpt", "value": "Cai."}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip of 50 frames, one that is cut, one of sound, and a picture."""
    folder = tmp_path_factory.mktemp("videos")
    whole = write_clip(folder / "clip.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[:-100])
    Image.new("RGB", (40, 60)).save(folder / "a.png")
    return folder


@pytest.fixture(scope="module")
def processor():
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<image>", "<video>"]})
    images = AmaliaVLImageProcessor(size=32, patch_size=8, max_tiles=4)
    return AmaliaVLProcessor(images, tokenizer, num_frames=4)


def llava_video(video="clip.mp4", text="<image>\nO que acontece?", **more):
    """A row as LLaVA-Video-178k has it: its placeholder is the image's."""
    return {"id": "1", "data_source": "0_30_s", "video": video, **more} | {
        "conversations": [{"from": "human", "value": text}, ANSWER]
    }


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("mark", ["<image>", "<video>"])
def test_llava_video_has_its_video_where_the_placeholder_is(mark):
    record = read_record(llava_video(text=f"Vê:{mark}\nO que acontece?"), "sft", "here")
    assert (record["images"], record["videos"]) == ([], ["clip.mp4"])
    parts = record["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "video", "text"]
    assert parts[2]["text"] == "O que acontece?"


def test_images_and_videos_have_their_own_placeholders():
    row = llava_video(video=["a.mp4", "b.mp4"], text="<video><image>\ne <video>?", image="a.png")
    parts = read_record(row, "sft", "here")["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["video", "image", "text", "video", "text"]
    with pytest.raises(ValueError, match=r"here: .*1 <video> placeholders but 2 videos"):
        read_record(llava_video(video=["a", "b"], text="<video>?", image="a.png"), "sft", "here")
    with pytest.raises(ValueError, match="2 <image> placeholders but 1 videos"):
        read_record(llava_video(text="<image><image>?"), "sft", "here")


def test_messages_hold_videos_inside_or_beside():
    slot = {"type": "video"}
    inside = {"messages": [{"role": "user", "content": [{**slot, "video": "a.mp4"}, {"type": "text", "text": "?"}]}]}
    beside = {"messages": [{"role": "user", "content": [slot, {"type": "text", "text": "?"}]}], "videos": ["a.mp4"]}
    assert read_record(inside, "sft", "here") == read_record(beside, "sft", "here")
    with pytest.raises(ValueError, match="1 videos inside the messages and 1 in a column"):
        read_record({**inside, "videos": ["b.mp4"]}, "sft", "here")
    assert "videos" not in read_record({"messages": "?"}, "sft", "here")


def test_conversations_get_videos_into_their_slots():
    turns = [{"role": "user", "content": "<image> <video>\nO que muda?"}]
    typed = conversation(turns, ["a.png"], "here", ["a.mp4"])[0]["content"]
    assert [part.get("image") or part.get("video") or part["text"] for part in typed][:2] == ["a.png", "a.mp4"]
    plain = conversation([{"role": "user", "content": "<video>\nO que muda?"}], [], "here", ["a.mp4"])[0]["content"]
    assert plain == [{"type": "video", "video": "a.mp4"}, {"type": "text", "text": "O que muda?"}]
    with pytest.raises(ValueError, match="here: 1 video slots in the conversation but 0 videos"):
        conversation([{"role": "user", "content": [{"type": "video"}]}], [], "here")


def test_a_file_gives_videos_by_their_whole_paths(folder):
    path = write(folder / "rows.jsonl", [llava_video(), {"messages": "Olá"}, llava_video(["a.png", "a.png"])])
    rows = load_samples(path, "sft")
    assert rows[0]["videos"] == [str(folder / "clip.mp4")]
    assert rows[0:2]["videos"] == [[str(folder / "clip.mp4")], []]  # a batch has a column or none
    assert files_behind(path, "sft").images == sorted([str(folder / "a.png"), str(folder / "clip.mp4")])
    outside = write(folder / "outside.jsonl", [llava_video("../clip.mp4")])
    with pytest.raises(ValueError, match=r"line 1: ../clip.mp4 is outside"):
        load_samples(outside, "sft")
    missing = write(folder / "missing.jsonl", [llava_video("gone.mp4")])
    with pytest.raises(ValueError, match=r"line 1: no such video: .*gone.mp4"):
        load_samples(missing, "sft")
    odd = write(folder / "odd.jsonl", [llava_video(7)])
    with pytest.raises(ValueError, match="line 1: a video must be a path, or a cell with its bytes, not int"):
        load_samples(odd, "sft")


def test_parquet_holds_paths_and_bytes(folder):
    content = (folder / "clip.mp4").read_bytes()
    messages = [[{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]] * 2
    cells = [[{"bytes": None, "path": "clip.mp4"}], [{"bytes": content, "path": None}]]
    Dataset.from_dict({"videos": cells, "messages": messages}).to_parquet(folder / "rows.parquet")
    rows = load_samples(folder / "rows.parquet", "sft")
    assert rows[0]["videos"] == [str(folder / "clip.mp4")]
    assert rows[1]["videos"][0]["bytes"] == content
    assert files_behind(folder / "rows.parquet", "sft").images == [str(folder / "clip.mp4")]


def test_what_is_measured_is_what_the_processor_makes(folder, processor):
    rows = [llava_video(), llava_video(text="<video>e<image>?", image="a.png"), llava_video(["clip.mp4"] * 2, "?")]
    for sample in load_samples(write(folder / "measured.jsonl", rows), "sft"):
        turns = conversation(dialogues_of(sample)[0], sample["images"], "here", sample["videos"])
        batch = processor.apply_chat_template(turns, tokenize=True, return_dict=True, return_tensors="pt")
        pictures = len(batch["pixel_values_videos"]) + len(batch.get("pixel_values", ()))
        assert measure(sample, processor, 4) == (batch["input_ids"].shape[1], pictures)


def test_check_names_clips_that_are_missing_or_damaged(folder, processor):
    rows = [
        llava_video(),
        llava_video("gone.mp4"),
        llava_video("cut.mp4", "<image>Porquê?"),
        llava_video("a.txt", "<image>E então?"),
        llava_video(["clip.mp4"], "<image>\nO que acontece?"),
        llava_video(text="<video><|im_end|> Quem?"),
    ]
    (folder / "a.txt").write_text("text")
    path = write(folder / "checked.jsonl", rows)
    for reader in (processor, None):
        checked = list(check(load_samples(path, "sft", every_row=False), "sft", reader, max_length=4000))
        findings = [[f"{finding.kind}: {finding.reason}" for finding in one.findings] for one in checked]
        assert findings[0] == []
        assert "video: " in findings[1][0]
        assert "no such video" in findings[1][0]
        assert "line 3" in findings[2][0]
        assert "video 0 " in findings[2][0]
        assert "cut.mp4) cannot be used: it ends early" in findings[2][0]
        assert "not a video" in findings[3][0]
        assert findings[4][0].startswith("duplicate")
        assert findings[5][0].startswith("special token")
        assert [one.dropped for one in checked] == [False, True, True, True, True, False]


def test_frames_in_a_list_are_a_video(folder, processor):
    for number in range(3):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(folder / f"frame{number}.png")
    names = [f"frame{number}.png" for number in range(3)]
    row = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}], "videos": [names]}
    path = write(folder / "frames.jsonl", [row])
    sample = load_samples(path, "sft")[0]
    assert measure(sample, processor, 4)[1] == 3
    assert len(files_behind(path, "sft").images) == 3
    [checked] = check(load_samples(path, "sft"), "sft", processor)
    assert not checked.findings
