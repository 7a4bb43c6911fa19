"""Mixtures that count tokens: whole conversations, until the tokens are there."""

import json

import pytest
import yaml

from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.samples.mixture import MixtureError, draw_mixture, load_mixture


@pytest.fixture
def folder(tmp_path):
    """Two datasets of conversations as many words long as their number says."""
    for name, count in (("um", 60), ("dois", 30)):
        rows = [
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b " * (1 + index % 20)}]}
            for index in range(count)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


def words(sample):
    """A tokenizer of words; a conversation of seven cannot be read."""
    length = len(sample["messages"][1]["content"].split())
    if length == 7:
        return ValueError(f"{sample['sample']}: seven")
    return length, 0


def all_words(samples):
    return [words(sample) for sample in samples]


def mixture(folder, first=200, second=100, top=None, **options):
    um = {"name": "um", "path": str(folder / "um.jsonl"), "tokens": first, "category": "A"}
    dois = {"name": "dois", "path": str(folder / "dois.jsonl"), "tokens": second, "category": "B", **options}
    (folder / "m.yaml").write_text(yaml.safe_dump({"seed": 3, "datasets": [um, dois], **(top or {})}))
    return load_mixture(folder / "m.yaml")


def drawn(folder, mixed, workers=0):
    draw_mixture(mixed, folder / "m.parquet", all_words, workers)
    return list(load_samples(folder / "m.parquet", "sft", every_row=False))


def tokens_of(samples, name):
    return sum(sample["length"] for sample in samples if sample["source"] == name)


@pytest.mark.parametrize("wanted", [1, 37, 200, 333])
def test_the_tokens_drawn_are_as_near_as_whole_samples_come(folder, wanted):
    samples = drawn(folder, mixture(folder, first=wanted))
    longest = 20
    assert abs(tokens_of(samples, "um") - wanted) <= max(longest / 2, longest if wanted == 1 else 0)
    assert abs(tokens_of(samples, "dois") - 100) <= longest / 2


def test_its_shares_are_of_tokens(folder):
    mixed = mixture(folder, first=300, second=100)
    assert mixed.shares() == {"A": 75.0, "B": 25.0}
    samples = drawn(folder, mixed)
    share = tokens_of(samples, "um") / sum(sample["length"] for sample in samples)
    assert share == pytest.approx(0.75, abs=0.03)


def test_a_draw_does_not_depend_on_workers_or_on_other_datasets(folder):
    first = [sample["sample"] for sample in drawn(folder, mixture(folder))]
    assert first == [sample["sample"] for sample in drawn(folder, mixture(folder), workers=2)]
    other = [sample["sample"] for sample in drawn(folder, mixture(folder, second=30))]
    assert [name for name in other if "um" in name] == [name for name in first if "um" in name]


def test_more_tokens_are_the_same_samples_and_then_more(folder):
    few = {sample["sample"] for sample in drawn(folder, mixture(folder, first=100))}
    assert few <= {sample["sample"] for sample in drawn(folder, mixture(folder, first=300))}


def test_what_is_missing_is_said_or_repeated_or_within_the_shortfall(folder):
    there = sum(length for index in range(30) if (length := 1 + index % 20) != 7)
    message = rf"dois: 400 tokens wanted, {there} there in 28 samples, 2 left out as faulty; lower `tokens`"
    with pytest.raises(MixtureError, match=message):
        drawn(folder, mixture(folder, second=400))
    repeated = drawn(folder, mixture(folder, second=400, repeat=True))
    assert abs(tokens_of(repeated, "dois") - 400) <= 10
    assert tokens_of(drawn(folder, mixture(folder, second=400, top={"shortfall": 0.5})), "dois") == there


def test_tokens_are_counted_by_a_model(folder):
    with pytest.raises(MixtureError, match=r"the mixture counts tokens, .*: give --model"):
        draw_mixture(mixture(folder), folder / "m.parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 3}, "dois: give either samples or tokens, not samples=3 and tokens=100"),
        ({"tokens": 0}, "dois: tokens must be positive, not 0"),
        ({"tokens": None}, "dois: give either samples or tokens, not samples=None and tokens=None"),
        ({"tokens": None, "samples": 3}, "some datasets are counted in samples and some in tokens"),
        ({"tokens": "many"}, r"datasets\[dois\]\.tokens must be a whole number, not 'many'"),
    ],
)
def test_a_dataset_has_one_amount(folder, change, message):
    with pytest.raises(MixtureError, match=message):
        mixture(folder, **change)


def test_a_shortfall_is_a_share(folder):
    with pytest.raises(MixtureError, match="0 <= shortfall < 1, not 1"):
        mixture(folder, top={"shortfall": 1})
