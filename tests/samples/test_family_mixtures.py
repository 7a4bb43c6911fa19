"""The mixtures of the family: tables of the papers recomputed, and those that are open drawn from stand-ins."""

import io
import json
import re
from collections import Counter
from pathlib import Path

import datasets
import pytest
import yaml
from PIL import Image

from amalia_vl_hf.cli import main
from amalia_vl_hf.data.dataset import FAMILIES
from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.samples.mixture import load_mixture

RECIPES = Path(__file__).parents[2] / "recipes"
# Table 1 of the AMALIA paper as it is printed: title, share of the tokens, tokens, licence.
AMALIA_TABLE_1 = """
Persona-PT Instruction Following: 0.332% 10 741 619 apache-2.0
Persona-EN Instruction Following: 0.807% 26 065 053 apache-2.0
Persona Nemotron Instruction Following: 0.147% 4 765 186 apache-2.0
Portuguese Linguistic Instructions: 0.001% 18 884 apache-2.0
AMALIA Hardcoded: 0.001% 41 756 apache-2.0
Persona-PT General: 5.945% 192 102 099 apache-2.0
Persona Nemotron General: 2.906% 93 916 092 apache-2.0
Wikipedia Conversations: 2.336% 75 493 190 apache-2.0
Nemotron-Post-Training-v1 - Chat Split: 13.206% 426 741 052 cc-by-4.0
Nemotron-Post-Training-v1 - STEM Split: 11.616% 375 380 057 cc-by-4.0
Nemotron-Post-Training-v2 - Chat Split: 10.993% 355 252 481 cc-by-4.0
Nemotron-Post-Training-v2 - STEM Split: 4.757% 153 720 957 cc-by-4.0
smoltalk - Smol-Magpie-Ultra (Excellent Quality): 0.118% 3 809 670 apache-2.0
smoltalk - Smol-summarize (Translated): 1.703% 55 028 254 apache-2.0
smoltalk2 - everyday-conversations (Translated): 0.023% 741 216 apache-2.0
smoltalk2 - Table-GPT: 0.317% 10 257 869 mit
Hermes3 Custom ST Split: 2.454% 79 297 721 apache-2.0
PTradutor: 0.740% 23 912 149 mit
WMT'24 Multilingual Translations: 0.055% 1 766 630 apache-2.0
tulu-3-sft-olmo-2-mixture: 18.540% 599 099 985 odc-by
Persona-PT Math: 1.256% 40 596 577 apache-2.0
Persona Nemotron Math: 2.847% 91 995 370 apache-2.0
Nemotron-Post-Training-v1 - Math Split: 12.340% 398 746 982 cc-by-4.0
Nemotron-Post-Training-v2 - Math Split: 2.431% 78 563 288 cc-by-4.0
Nemotron-Post-Training-v2 - Code Split: 1.656% 53 498 843 cc-by-4.0
orca-math-word-problems-200k: 1.793% 57 947 703 mit
EuroBlocks Safety Samples: 0.422% 13 650 597 apache-2.0
AI Generated Safety Data: 0.258% 8 346 310 apache-2.0
"""
# Table 8 of the TowerVision paper as it is printed: samples, and their share of the total that it prints.
VISIONBLOCKS_TABLE_8 = """
DVQA: 199,995 (3.17%)
ChartQA: 25,055 (0.40%)
PlotQA: 157,070 (2.49%)
TabMWP: 22,717 (0.36%)
VQAv2: 428,708 (6.79%)
RLAIF-4V: 59,408 (0.94%)
DocVQA: 9,664 (0.15%)
TextVQA: 15,690 (0.25%)
ST-VQA: 17,242 (0.27%)
PixMo-Docs: 3,634 (0.06%)
A-OKVQA: 11,853 (0.19%)
OKVQA: 9,009 (0.14%)
AI2D: 7,791 (0.12%)
ScienceQA: 758 (0.012%)
Pangea-Cultural: 55,438 (0.88%)
Pangea-Multi: 428,838 (6.79%)
PixMo-Cap-Translated: 367,779 (5.83%)
CulturalGround-OE: 401,149 (6.35%)
CulturalGround-MCQs: 379,834 (6.02%)
IconQA: 19,543 (0.31%)
InfographicVQA: 2,049 (0.03%)
Stratos: 12,585 (0.20%)
TallyQA: 98,675 (1.56%)
PixMo-Count: 8,128 (0.13%)
VBlocks-PixMo-AMA: 154,336 (2.44%)
VBlocks-PixMo-Cap: 702,205 (11.12%)
VBlocks-PixMo-CapQA: 262,862 (4.16%)
EuroBlocks-SFT: 1,094,265 (17.34%)
LLaVA-Video-178k-subset: 697,618 (11.05%)
LLaVA-Video-178k-translated: 697,617 (11.05%)
"""
PRINTED_TOTAL = 6_313_286
TRANSLATED = ("PixMo-Cap-Translated", "LLaVA-Video-178k-translated")
MULTILINGUAL = ("Pangea-Cultural", "Pangea-Multi", "CulturalGround-OE", "CulturalGround-MCQs", *TRANSLATED)


