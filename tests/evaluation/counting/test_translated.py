"""Words that were read off a picture and translated, "Barco" for "Boat", where that can be told."""

import pytest

from amalia_vl_hf.evaluation.counting.translated import translated_share, was_translated
from amalia_vl_hf.evaluation.tasks import find_task

OCR = find_task("ocrbench_pt")
# reference, answer, whether it was translated; None where nobody can tell
ANSWERS = [
    ("Boat", "Barco", True),
    ("Boat", "O barco.", True),
    ("Boat", "Boat", False),
    ("Boat", "Está escrito Boat, barco.", False),
    ("Boat", "Carro", False),
    ("Boat", "", False),
    ("red boat", "barco vermelho", True),
    ("red boat", "barco", False),
    ("STOP 25", "Pare 25", True),
    ("Seaworthy", "Navegável", None),
    ("42", "quarenta e dois", None),
    ("barco", "barco", None),
]


@pytest.mark.parametrize(("reference", "answer", "translated"), ANSWERS)
def test_it_is_told_by_known_words(reference, answer, translated):
    assert was_translated(OCR, {"references": [reference], "answer": answer}) is translated


def test_a_row_may_say_what_the_translation_would_be():
    item = {"references": ["Seaworthy"], "translations": ["Navegável", "Apto a navegar"], "answer": "navegável."}
    own = find_task("caravela_vqa")
    assert was_translated(own, item) is True
    assert was_translated(own, {**item, "answer": "Seaworthy"}) is False
    assert was_translated(own, {**item, "translations": ["Seaworthy"], "answer": "seaworthy"}) is False


def test_a_task_that_reads_nothing_is_not_asked():
    assert was_translated(find_task("realworldqa_pt"), {"references": ["Boat"], "answer": "Barco"}) is None
    assert translated_share(OCR, [{"references": ["42"], "answer": "42"}]) is None


def test_the_share_is_of_answers_that_tell():
    items = [{"references": [reference], "answer": answer} for reference, answer, _ in ANSWERS]
    told = [translated for *_, translated in ANSWERS if translated is not None]
    assert translated_share(OCR, items) == {"count": sum(told), "of": len(told), "share": sum(told) / len(told)}
