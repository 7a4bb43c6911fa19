"""Seeded functions beside Python's: each shape in both languages, whole, its gaps filled, as it would be read."""

from random import Random
from string import Template

import pytest

from amalia_vl_hf.data.code.code_pictures import MAX_LETTERS, MAX_LINES, SUFFIXES
from amalia_vl_hf.data.code.elsewhere import MORE_WORDS, PYTHON, foreign_shapes, write_any_function, write_foreign
from amalia_vl_hf.data.code.functions import read_function
from amalia_vl_hf.data.languages import LANGUAGES
from amalia_vl_hf.variety import judge

PAIRS = {"(": ")", "[": "]", "{": "}"}


def written(shape, language):
    return [write_foreign(shape, language, Random(seed)) for seed in range(4)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_shapes_are_written_whole_and_as_the_users_are_read(language):
    for shape in foreign_shapes():
        for function in written(shape, language):
            read = read_function(function.source, shape.code)
            assert read == function._replace(name="", language=None), function.source
            assert function.name in function.source
            assert "[[" not in function.source
            assert len(function.source.split("\n")) <= MAX_LINES
            assert max(map(len, function.source.split("\n"))) <= MAX_LETTERS
            assert all(function.source.count(one) == function.source.count(other) for one, other in PAIRS.items())


def test_every_language_has_as_many_shapes_and_no_word_is_idle():
    codes = [shape.code for shape in foreign_shapes()]
    assert set(codes) == set(SUFFIXES) - {"python"}
    assert {codes.count(code) for code in codes} <= {8, 9}
    gaps = {gap for shape in foreign_shapes() for gap in Template(shape.body).get_identifiers()}
    assert set(MORE_WORDS) <= gaps


def test_no_shape_is_more_than_a_fiftieth_of_the_functions():
    codes = [shape.code for shape in foreign_shapes()]
    assert (1 - PYTHON) / len(set(codes)) / min(map(codes.count, codes)) <= 0.02
    drawn = [write_any_function(Random(seed), seed) for seed in range(400)]
    assert {function.language for function in drawn} == set(LANGUAGES)
    assert 0.2 < sum(function.code == "python" for function in drawn) / 400 < 0.4


def test_portuguese_words_are_european():
    docs = "\n".join(shape.doc["pt"] for shape in foreign_shapes())
    assert judge(docs).is_pt_pt