def test_table_1_of_the_amalia_paper_is_a_mixture_of_tokens():
    mixture = load_mixture(RECIPES / "amalia" / "mixture.yaml")
    printed = {}
    for line in AMALIA_TABLE_1.strip().splitlines():
        title, share, tokens, licence = re.fullmatch(r"(.+): ([\d.]+)% ([\d ]+) (\S+)", line).groups()
        printed[title] = (float(share), int(tokens.replace(" ", "")), licence)
    assert {entry.title: (entry.tokens, entry.licence) for entry in mixture.datasets} == {
        title: (tokens, licence) for title, (_, tokens, licence) in printed.items()
    }
    total = sum(entry.tokens for entry in mixture.datasets)
    assert total == 3_231_497_590
    for entry in mixture.datasets:
        assert 100 * entry.tokens / total == pytest.approx(printed[entry.title][0], abs=0.0011), entry.title
    assert {task: round(share, 1) for task, share in mixture.shares().items()} == {
        "Instruction Following": 1.3,
        "Conversational Reasoning": 75.7,
        "Mathematics": 22.3,
        "Safety": 0.7,
    }


def test_amalias_preference_pairs_are_478_thousand_with_its_public_sets():
    mixture = load_mixture(RECIPES / "amalia" / "mixture_dpo.yaml")
    counts = {entry.source.name: entry.samples for entry in mixture.datasets}
    assert mixture.method == "dpo"
    assert sum(counts.values()) == 478_000
    assert counts["sft-prompts"] == 200_000
    assert [counts[f"persona-nemotron-{kind}"] for kind in ("general", "math", "if")] == [100_000, 50_000, 30_000]
    named = " ".join(f"{entry.title} {entry.source.hub}" for entry in mixture.datasets)
    for public in ("UltraFeedback", "OpenAssistant 2", "Abbey4799/Complex-Instructions-DPO", "kira/math-dpo"):
        assert public in named
    for public in ("Egida-DPO-Meta-LLaMa-3.1-70B-Instruct", "HarmfulQA"):
        assert public in named


def test_table_8_of_the_towervision_paper_is_a_mixture():
    mixture = load_mixture(RECIPES / "towervision" / "mixture.yaml")
    counts = {entry.title: entry.samples for entry in mixture.datasets}
    for line in VISIONBLOCKS_TABLE_8.strip().splitlines():
        title, samples, share = re.fullmatch(r"(.+): ([\d,]+) \(([\d.]+)%\)", line).groups()
        assert counts[title] == int(samples.replace(",", ""))
        assert 100 * counts[title] / PRINTED_TOTAL == pytest.approx(float(share), abs=0.0075), title
    assert len(counts) == len(VISIONBLOCKS_TABLE_8.strip().splitlines()) == 30
    assert sum(counts[title] for title in MULTILINGUAL) == 2_330_656 - 1, "as printed, but for one"
    assert sum(counts.values()) - PRINTED_TOTAL == 38_229, "the table's rows are more than its total"
    video = mixture.without(["Video/Text"])
    assert len(video.datasets) == 28


def test_the_translated_half_is_half_and_says_who_translates_it():
    path = RECIPES / "towervision" / "mixture.yaml"
    counts = {entry.title: entry.samples for entry in load_mixture(path).datasets}
    assert abs(counts["LLaVA-Video-178k-subset"] - counts["LLaVA-Video-178k-translated"]) <= 1
    text = path.read_text(encoding="utf-8")
    assert "`amalia-vl data translate` makes both" in text
    assert all(re.search(rf"title: {title}, .*Translated \(Augmented\)", text) for title in TRANSLATED)


def test_multi_pixmo_has_as_much_of_six_languages():
    mixture = load_mixture(RECIPES / "towervision" / "mixture_multi_pixmo.yaml")
    tally = Counter()
    for entry in mixture.datasets:
        tally[entry.source.language] += entry.samples
    assert set(tally) == {"en", "fr", "de", "it", "es", "pt"}
    assert len(set(tally.values())) == 1
    assert Counter(mixture.shares().keys()) == {"Captioning": 1, "General VQA": 1, "Doc. Understanding": 1}


OPEN = RECIPES / "amalia_vl" / "mixture_open.yaml"


