import json
import logging
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from PIL import Image

from amalia_vl_hf.processing.processing_amalia_vl import AmaliaVLProcessor
from amalia_vl_hf.samples.lengths import measure, measure_all
from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.samples.mixture import MixtureError, draw_mixture, load_mixture
from amalia_vl_hf.training.run import train

PAPER = Path(__file__).parents[2] / "recipes" / "amalia_vl" / "mixture.yaml"
# Table 1 as it is printed: category and percent, then its datasets.
TABLE_1 = """
Grounding (34.3%) Nemotron2 OI BBox2(500K) Nemotron2 OI BBox3(500K) Nemotron2 OI BBox1(500K) TallyQA(98.7K)
General VQA (22.2%) PT-VQA-Gen(543K) MMEvol(157K) VisDial(123.3K) VQAv2(82.8K) LLaVA-150K(81.5K) Nemotron VQA9(46.7K)
Naive OCR (13.2%) Nemotron OCR4-5(381.9K) SimpleCodeOCR(175K) Nemotron OCR2(29.1K) Nemotron OCR1(14.5K) \
Nemotron OCR3(14.5K) IIIT5K(2.0K)
Chart & Table (8.0%) Nemotron OCR9(224K) InfographicSynth(96K) Nemotron VQA4-7-8(53.7K)
Captioning (7.5%) PT-Caps(250K) PT-Caps-Fusion(100K)
OCR QA (6.6%) OCR-VQA(166K) PT-OCR(71.3K) PT-Render-Text(50K) TextVQA(21.8K)
Code Reasoning (4.2%) PTSimpleCodeOutputs(117K) SePIC(44.3K) PTOutputsToCode(34.6K)
Mathematics (2.6%) CLEVR-Math(70K) CoSyn-400K Math(40.7K) Geomverse(8.6K)
Doc. Understanding (1.0%) Nemotron2-DocVQA-CoT(36.3K) InvoiceQA(8.6K)
Science (0.2%) ScienceQA(5.0K) AI2D(4.9K)
Text IF (0.1%) Persona Nemotron(4.5K) Self Identification(156)
"""


def printed_table():
    """Yield category, percent and the printed count of each dataset of Table 1."""
    for line in TABLE_1.strip().splitlines():
        category, percent, datasets = re.fullmatch(r"(.+?) \(([\d.]+)%\) (.+)", line).groups()
        yield category, float(percent), dict(re.findall(r"(\S[^()]*?)\(([\d.]+K?)\)", datasets))


def test_every_row_of_table_1_is_there_with_its_count():
    entries = load_mixture(PAPER).datasets
    found = {category: {} for category in dict.fromkeys(entry.source.category for entry in entries)}
    for entry in entries:
        found[entry.source.category][entry.title] = entry.samples
    table = list(printed_table())
    assert list(found) == [category for category, *_ in table]
    for category, _, counts in table:
        assert list(found[category]) == list(counts)
        for title, count in counts.items():
            decimals = len(count.rstrip("K").partition(".")[2])
            ours = found[category][title] / (1000 if count.endswith("K") else 1)
            assert f"{ours:.{decimals}f}" == count.rstrip("K"), title


def test_its_percentages_are_those_of_the_paper():
    shares = load_mixture(PAPER).shares()
    assert {category: round(share, 1) for category, share in shares.items()} == {
        category: percent for category, percent, _ in printed_table()
    }
    assert round(sum(entry.samples for entry in load_mixture(PAPER).datasets) / 1e6, 1) == 4.7


def test_what_is_not_known_of_a_dataset_is_said():
    for entry in load_mixture(PAPER).datasets:
        assert entry.licence or "licence" in entry.unknown, entry.title
        if entry.source.hub:
            assert entry.source.revision or "revision" in entry.unknown, entry.title
            named = entry.source.subset or entry.source.split != "train"
            assert bool(named) != ("subset" in entry.unknown), entry.title


def test_the_tiny_mixture_draws_as_many_of_each_dataset_under_its_name_in_table_1():
    entries = load_mixture(PAPER.parents[1] / "tiny" / "mixture.yaml").datasets
    named = {(entry.source.category, entry.title) for entry in load_mixture(PAPER).datasets}
    assert {(entry.source.category, entry.title) for entry in entries} < named
    assert len({entry.samples for entry in entries}) == 1


@pytest.mark.parametrize(
    ("stage", "method", "counts"),
    [
        ("align", "sft", {"pd12m": 500_000}),
        ("prefer", "dpo", {"amalia-vl-preferences": 100_000, "internvl-mpo": 100_000}),
    ],
)
def test_the_other_stages_have_the_papers_counts(stage, method, counts):
    mixed = load_mixture(PAPER.with_name(f"mixture_{stage}.yaml"))
    assert mixed.method == method
    assert {entry.source.name: entry.samples for entry in mixed.datasets} == counts


