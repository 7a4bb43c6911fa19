"""200 English samples through `data translate` with a real translator, a real repairer and a real encoder.

The translator is Brazilian and breaks lines; what rules refuse, Apertium repairs; embeddings hold the rest to a
quantile. Nothing that is kept lacks a tag, an option, a number or a line, and none of it is Brazilian.
"""

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest

from amalia_vl_hf import cli
from amalia_vl_hf.data.translated.translation import faults
from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.translation.masks import protected
from amalia_vl_hf.translation.segments import options
from amalia_vl_hf.variety import judge
from tests.translation.real_parts import require_apertium, served

from .english_samples import english_samples

pytestmark = pytest.mark.slow
BROKEN = ("tokens", "lines", "options", "numbers")


def build(folder, capsys, translate, repair, more="", count=200):
    rows = english_samples()[:count]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = folder / "out"
    with served(translate) as first, served(repair) as second:
        lines = ["dataset: translation", "shard_size: 50", "roles:"]
        lines += [f"  translator: {{url: {first}, model: {translate}, temperature: 0, parallel: 2}}"]
        lines += [f"  repairer: {{url: {second}, model: {repair}, temperature: 0, parallel: 2}}", more]
        (folder / "recipe.yaml").write_text("\n".join(lines), encoding="utf-8")
        words = ["--recipe", str(folder / "recipe.yaml"), "--out", str(out)]
        cli.main(["data", "translate", str(folder / "in.jsonl"), *words])
    print(capsys.readouterr().out)
    return rows, out


def stage(out, name):
    lines = [line for path in sorted((out / "stages" / name).rglob("*.jsonl")) for line in path.open(encoding="utf-8")]
    return [entry for entry in map(json.loads, lines) if "id" in entry]


def rejections(out):
    return [json.loads(line) for path in (out / "rejected").glob("*.jsonl") for line in path.open(encoding="utf-8")]


def kept(out):
    return [row for path in sorted((out / "data").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_what_a_real_translator_breaks_is_repaired_or_rejected(tmp_path, capsys):
    require_apertium()
    quality = "settings: {quality: {scorer: 'tests.translation.real_parts:least_agreement', lost: 0.03}}"
    sources, out = build(tmp_path, capsys, "neural", "european", quality)
    drafts = [draft for item in stage(out, "translate") for draft in item["data"]["drafts"]]
    broken = Counter(fault[0] for _, _, found in drafts for fault in found)
    assert broken["lines"] > 3, broken  # the real translator joins lines ...
    assert broken["Brazilian"] > 10, broken  # ... and is Brazilian
    rows = kept(out)
    rejected = [
        json.loads(line) for path in (out / "rejected").glob("*.jsonl") for line in path.open(encoding="utf-8")
    ]
    assert len(rows) + len(rejected) == len(sources) == 200
    assert len(rows) >= 100
    for row in rows:
        original = json.loads(row["truth"])["texts"]
        texts = ["".join(part["text"] for part in turn["content"]) for turn in row["messages"]]
        assert faults(row) == []
        for before, after in zip(original, texts, strict=True):
            assert protected(before) == protected(after)
            assert list(options(before)) == list(options(after))
            assert before.count("\n") == after.count("\n")
        assert not judge("\n".join(text for text in texts if text not in original)).refused
    assert len(load_samples(out / "data", "sft")) == len(rows)
    with capsys.disabled():
        print(f"\n{len(rows)} of 200 kept; segments broken: {dict(broken)}")
        print(f"rejected: {dict(Counter(entry['reason'] for entry in rejected))}")


def test_a_brazilian_repairer_repairs_nothing_brazilian(tmp_path, capsys):
    """With the same rules into Brazilian Portuguese as repairer, what was refused as Brazilian stays refused."""
    require_apertium()
    _, out = build(tmp_path, capsys, "neural", "brazilian", count=60)
    assert not [row for row in kept(out) if "ônibus" in json.dumps(row["messages"], ensure_ascii=False)]
    assert Counter(entry["reason"] for entry in rejections(out))["Brazilian"] > 5
