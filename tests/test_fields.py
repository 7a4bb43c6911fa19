import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from amalia_vl_hf.fields import (
    INLINE,
    RECIPES,
    RecipeError,
    override,
    parse_yaml,
    read_fields,
    read_yaml,
    recipe_file,
)


@dataclass
class Part:
    name: str
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Whole:
    part: Part = field(metadata=INLINE)
    count: int = 1
    rate: float = 0.5
    parts: tuple[Part, ...] = ()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\nb: [", r"line 2, column 5"),
        ("a: 1\n b: 2", r"line 2, column 3"),
        ("a: 1\na: 2", r"key 'a' stands twice \(line 2, column 1\)"),
        ("a: {b: 1, b: 2}", r"key 'b' stands twice \(line 1, column 11\)"),
        ("a: !!python/object:os.system x", r"line 1, column 4"),
        ("a: *b", r"undefined alias 'b' \(line 1, column 4\)"),
        ("a: \x07", "special characters are not allowed"),
        ("a: 2026-99-99", "month must be in 1..12"),
        ("a: " + 5000 * "[", "in one another"),
        ("a: " + 5000 * "9", "Exceeds the limit"),
    ],
)
def test_what_is_no_yaml_is_told_in_one_line_with_its_place(tmp_path, text, place):
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=place) as caught:
        read_yaml(tmp_path / "r.yaml")
    assert str(caught.value).startswith(str(tmp_path / "r.yaml"))
    assert "\n" not in str(caught.value)


def test_merged_keys_may_be_replaced_as_yaml_means_it():
    assert parse_yaml("base: &b {x: 1, y: 2}\nown: {<<: *b, y: 3}")["own"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "a", "count": "3"}, "count must be a whole number, not '3'"),
        ({"name": "a", "count": True}, "count must be a whole number, not True"),
        ({"name": "a", "rate": float("nan")}, "rate must be a number, not nan"),
        ({"name": "a", "rate": "-inf"}, "rate must be a number, not '-inf'"),
        ({"name": "a", "rate": 10**400}, "rate must be a number"),
        ({"name": "a", "weights": {"x": float("inf")}}, "weights.x must be a number, not inf"),
        ({"name": "a", "weights": [1]}, "weights must hold `name: number` lines"),
        ({"name": "a", "parts": [{"name": "b"}, {"nam": "c"}]}, r"unknown key 'parts\[1\]\.nam' \(did you mean"),
        ({"name": "a", "parts": [{"name": "b", "weights": 1}]}, r"parts\[b\]\.weights must hold"),
        ({}, "name is missing"),
        ({"nome": "a"}, "unknown key 'nome'.*; known: name, weights, count, rate, parts; name is missing"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(values, message):
    with pytest.raises(RecipeError, match=message):
        read_fields(Whole, values)


def test_values_take_the_types_of_their_fields():
    whole = read_fields(Whole, {"name": "a", "rate": "1e-3", "parts": [{"name": "b", "weights": {"x": 1}}]})
    assert whole == Whole(Part("a"), rate=1e-3, parts=(Part("b", {"x": 1.0}),))


def bomb():
    """Ten levels of aliases, nine of each: 9 ** 10 values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join(9 * [f'*a{level - 1}'])}]" for level in range(1, 11)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        f"{bomb()}\nname: *a10",
        f"name: a\ncount: {'x' * 1_000_000}",
        "\n".join(f"key{number}: 1" for number in range(2_000)),
        "name: &a [*a]",
        f"? {'k' * 1_000_000}\n: 1",
    ],
    ids=["aliases", "long value", "many keys", "recursion", "long key"],
)
def test_hostile_values_end_soon_in_a_short_line(text):
    start = time.process_time()
    with pytest.raises(RecipeError) as caught:
        read_fields(Whole, parse_yaml(text))
    assert time.process_time() - start < 2
    assert len(str(caught.value)) < 5_000
    assert "\n" not in str(caught.value)


def test_words_replace_values_and_say_where_they_cannot():
    values = {"a": {"b": 1}, "c": 2}
    override(values, "a.b=[1, 2]")
    override(values, "d.e=x=y")
    assert values == {"a": {"b": [1, 2]}, "c": 2, "d": {"e": "x=y"}}
    for word, message in (
        ("a", "not of the form key=value"),
        ("c.d=1", "c holds one value"),
        ("a=[", "'a=\\['.*line 1"),
    ):
        with pytest.raises(RecipeError, match=message):
            override(values, word)


def test_a_file_of_ones_own_goes_before_a_recipe_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert recipe_file("tiny/1_align") == RECIPES / "tiny" / "1_align.yaml"
    assert recipe_file("recipes/accelerate/zero3.yaml") == RECIPES / "accelerate" / "zero3.yaml"
    (tmp_path / "tiny" / "1_align").mkdir(parents=True)
    assert recipe_file("tiny/1_align") == RECIPES / "tiny" / "1_align.yaml", "a folder is no file"
    (tmp_path / "tiny" / "1_align.yaml").write_text("a: 1", encoding="utf-8")
    assert read_yaml("tiny/1_align.yaml") == {"a": 1}
    with pytest.raises(FileNotFoundError, match="no tiny/1_allign; did you mean tiny/1_align"):
        recipe_file("tiny/1_allign")
    with pytest.raises(FileNotFoundError, match=r"no trl/outra_coisa.*; the package has trl/dpo, trl/sft"):
        recipe_file("trl/outra_coisa")
    (tmp_path / "faturas.yaml").touch()
    with pytest.raises(FileNotFoundError, match=r"no fatura.yaml \(did you mean faturas.yaml\?\), here or in the"):
        recipe_file("fatura.yaml")
