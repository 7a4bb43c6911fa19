"""Dialogues: exact shares, balanced letters, distractors that are wrong."""

from collections import Counter

import pytest

from amalia_vl_hf.data.choices import LETTER_ALONE, final_answer
from amalia_vl_hf.data.photos.dialogues import (
    SHORT_ALONE,
    VerifiedQuestion,
    asked_for_options,
    form_counts,
    sound_distractors,
    write_dialogues,
)


def questions(count, with_options=None):
    return [
        VerifiedQuestion(
            f"q{number}",
            f"image{number // 4}",
            f"O que está no lugar {number}?",
            f"resposta {number}",
            f"No lugar {number} vê-se uma resposta.",
            tuple(f"errada {number} {option}" for option in range(3))
            if number in (with_options or range(count))
            else (),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("total", range(60))
def test_shares_are_exact(total):
    counts = form_counts(total)
    assert sum(counts) == total
    for count, share in zip(counts, (0.15, 0.15, 0.70), strict=True):
        assert abs(count - share * total) < 1


def test_a_large_set_has_15_15_70_and_letters_alike():
    dialogues = write_dialogues(questions(2_000))
    flat = [(form, exchange) for turns in dialogues.values() for form, exchange in turns]
    assert Counter(form for form, _ in flat) == {"choices": 300, "short": 300, "reasoned": 1_400}
    letters = Counter(exchange.answer for form, exchange in flat if form == "choices")
    assert letters == {"A": 75, "B": 75, "C": 75, "D": 75}
    assert len(dialogues) == 500
    assert all(len(turns) == 4 for turns in dialogues.values())


def test_each_form_says_the_answer():
    for number, turns in enumerate(write_dialogues(questions(80)).values()):
        for form, (asked, answer) in turns:
            assert asked.startswith("O que está no lugar ")
            place = asked.split("lugar ")[1].split("?")[0]
            if form == "choices":
                lines = asked.splitlines()
                assert lines[-1] == LETTER_ALONE["pt"]
                assert f"{answer}) resposta {place}" in lines
                assert sum("errada" in line for line in lines) == 3
            elif form == "short":
                assert asked.endswith(SHORT_ALONE)
                assert answer == f"resposta {place}"
            else:
                assert final_answer(answer, "pt") == f"resposta {place}"
        assert number < 20


def test_forms_do_not_depend_on_the_order():
    forward, backward = (write_dialogues(given) for given in (questions(100), questions(100)[::-1]))
    assert forward == backward


def test_only_questions_with_options_are_multiple_choice():
    chosen = set(range(0, 200, 5))
    dialogues = write_dialogues(questions(200, chosen))
    asked = [exchange.question for turns in dialogues.values() for form, exchange in turns if form == "choices"]
    assert len(asked) == 30
    assert {int(text.split("lugar ")[1].split("?")[0]) for text in asked} <= chosen


def test_too_few_options_and_ids_that_repeat_are_errors():
    with pytest.raises(ValueError, match=r"2 of 100 questions have 3 sound distractors, and 15 are"):
        write_dialogues(questions(100, {3, 4}))
    with pytest.raises(ValueError, match="two questions have one id"):
        write_dialogues(questions(3) + questions(1))


def test_more_are_asked_for_options_than_are_needed():
    asked = asked_for_options(questions(200))
    assert len(asked) == len(set(asked)) == 45
    assert asked_for_options(questions(200)[::-1]) == asked
    assert asked_for_options(questions(1)) == []


def test_distractors_are_never_the_answer():
    options = ["3", "dois", "2.", "Duas", "quatro", " ", "cinco", "seis"]
    same = [False, False, False, False, False, False, True, False]
    assert sound_distractors("Três", options, same) == ("dois", "quatro", "seis")
    assert sound_distractors("Três", ["um", "dois"], [True, True]) == ()
    with pytest.raises(ValueError, match="zip"):
        sound_distractors("Três", ["um"], [])
