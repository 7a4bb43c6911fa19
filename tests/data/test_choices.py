"""Styles of questions: options are different, one is right, and what is written is read back."""

import doctest
import random

import pytest

from amalia_vl_hf.data import choices as question_styles
from amalia_vl_hf.data.choices import (
    LETTER_ALONE,
    STEP_BY_STEP,
    YES_NO,
    YES_NO_ALONE,
    Choices,
    final_answer,
    list_choices,
    reasoned,
    shuffle_choices,
)


def test_examples_in_the_docstrings_hold():
    results = doctest.testmod(question_styles)
    assert results.attempted >= 3
    assert results.failed == 0


def test_the_letter_is_that_of_the_right_option_and_every_letter_comes_up():
    drawn = [shuffle_choices("certa", ["a", "b", "c"], random.Random(seed)) for seed in range(60)]
    assert all(f"{choices.letter}) certa" in list_choices(choices).split("\n") for choices in drawn)
    assert {choices.letter for choices in drawn} == set("ABCD")


@pytest.mark.parametrize("wrong", [[], ["a", "a"], ["certa"], list("abcde")])
def test_options_that_are_no_choice(wrong):
    with pytest.raises(ValueError, match="options must be 2 to 5, no two equal"):
        shuffle_choices("certa", wrong, random.Random(0))


@pytest.mark.parametrize("language", ["pt", "en"])
def test_an_answer_after_reasoning_is_read_back(language):
    assert final_answer(reasoned("Primeiro isto.\nDepois aquilo.", "12,5 €", language), language) == "12,5 €"
    other = {"pt": "en", "en": "pt"}[language]
    assert final_answer(reasoned("Primeiro isto.", "12", language), other) is None
    assert final_answer("12", language) is None
    assert final_answer(reasoned("", "12", language), language) is None, "no reasoning"


def test_both_languages_have_every_wording():
    assert all(set(wording) == {"pt", "en"} for wording in (LETTER_ALONE, YES_NO, YES_NO_ALONE, STEP_BY_STEP))
    assert list_choices(Choices(("x",), "A")) == "A) x"
