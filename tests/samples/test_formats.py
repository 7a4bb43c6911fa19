import json
import random

import pytest
from datasets import Dataset, Features, List, Value
from datasets import Image as ImageFeature
from PIL import Image

from amalia_vl_hf.processing.image_loading_amalia_vl import load_image
from amalia_vl_hf.samples.formats import FORMATS, read_record
from amalia_vl_hf.samples.loading import conversation, load_samples

USER, ASSISTANT = {"role": "user", "content": "O que é?"}, {"role": "assistant", "content": "Um ponto."}
DIALOGUE = [USER, ASSISTANT]
PAIR = {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [{"role": "assistant", "content": "Nada."}]}
SLOT = {"type": "image"}


def text(words):
    return {"type": "text", "text": words}


# Each row as its dataset publishes it, and the texts that become of it.
SFT = {
    "TRL": ({"images": ["a.png"], "messages": DIALOGUE}, DIALOGUE),
    "TRL, text only": ({"messages": DIALOGUE, "images": None}, DIALOGUE),
    "TRL completion": ({"images": ["a.png"], "prompt": "O que é?", "completion": "Um ponto."}, DIALOGUE),
    "TRL completion, turns": ({"image": "a.png", "prompt": [USER], "completion": [ASSISTANT]}, DIALOGUE),
    "FineVision": (
        {"images": ["a.png"], "texts": [{"user": "O que é?", "assistant": "Um ponto."}], "source": "vqav2"},
        DIALOGUE,
    ),
    "FineVision, struct of lists": (
        {"images": ["a.png"], "texts": {"user": ["O que é?"], "assistant": ["Um ponto."]}},
        DIALOGUE,
    ),
    "LLaVA": (
        {
            "id": "7",
            "image": "a.png",
            "conversations": [
                {"from": "human", "value": "<image>\nO que é?"},
                {"from": "gpt", "value": "Um ponto."},
            ],
        },
        [{"role": "user", "content": [SLOT, text("O que é?")]}, ASSISTANT],
    ),
    "LLaVA, image last": (
        {"image": "a.png", "conversations": [{"from": "human", "value": "O que é?\n<image>"}]},
        [{"role": "user", "content": [text("O que é?\n"), SLOT]}],
    ),
    "Nemotron-VLM v2": (
        {
            "id": "7",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "image": "a.png", "metadata": {"width": 2, "height": 1}},
                        {"type": "text", "text": "O que é?", "image": None},
                    ],
                },
                {"role": "assistant", "content": [text("Um ponto.")]},
            ],
        },
        [
            {"role": "user", "content": [SLOT, text("O que é?")]},
            {"role": "assistant", "content": [text("Um ponto.")]},
        ],
    ),
    "Multi-PixMo": (
        {"image_url": "https://h/a.png", "image_sha256": "0", "question": "O que é?", "answer": "Um ponto."},
        DIALOGUE,
    ),
    "Multi-PixMo caption": (
        {"image_url": "https://h/a.png", "caption": "Um ponto.", "language": "pt-PT"},
        [{"role": "user", "content": "Descreve a imagem."}, ASSISTANT],
    ),
    "PD12M": (
        {"id": "7", "url": "https://h/a.png", "caption": "A dot.", "width": 2, "height": 1, "hash": "0"},
        [{"role": "user", "content": "Describe the image."}, {"role": "assistant", "content": "A dot."}],
    ),
}
DPO = {
    "TRL": ({"images": ["a.png"], **PAIR}, PAIR),
    "TRL, text": ({"prompt": "O que é?", "chosen": "Um ponto.", "rejected": "Nada."}, PAIR),
    "MMPR": (
        {"image": "a.png", "question": "<image>\nO que é?", "chosen": "Um ponto.", "rejected": "Nada."},
        {**PAIR, "prompt": [{"role": "user", "content": [SLOT, text("O que é?")]}]},
    ),
}