def test_a_dataset_that_nobody_named_cannot_be_drawn(tmp_path):
    with pytest.raises(MixtureError, match=r"subset of nemotron2-oi-bbox2, .*visdial.* is not known; write it"):
        draw_mixture(load_mixture(PAPER), tmp_path / "m.parquet")


@pytest.fixture
def folder(tmp_path):
    """Two datasets of nine and five samples; the fourth of the first has no picture."""
    for name, count in (("um", 9), ("dois", 5)):
        (tmp_path / name).mkdir()
        for index in range(count):
            Image.new("RGB", (40, 20 + 10 * index), "red").save(tmp_path / name / f"{index}.png")
        rows = [{"images": [f"{index}.png"], "messages": dialogue(f"{name} {index}")} for index in range(count)]
        (tmp_path / name / "data.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "um" / "3.png").unlink()
    return tmp_path


def dialogue(question):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": "sim"}]


def mixture(folder, first=6, second=3, **options):
    um = {"name": "um", "path": str(folder / "um"), "samples": first, "category": "A", "language": "pt"}
    dois = {"name": "dois", "path": str(folder / "dois"), "samples": second, "category": "B", **options}
    (folder / "mixture.yaml").write_text(yaml.safe_dump({"seed": 7, "datasets": [um, dois]}), encoding="utf-8")
    return load_mixture(folder / "mixture.yaml")


def drawn(folder, mixed, measuring=None):
    draw_mixture(mixed, folder / "manifest.parquet", measuring)
    return list(load_samples(folder / "manifest.parquet", "sft", every_row=False))


def test_counts_are_exact_and_samples_say_where_they_are_from(folder):
    samples = drawn(folder, mixture(folder))
    assert Counter(sample["source"] for sample in samples) == {"um": 6, "dois": 3}
    assert len({sample["sample"] for sample in samples}) == 9, "none twice"
    assert {(s["source"], s["category"], s["language"]) for s in samples} == {("um", "A", "pt"), ("dois", "B", None)}
    assert [sample["index"] for sample in samples] == list(range(9))
    assert all(sample["messages"][0]["content"].startswith(sample["source"]) for sample in samples)


def test_a_draw_follows_from_its_seed_and_its_own_dataset(folder):
    first = [sample["sample"] for sample in drawn(folder, mixture(folder))]
    assert first == [sample["sample"] for sample in drawn(folder, mixture(folder))]
    fewer = [sample["sample"] for sample in drawn(folder, mixture(folder, second=1))]
    assert fewer[:6] == first[:6], "another dataset's count does not change this one's draw"
    (folder / "mixture.yaml").write_text((folder / "mixture.yaml").read_text().replace("seed: 7", "seed: 8"))
    assert [sample["sample"] for sample in drawn(folder, load_mixture(folder / "mixture.yaml"))][:6] != first[:6]


def test_the_same_bytes_come_out_twice(folder):
    written = []
    for _ in range(2):
        draw_mixture(mixture(folder), folder / "manifest.parquet")
        written.append((folder / "manifest.parquet").read_bytes())
    assert written[0] == written[1]
    assert not (folder / "manifest.parquet.partial").exists()


def test_measured_samples_have_their_lengths_and_the_faulty_one_is_said(folder, base, caplog):
    processor = AmaliaVLProcessor.from_pretrained(base)
    with caplog.at_level(logging.WARNING):
        left_out = draw_mixture(
            mixture(folder, first=8), folder / "m.parquet", lambda rows: measure_all(rows, processor, 4)
        )
    samples = load_samples(folder / "m.parquet", "sft")
    assert left_out == {"um": 1}
    assert "um/data.jsonl, line 4: no such image" in caplog.text
    assert [(s["length"], s["tiles"]) for s in samples] == [measure(sample, processor, 4) for sample in samples]
    assert samples.with_format(None)["length"][:] == [sample["length"] for sample in samples]


def test_workers_draw_the_same(folder):
    def area(sample):
        if sample["images"][0].endswith("um/3.png"):
            return ValueError("no picture")
        height, width = Image.open(sample["images"][0]).size
        return height * width, 1

    def areas(samples):
        return [area(sample) for sample in samples]

    written = []
    for workers in (0, 2):
        assert draw_mixture(mixture(folder, first=8), folder / "m.parquet", areas, workers) == {"um": 1}
        written.append((folder / "m.parquet").read_bytes())
    assert written[0] == written[1]


def test_a_small_dataset_is_repeated_when_told_so(folder):
    samples = drawn(folder, mixture(folder, second=12, repeat=True))
    times = Counter(sample["sample"] for sample in samples if sample["source"] == "dois")
    assert sorted(times.values()) == [2, 2, 2, 3, 3]


def test_a_dataset_within_the_rounding_is_taken_whole(folder):
    mixed = mixture(folder, second=7)
    with pytest.raises(MixtureError, match="dois: 7 samples wanted, 5 there, 0 left out as faulty; lower `samples`"):
        drawn(folder, mixed)
    text = (folder / "mixture.yaml").read_text(encoding="utf-8")
    (folder / "mixture.yaml").write_text(text + "rounding: 2\n", encoding="utf-8")
    assert len(drawn(folder, load_mixture(folder / "mixture.yaml"))) == 6 + 5


def test_a_mixture_is_not_data_until_it_is_drawn():
    with pytest.raises(
        ValueError, match=r"mixture\.yaml describes a mixture; draw its samples first: amalia-vl data mix"
    ):
        load_samples(PAPER, "sft")


GOOD = {"name": "a", "path": "a.jsonl", "samples": 1}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"m\.yaml must consist of `key: value` lines, not of one list"),
        ({"seed": 0, "datasets": {}}, "datasets must be a list, not {}"),
        ({"datasets": [GOOD]}, "seed is missing"),
        ({"seed": 0, "sed": 1, "datasets": [GOOD]}, r"unknown key 'sed' \(did you mean 'seed'\?\); known: seed"),
        ({"seed": True, "datasets": [GOOD]}, "seed must be a whole number, not True"),
        ({"seed": 0, "method": "ppo", "datasets": [GOOD]}, "method 'ppo' is neither sft nor dpo"),
        (
            {"seed": 0, "datasets": [{**GOOD, "sample": 1}]},
            r"unknown key 'datasets\[a\]\.sample' .*; known: datasets\[a\]\.name",
        ),
        (
            {"seed": 0, "datasets": [{**GOOD, "samples": "1"}]},
            r"datasets\[a\]\.samples must be a whole number, not '1'",
        ),
        ({"seed": 0, "datasets": [{**GOOD, "samples": 0}]}, "a: samples must be positive, not 0"),
        (
            {"seed": 0, "datasets": [{"path": "a"}]},
            r"datasets\[0\]\.samples is missing; datasets\[0\]\.name is missing",
        ),
        ({"seed": 0, "datasets": [{**GOOD, "hub": "a/b"}]}, "a: give either path or hub"),
        ({"seed": 0, "datasets": [{**GOOD, "split": "test"}]}, "a: split belong to a dataset of the Hub"),
        ({"seed": 0, "datasets": [{**GOOD, "unknown": ["size"]}]}, "a: unknown 'size' is neither licence"),
        ({"seed": 0, "datasets": [{**GOOD, "licence": "mit", "unknown": ["licence"]}]}, "both given and unknown"),
        ({"seed": 0, "datasets": [GOOD, GOOD]}, "2 datasets are called a"),
    ],
)
def test_a_faulty_mixture_is_refused_with_every_fault(tmp_path, values, message):
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(MixtureError, match=message):
        load_mixture(tmp_path / "m.yaml")