def test_the_open_mixture_is_the_papers_without_what_nobody_can_have():
    paper = {entry.source.name: entry for entry in load_mixture(RECIPES / "amalia_vl" / "mixture.yaml").datasets}
    mixture = load_mixture(OPEN)
    for entry in mixture.datasets:
        same = paper.pop(entry.source.name)
        assert (entry.source, entry.samples, entry.title) == (same.source, same.samples, same.title)
        assert "subset" not in entry.unknown
        assert entry.source.hub or entry.source.name in FAMILIES
        assert entry.source.hub or entry.source.path == f"data/{entry.source.name}"
    for name, entry in paper.items():
        assert "subset" in entry.unknown or entry.source.path, f"{name} could be had"
    text = OPEN.read_text(encoding="utf-8")
    for category, share in mixture.shares().items():
        assert f"  # {category}: {share:.1f} % of these samples" in text
    readme = (RECIPES.parent / "README.md").read_text(encoding="utf-8")
    assert "amalia_vl/mixture_open" in readme


ROWS = 4  # of each dataset


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Every dataset of the open mixture in its public format, a few rows each, where the mixture looks for it.

    A dataset of the Hub is a folder of its name, which `load_dataset` reads as it reads the Hub's.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    hubs = {}
    for entry in load_mixture(OPEN).datasets:
        source = entry.source
        if source.hub is None:
            write_built(Path(source.path))
        elif source.subset is not None:
            write_finevision(Path(source.hub, source.subset))
            hubs.setdefault(source.hub, []).append(
                f"- config_name: {source.subset}\n  data_files: {source.subset}/*.parquet"
            )
        else:
            for split in source.split.split("+"):
                write_nemotron(Path(source.hub, f"{split}.jsonl"), Path(source.images), split)
                line = f"  - split: {split}\n    path: {split}.jsonl"
                hubs.setdefault(source.hub, ["- config_name: default\n  data_files:"]).append(line)
    for hub, configs in hubs.items():
        Path(hub, "README.md").write_text("---\nconfigs:\n" + "\n".join(configs) + "\n---\n", encoding="utf-8")
    return tmp_path


def picture(index):
    encoded = io.BytesIO()
    Image.new("RGB", (40 + index, 30), "red").save(encoded, "PNG")
    return {"bytes": encoded.getvalue(), "path": None}


def write_built(folder):
    """As `data build` writes."""
    folder.mkdir(parents=True)
    turns = [{"role": "user", "content": "O que se lê?"}, {"role": "assistant", "content": "nada"}]
    rows = [{"images": [picture(index)], "messages": turns} for index in range(ROWS)]
    datasets.Dataset.from_list(rows).to_parquet(folder / "0.parquet")


def write_finevision(folder):
    folder.mkdir(parents=True)
    texts = [{"user": "What is it?", "assistant": "red"}, {"user": "And?", "assistant": "more"}]
    datasets.Dataset.from_list([{"images": [picture(index)], "texts": texts} for index in range(ROWS)]).to_parquet(
        folder / "0.parquet"
    )


def write_nemotron(file, images, split):
    images.mkdir(parents=True, exist_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(ROWS):
        (images / f"{split}_{index}.png").write_bytes(picture(index)["bytes"])
        turns = [{"from": "human", "value": "<image>\nRead."}, {"from": "gpt", "value": "words"}]
        lines.append({"id": str(index), "image": f"{split}_{index}.png", "conversations": turns})
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")


def test_the_open_mixture_is_drawn_from_every_public_format(stand_ins, base, capsys):
    values = yaml.safe_load(OPEN.read_text(encoding="utf-8"))
    for entry in values["datasets"]:
        entry["samples"] = ROWS - 1
    Path("open.yaml").write_text(yaml.safe_dump({**values, "rounding": 0}, sort_keys=False), encoding="utf-8")
    assert main(["data", "mix", "open.yaml", "--out", "open.parquet", "--model", str(base), "--max-tiles", "4"]) == 0
    assert "Naive OCR" in capsys.readouterr().out
    samples = list(load_samples("open.parquet", "sft"))
    tally = Counter(sample["source"] for sample in samples)
    assert tally == {entry["name"]: ROWS - 1 for entry in values["datasets"]}
    assert all(sample["images"] and sample["messages"] and sample["length"] > 0 for sample in samples)


def test_a_row_or_a_category_may_be_left_out(stand_ins, base, capsys):
    values = yaml.safe_load(OPEN.read_text(encoding="utf-8"))
    for entry in values["datasets"]:
        entry["samples"] = 1
    Path("open.yaml").write_text(yaml.safe_dump({**values, "rounding": 0}, sort_keys=False), encoding="utf-8")
    assert main(["data", "mix", "open.yaml", "--out", "o.parquet", "--without", "Naive OCR", "sepic"]) == 0
    kept = {sample["source"] for sample in load_samples("o.parquet", "sft")}
    dropped = {entry["name"] for entry in values["datasets"] if entry["category"] == "Naive OCR"} | {"sepic"}
    assert kept == {entry["name"] for entry in values["datasets"]} - dropped
    assert main(["data", "mix", "open.yaml", "--out", "o.parquet", "--without", "sepik"]) == 2
    assert "did you mean 'sepic'?" in capsys.readouterr().err