@pytest.mark.parametrize("name", SFT)
def test_conversations_of_every_format_become_messages(name):
    row, messages = SFT[name]
    record = read_record(row, "sft", "here")
    assert record["messages"] == messages
    assert [cell.rpartition("/")[2] for cell in record["images"]] == ([] if name == "TRL, text only" else ["a.png"])


@pytest.mark.parametrize("name", DPO)
def test_preferences_of_every_format_become_pairs(name):
    row, pair = DPO[name]
    assert read_record(row, "dpo", "here") == {"images": [] if name == "TRL, text" else ["a.png"], **pair}


def test_every_known_format_is_among_these_rows():
    told = {kind.columns for kind in FORMATS}
    shown = {
        next(k.columns for k in FORMATS if set(k.columns) <= set(row)) for row, _ in [*SFT.values(), *DPO.values()]
    }
    assert shown == told


def llava(*values, images):
    roles = ("human", "gpt")
    turns = [{"from": roles[index % 2], "value": value} for index, value in enumerate(values)]
    return {"image": images, "conversations": turns}


def test_placeholders_are_slots_only_when_they_are_as_many_as_images():
    two = read_record(llava("<image>\n<image>\nIguais?", "Sim.", images=["a", "b"]), "sft", "here")
    assert two["messages"][0]["content"] == [SLOT, SLOT, text("Iguais?")]
    none = read_record(llava("O que faz <image>?", "É HTML.", images=None), "sft", "here")
    assert none["messages"][0]["content"] == "O que faz <image>?"
    with pytest.raises(ValueError, match=r"line 3: not what LLaVA.*2 <image> placeholders but 1 images"):
        read_record(llava("<image>\nO que faz <image>?", images=["a"]), "sft", "line 3")


def test_an_answer_may_speak_of_placeholders():
    record = read_record(llava("<image>\nO que diz?", "Diz <image>.", images=["a"]), "sft", "here")
    assert record["messages"][1]["content"] == "Diz <image>."


@pytest.mark.parametrize(
    ("row", "method", "message"),
    [
        ({"a": 1, "b": 2}, "sft", "here: needs conversations but holds a, b; known formats: TRL.*FineVision: texts"),
        ({"messages": None}, "dpo", "here: needs preference pairs but holds nothing; known.*InternVL MPO"),
        (
            PAIR,
            "sft",
            r"here: TRL preferences \(columns prompt, chosen, rejected\), but this stage needs conversations",
        ),
        ({"messages": [{"role": "user"}]}, "sft", "here: not what TRL.*should hold: a turn lacks 'content'"),
        ({"messages": [{"role": "tool", "content": ""}]}, "sft", "role 'tool' is none of human, gpt, user"),
        ({"messages": "O que é?\n"}, "sft", None),
        ({"messages": 3}, "sft", "turns must be a list, not int"),
        ({"messages": [{"role": "user", "content": 3}]}, "sft", "here: not what TRL.*int"),
        (
            {"messages": [{"role": "user", "content": [{"type": "audio", "audio": "v"}]}]},
            "sft",
            "a part of type 'audio'; messages may hold images, videos and text",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 3}]}]}, "sft", "a part of type 'text'"),
        ({"texts": {"user": ["a", "b"], "assistant": ["c"]}}, "sft", "here: not what FineVision should hold"),
        (
            {"image": "b", "messages": [{"role": "user", "content": [{**SLOT, "image": "a"}]}]},
            "sft",
            "1 images inside the messages and 1 in a column",
        ),
    ],
)
def test_what_fits_no_format_is_named_with_what_is_known(row, method, message):
    if message is None:
        assert read_record(row, method, "here")["messages"] == [{"role": "user", "content": "O que é?\n"}]
        return
    with pytest.raises(ValueError, match=message):
        read_record(row, method, "here")


WORDS = ("user", "assistant", "human", "gpt", "text", "image", "<image>\nO quê?", "", "a.png", "https://h/a", "\ud800")
KEYS = ("role", "content", "type", "text", "image", "from", "value", "user", "assistant", "messages")


