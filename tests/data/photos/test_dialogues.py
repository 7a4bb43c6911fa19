"""Dialogues: exact shares, balanced letters, distractors that are wrong."""

from collections import Counter

import pytest

from amalia_vl_hf.data.choices import LETTER_ALONE, final_answer
from amalia_vl_hf.data.photos.dialogues import (
    SHORT_ALONE,
    FormChoice,
    VerifiedQuestion,
    asked_for_options,
    choose_forms,
    form_counts,
    sound_distractors,
    write_exchange,
)


def question(number, options=3):
    distractors = tuple(f"errada {number} {option}" for option in range(options))
    steps = f"No lugar {number} vê-se uma resposta."
    return VerifiedQuestion(f"q{number}", f"O que está no lugar {number}?", f"resposta {number}", steps, distractors)


def able(count, chosen=None):
    return {f"q{number}": chosen is None or number in chosen for number in range(count)}


@pytest.mark.parametrize("total", range(60))
def test_shares_are_exact(total):
    counts = form_counts(total)
    assert sum(counts) == total
    for count, share in zip(counts, (0.15, 0.15, 0.70), strict=True):
        assert abs(count - share * total) < 1


def test_a_large_set_has_15_15_70_and_letters_alike():
    forms = choose_forms(able(2_000))
    assert Counter(choice.form for choice in forms.values()) == {"choices": 300, "short": 300, "reasoned": 1_400}
    letters = Counter(choice.letter for choice in forms.values() if choice.form == "choices")
    assert letters == {0: 75, 1: 75, 2: 75, 3: 75}
    assert choose_forms(dict(reversed(able(2_000).items()))) == forms  # whatever the order


def test_each_form_says_the_answer():
    for number in range(80):
        for place in range(4):
            asked, answer = write_exchange(question(number), FormChoice("choices", place))
            lines = asked.splitlines()
            assert lines[0] == f"O que está no lugar {number}?"
            assert lines[-1] == LETTER_ALONE["pt"]
            assert answer == "ABCD"[place]
            assert lines[place + 1] == f"{answer}) resposta {number}"
            assert sum("errada" in line for line in lines) == 3
        asked, answer = write_exchange(question(number), FormChoice("short"))
        assert (asked, answer) == (f"O que está no lugar {number}? {SHORT_ALONE}", f"resposta {number}")
        asked, answer = write_exchange(question(number), FormChoice("reasoned"))
        assert final_answer(answer, "pt") == f"resposta {number}"
    with pytest.raises(ValueError, match="q1: 2 distractors, needed are 3"):
        write_exchange(question(1, options=2), FormChoice("choices"))


def test_only_questions_with_options_are_multiple_choice():
    chosen = set(range(0, 200, 5))
    forms = choose_forms(able(200, chosen))
    asked = {name for name, choice in forms.items() if choice.form == "choices"}
    assert len(asked) == 30
    assert asked <= {f"q{number}" for number in chosen}


def test_too_few_options_are_said_and_cost_no_question(caplog):
    forms = choose_forms(able(100, {3, 4}))
    assert Counter(choice.form for choice in forms.values()) == {"choices": 2, "short": 15, "reasoned": 83}
    assert "2 of 100 questions have 3 sound distractors, and 15 were to be multiple choice" in caplog.text


def test_more_are_asked_for_options_than_are_needed():
    asked = asked_for_options(list(able(200)))
    assert len(asked) == 55
    assert asked_for_options(list(able(200))[::-1]) == asked
    assert asked_for_options(["q"]) == {"q"}


def test_distractors_are_never_the_answer():
    options = ["3", "dois", "2.", "Duas", "quatro", " ", "cinco", "seis"]
    same = [False, False, False, False, False, False, True, False]
    assert sound_distractors("Três", options, same) == ("dois", "quatro", "seis")
    assert sound_distractors("Três", ["um", "dois"], [True, True]) == ()
    with pytest.raises(ValueError, match="zip"):
        sound_distractors("Três", ["um"], [])