def test_broken_yaml_is_named(tmp_path):
    (tmp_path / "m.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(MixtureError, match=r"m\.yaml: while parsing a flow node: .* \(line 1, column 5\)$"):
        load_mixture(tmp_path / "m.yaml")


def test_columns_may_be_renamed(folder):
    row = {"pergunta": "O que é?", "boa": "um ponto", "má": "nada", "image": "0.png"}
    (folder / "um" / "data.jsonl").write_text(json.dumps(row), encoding="utf-8")
    names = {"pergunta": "prompt", "boa": "chosen", "má": "rejected"}
    values = {"name": "um", "path": str(folder / "um"), "samples": 1, "columns": names}
    text = yaml.safe_dump({"seed": 0, "method": "dpo", "datasets": [values]})
    (folder / "mixture.yaml").write_text(text, encoding="utf-8")
    draw_mixture(load_mixture(folder / "mixture.yaml"), folder / "m.parquet")
    assert load_samples(folder / "m.parquet", "dpo")[0]["rejected"] == [{"role": "assistant", "content": "nada"}]


def test_pictures_may_lie_in_a_folder_of_their_own(folder):
    (folder / "pictures").mkdir()
    for file in (folder / "dois").glob("*.png"):
        file.rename(folder / "pictures" / file.name)
    samples = drawn(folder, mixture(folder, images=str(folder / "pictures")))
    assert all(Path(sample["images"][0]).is_file() for sample in samples if sample["source"] == "dois")


def test_a_manifest_trains_like_the_file_it_was_drawn_from(recipe_for, samples, tmp_path):
    entry = {"name": "um", "path": str(samples["sft"]), "samples": 8}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"seed": 0, "datasets": [entry]}), encoding="utf-8")
    draw_mixture(load_mixture(tmp_path / "m.yaml"), tmp_path / "m.parquet")
    losses = []
    for name, data in (("file", samples["sft"]), ("manifest", tmp_path / "m.parquet")):
        output = train(recipe_for("2_instruct", f"data={data}", f"output={tmp_path / name}"))
        log = json.loads((output / "training.json").read_text(encoding="utf-8"))["log_history"]
        losses.append([entry["loss"] for entry in log if "loss" in entry])
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2