def anything(rng, depth=0):
    """Draw a JSON value that looks a little like a dataset's."""
    kind = rng.randrange(10)
    if kind < 2 or depth > 3:
        return rng.choice([None, True, 0, 3.5])
    if kind < 5:
        return rng.choice(WORDS)
    if kind < 7:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(KEYS): anything(rng, depth + 1) for _ in range(rng.randrange(1, 4))}


def test_whatever_a_row_holds_it_is_read_or_refused():
    rng = random.Random(0)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(3000):
        kind = rng.choice(FORMATS)
        row = {name: anything(rng) for name in (*kind.columns, "images")}
        try:
            record = read_record(row, kind.method, "here")
            conversation(record["messages" if kind.method == "sft" else "prompt"], record["images"], "here")
            outcomes["read"] += 1
        except ValueError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 100, outcomes


def picture(folder, name="a.png"):
    Image.new("RGB", (4, 2), "red").save(folder / name)
    return folder / name


def test_one_json_list_and_lines_of_json_are_told_apart(tmp_path):
    picture(tmp_path)
    rows = [llava("<image>\nO que é?", "Um ponto.", images="a.png"), llava("Olá!", "Olá.", images=None)]
    (tmp_path / "list.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "lines.json").write_text("\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    listed, lines = (load_samples(tmp_path / name, "sft") for name in ("list.json", "lines.json"))
    assert [row["messages"] for row in listed] == [row["messages"] for row in lines]
    assert listed[1]["sample"].endswith("list.json, entry 2")
    assert lines[1]["sample"].endswith("lines.json, line 3")
    assert lines[0]["images"] == [str(tmp_path / "a.png")]


def test_parquet_keeps_images_encoded_until_they_are_used(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    encoded = picture(tmp_path).read_bytes()
    turn = {"user": Value("string"), "assistant": Value("string")}
    features = Features({"images": List(ImageFeature()), "texts": List(turn), "source": Value("string")})
    texts = [{"user": "O que é?", "assistant": "Um ponto."}]
    rows = {"images": [[{"bytes": encoded, "path": None}], [{"bytes": b"broken", "path": None}]]}
    data = Dataset.from_dict({**rows, "texts": [texts, texts], "source": ["s", "s"]}, features=features)
    (tmp_path / "set" / "data").mkdir(parents=True)
    data.to_parquet(tmp_path / "set" / "data" / "train-0.parquet")
    samples = load_samples(tmp_path / "set", "sft")
    assert samples[0]["images"] == [{"bytes": encoded, "path": None}]
    assert load_image(samples[0]["images"][0], 0).size == (4, 2)
    assert samples[1]["messages"] == DIALOGUE, "a corrupt image does not hide its text"
    assert samples[1]["sample"].endswith("set, row 2")


def test_cells_with_only_a_path_are_found_beside_their_file(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    picture(tmp_path)
    Dataset.from_dict(
        {"image": [{"bytes": None, "path": "a.png"}], "url": ["u"], "caption": ["Um ponto."]}
    ).to_parquet(tmp_path / "data.parquet")
    assert load_samples(tmp_path / "data.parquet", "sft")[0]["images"] == [str(tmp_path / "a.png")]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a.jsonl", "b.json"), "needs parquet files or exactly one JSON file, but holds a.jsonl, b.json"),
        ((), "exactly one JSON file, but holds none"),
    ],
)
def test_a_folder_must_hold_one_dataset(tmp_path, names, message):
    for name in names:
        (tmp_path / name).write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_samples(tmp_path, "sft")


def test_other_kinds_of_files_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,b", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.csv: neither JSON, JSONL nor parquet"):
        load_samples(tmp_path / "a.csv", "sft")
    (tmp_path / "b.json").write_text("[1,", encoding="utf-8")
    with pytest.raises(ValueError, match=r"b\.json: not JSON"):
        load_samples(tmp_path / "b.json", "sft")
    with pytest.raises(FileNotFoundError, match=r"^there is no .*gone\.jsonl"):
        load_samples(tmp_path / "gone.jsonl", "sft")
