import json
import random
from pathlib import Path

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Image, Value, load_dataset

from amalia_vl_hf import cli
from amalia_vl_hf.demo.scene_sets import TRAIN_REJECTIONS, caption_rows, instruction_rows, preference_rows
from amalia_vl_hf.samples.images import recorded_root
from amalia_vl_hf.variety import judge
from amalia_vl_hf.variety.filter import dialogue, filter_file
from tests.variety.test_judge import BRAZILIAN, EUROPEAN, OTHERS

PNG = b"\x89PNG not looked at"


def turns(text):
    question, _, answer = text.partition("\n")
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer or "Sim."}]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def conversations(texts):
    return [{"id": number, "messages": turns(text)} for number, text in enumerate(texts)]


def test_kept_lines_are_the_bytes_they_were(tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    kept = '{"messages":  [{"role":"user","content":"O comboio chegou \\u00e0 esta\\u00e7\\u00e3o?"}]}'
    source.write_text(f"{kept}\r\n\n" + json.dumps({"text": BRAZILIAN[0]}), encoding="utf-8")
    report = filter_file(source, out, judge)
    assert out.read_text(encoding="utf-8") == f"{kept}\n"
    assert (report.kept, report.dropped) == (1, {"pt-BR": 1})


def test_the_demos_own_conversations_are_kept(tmp_path):
    rng = random.Random(0)
    sets = [caption_rows(rng, 100), instruction_rows(rng, 100), preference_rows(rng, "train", TRAIN_REJECTIONS, 100)]
    source = write_jsonl(tmp_path / "in.jsonl", [row for rows in sets for _, row in rows])
    report = filter_file(source, tmp_path / "out.jsonl", judge)
    assert not report.dropped
    assert report.kept + report.undecided == 300


def test_dropped_rows_go_beside_with_score_and_reasons(tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", conversations([*EUROPEAN, *BRAZILIAN, *OTHERS]))
    report = filter_file(source, tmp_path / "out.jsonl", judge)
    dropped = read_jsonl(tmp_path / "out.dropped.jsonl")
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == list(range(5))
    assert [row["id"] for row in dropped] == list(range(5, 15))
    for row, text in zip(dropped, [*BRAZILIAN, *OTHERS], strict=True):
        verdict = judge("\n".join(turn["content"] for turn in turns(text)))
        assert row == {
            "id": row["id"],
            "messages": turns(text),
            "variety_score": verdict.score,
            "variety_reasons": list(verdict.reasons),
        }
    assert report.kept == 5
    assert report.dropped == {"pt-BR": 5, "not Portuguese": 5}
    assert report.signs["Brazilian words"] == 5


def test_other_languages_are_kept_when_asked_for(tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", conversations([*EUROPEAN, *BRAZILIAN, *OTHERS, "Porto\nLisboa"]))
    report = filter_file(source, tmp_path / "out.jsonl", judge, keep_others=True)
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == [*range(5), *range(10, 16)]
    assert (report.kept, report.nothing, report.dropped) == (5, 6, {"pt-BR": 5})


def test_a_row_that_says_its_other_language_is_kept(tmp_path):
    languages = ("en", "pt", None)
    rows = [{"id": language, "language": language, "messages": turns(OTHERS[0])} for language in languages]
    report = filter_file(write_jsonl(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", judge)
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == ["en"]
    assert (report.nothing, report.dropped) == (1, {"not Portuguese": 2})


def test_what_says_too_little_is_kept_and_counted(tmp_path):
    short = ["Qual é a localidade?\nPortimão", "Qual é o total?\n123,45 €", "Porto\nLisboa"]
    source = write_jsonl(tmp_path / "in.jsonl", conversations(short))
    report = filter_file(source, tmp_path / "out.jsonl", judge)
    assert len(read_jsonl(tmp_path / "out.jsonl")) == 3
    assert (report.kept, report.undecided, report.nothing, report.dropped) == (0, 2, 1, {})
    assert "kept, undecided" in report.table()
    assert "kept, nothing to judge" in report.table()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_images_are_found_from_where_the_rows_lie(elsewhere, tmp_path):
    pictures = tmp_path / "in" / "pictures"
    pictures.mkdir(parents=True)
    PIL.Image.new("RGB", (4, 4)).save(pictures / "a.png")
    row = {"image": "pictures/a.png", "messages": turns(EUROPEAN[0])}
    source = write_jsonl(tmp_path / "in" / "in.jsonl", [row])
    out = tmp_path / ("other" if elsewhere else "in") / "out.jsonl"
    out.parent.mkdir(exist_ok=True)
    filter_file(source, out, judge)
    assert read_jsonl(out) == [row]
    root = recorded_root(out)
    assert (root is not None) is elsewhere
    assert (Path(root or out.parent) / "pictures" / "a.png").is_file()


def test_of_a_preference_the_prompt_and_the_chosen_answer_count(tmp_path):
    pair = {"prompt": turns(EUROPEAN[0])[:1], "chosen": EUROPEAN[1], "rejected": BRAZILIAN[0]}
    rows = [pair, {**pair, "chosen": BRAZILIAN[0], "rejected": EUROPEAN[1]}]
    filter_file(write_jsonl(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", judge)
    assert read_jsonl(tmp_path / "out.jsonl") == [pair]


def test_every_format_of_training_is_read():
    llava = [{"from": "human", "value": "<image>\nO que é?"}, {"from": "gpt", "value": "Um comboio."}]
    parts = [{"type": "image"}, {"type": "text", "text": "O que é?"}]
    assert dialogue({"conversations": llava, "image": "a.png"}) == "<image>\nO que é?\nUm comboio."
    assert dialogue({"texts": [{"user": "O que é?", "assistant": "Um comboio."}]}) == "O que é?\nUm comboio."
    assert dialogue({"messages": [{"role": "user", "content": parts}]}) == "O que é?"
    assert dialogue({"text": "Um comboio."}) == "Um comboio."
    assert dialogue({"question": "O que é?", "answer": "Um comboio.", "kind": "x"}) == "O que é?\nUm comboio."


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("no json", "known formats"),
        ("[1, 2]", "known formats"),
        ("[" * 100_000, "known formats"),
        ('{"messages": 3}', "turns must be a list"),
        ('{"messages": [{"role": "user"}]}', "a turn lacks 'content'"),
        ('{"other": "O comboio"}', "known formats"),
    ],
)
def test_unreadable_rows_are_set_aside(line, why, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_bytes(line.encode() + b"\n" + b"\xff\xfe\n" + json.dumps({"text": EUROPEAN[0]}).encode())
    report = filter_file(source, tmp_path / "out.jsonl", judge)
    assert (report.kept, report.dropped) == (1, {"unreadable": 2})
    assert why in read_jsonl(tmp_path / "out.dropped.jsonl")[0]["variety_reasons"][0]


def test_parquet_keeps_its_columns_and_images(tmp_path):
    texts = [*EUROPEAN, *BRAZILIAN] * 40  # more than is read at once
    features = Features({"id": Value("int64"), "image": Image(), "text": Value("string")})
    data = [{"id": n, "image": {"bytes": PNG, "path": None}, "text": text} for n, text in enumerate(texts)]
    Dataset.from_list(data, features=features).to_parquet(tmp_path / "in.parquet")
    report = filter_file(tmp_path / "in.parquet", tmp_path / "out.parquet", judge)
    files = {name: str(tmp_path / f"{name}.parquet") for name in ("out", "out.dropped")}
    assert pq.read_schema(files["out"]) == pq.read_schema(tmp_path / "in.parquet")
    cache = str(tmp_path / "cache")
    kept = load_dataset("parquet", data_files=files["out"], split="train", cache_dir=cache)
    assert kept.features == features
    assert kept["id"] == [n for n in range(len(texts)) if n % 10 < 5]
    dropped = pq.read_table(files["out.dropped"]).to_pylist()
    assert [row["id"] for row in dropped] == [n for n in range(len(texts)) if n % 10 >= 5]
    assert all(row["image"]["bytes"] == PNG and row["variety_score"] < 0.5 for row in dropped)
    assert dropped[0]["variety_reasons"] == list(judge(BRAZILIAN[0]).reasons)
    assert (report.kept, report.dropped) == (200, {"pt-BR": 200})


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_what_was_dropped_can_be_filtered_again(kind, tmp_path):
    rows = [{"text": text} for text in [*EUROPEAN, *BRAZILIAN]]
    write_jsonl(tmp_path / "in.jsonl", rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    filter_file(tmp_path / f"in.{kind}", tmp_path / f"out.{kind}", judge)
    again = filter_file(tmp_path / f"out.dropped.{kind}", tmp_path / f"again.{kind}", judge)
    assert again.dropped == {"pt-BR": 5}
    names = [f"{name}.dropped.{kind}" for name in ("out", "again")]
    first, second = (
        pq.read_table(tmp_path / name).to_pylist() if kind == "parquet" else read_jsonl(tmp_path / name)
        for name in names
    )
    assert first == second


def test_half_a_surrogate_pair_comes_back(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "O trem \\ud83d parou na esta\\u00e7\\u00e3o."}\n', encoding="utf-8")
    filter_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", judge)
    assert read_jsonl(tmp_path / "out.dropped.jsonl")[0]["text"] == "O trem \ud83d parou na estação."


def test_an_empty_file_gives_empty_files(tmp_path):
    (tmp_path / "in.jsonl").touch()
    report = filter_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", judge)
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "out.dropped.jsonl").read_bytes() == b""
    assert report.table().split() == ["rows", "0", "0.0%", "kept,", "pt-PT", "0", "0.0%"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_filter_that_fails_leaves_nothing(kind, tmp_path):
    rows = [{"text": text} for text in EUROPEAN]
    source = write_jsonl(tmp_path / "in.jsonl", rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")

    def fail_later(text):
        if text == EUROPEAN[3]:
            raise RuntimeError("the model is gone")
        return judge(text)

    before = sorted(tmp_path.iterdir())
    with pytest.raises(RuntimeError, match="the model is gone"):
        filter_file(source.with_suffix(f".{kind}"), tmp_path / f"out.{kind}", fail_later)
    assert sorted(tmp_path.iterdir()) == before


def test_files_that_do_not_fit_are_refused(tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", [])
    with pytest.raises(ValueError, match=r"in\.jsonl and .*out\.parquet must be two \.jsonl files or two"):
        filter_file(source, tmp_path / "out.parquet", judge)
    with pytest.raises(ValueError, match=r"in\.jsonl is there already"):
        filter_file(source, source, judge)
    (tmp_path / "out.dropped.jsonl").touch()
    with pytest.raises(ValueError, match=r"out\.dropped\.jsonl is there already"):
        filter_file(source, tmp_path / "out.jsonl", judge)
    (tmp_path / "in.parquet").write_text("no parquet")
    with pytest.raises(ValueError, match=r"in\.parquet: not a parquet file"):
        filter_file(tmp_path / "in.parquet", tmp_path / "new.parquet", judge)
    with pytest.raises(FileNotFoundError):
        filter_file(tmp_path / "absent.jsonl", tmp_path / "new.jsonl", judge)


def test_a_row_that_is_no_object_is_refused():
    with pytest.raises(ValueError, match="an object with columns, not list"):
        dialogue(["O comboio"])


def test_the_command_prints_what_it_did(tmp_path, capsys):
    source = write_jsonl(tmp_path / "in.jsonl", conversations([*EUROPEAN, *BRAZILIAN, *OTHERS]))
    assert cli.main(["data", "filter", str(source), str(tmp_path / "out.jsonl"), "--keep-others"]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert table[:4] == [
        ["rows", "15", "100.0%"],
        ["kept,", "pt-PT", "5", "33.3%"],
        ["kept,", "nothing", "to", "judge", "5", "33.3%"],
        ["dropped,", "pt-BR", "5", "33.3%"],
    ]
    assert ["Brazilian", "words", "5"] in table


def test_the_command_refuses_half_a_classifier(tmp_path, capsys):
    assert cli.main(["data", "filter", "in.jsonl", str(tmp_path / "out.jsonl"), "--label", "PT"]) == 2
    assert "--classifier and --label go together" in capsys.readouterr().err


def test_the_command_refuses_a_threshold_that_is_no_share(tmp_path, capsys):
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": EUROPEAN[0]}])
    assert cli.main(["data", "filter", str(source), str(tmp_path / "out.jsonl"), "--threshold", "7"]) == 2
    assert "a threshold is between 0 and 1, not 7.0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]
