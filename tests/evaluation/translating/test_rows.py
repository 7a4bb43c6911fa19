"""A row's texts are found, masked, read back and written; nothing else of it changes."""

import json

import pytest

from amalia_vl_hf.evaluation.translating.rows import (
    RowTexts,
    UnreadableRowError,
    columns_of,
    masked_row,
    read_texts,
    read_translation,
    written,
)
from amalia_vl_hf.translation.masks import LostPlaceError

ROW = {"question_id": 7, "question": "What is it?", "options": ["A cat", "No", "5"], "answer": "B", "image": "x.png"}


def test_columns_are_found_by_the_task_or_by_their_names():
    assert columns_of(["question", "question_id", "answer"], "mme_pt").pairs
    assert columns_of(["question", "questionId", "answers"], "docvqa_pt").keep_answers
    assert not columns_of(["question", "questionId", "answers"], "docvqa_pt", keep_answers=False).keep_answers
    seed = columns_of(["question", "choice_a", "choice_b", "choice_c", "choice_d", "answer"], "seedbench_pt")
    assert seed.options == ("choice_a", "choice_b", "choice_c", "choice_d")
    assert columns_of(list(ROW), None).options == ("options",)
    with pytest.raises(ValueError, match="no question among"):
        columns_of(["a", "b"], None)
    with pytest.raises(ValueError, match="rows of another task"):
        columns_of(["a"], "mme_pt")


def test_question_and_options_are_one_request_and_letters_stay():
    columns = columns_of(list(ROW), None)
    source = read_texts(ROW, columns)
    masked = masked_row(source)
    assert json.loads(masked.text) == {"question": "What is it?", "options": ["A cat"]}
    texts = read_translation('```json\n{"question": "O que é?", "options": ["Um gato"]}\n```', source, masked)
    assert texts == RowTexts("O que é?", ("Um gato", "Não", "5"))
    assert written(ROW, columns, source, texts) == {**ROW, "question": "O que é?", "options": ["Um gato", "Não", "5"]}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("Não sei.", UnreadableRowError),
        ('{"question": "O que é?"}', UnreadableRowError),
        ('{"question": "O que é?", "options": ["Um gato", "Não"]}', UnreadableRowError),
        ('{"question": "O que é [9]?", "options": ["Um gato"]}', LostPlaceError),
        ("{" * 2000, UnreadableRowError),
        ('{"question": 5, "options": ["Um gato"]}', UnreadableRowError),
    ],
)
def test_another_answer_is_refused(answer, error):
    source = read_texts(ROW, columns_of(list(ROW), None))
    with pytest.raises(error):
        read_translation(answer, source, masked_row(source))


def test_answers_are_translated_with_the_question_or_kept():
    row = {"question": "What animal?", "answers": ["a cat", "Yes", "3"]}
    columns = columns_of(list(row), None)
    source = read_texts(row, columns)
    texts = read_translation('{"question": "Que animal?", "answers": ["um gato"]}', source, masked_row(source))
    assert written(row, columns, source, texts)["answers"] == ["um gato", "Sim", "3"]
    kept = columns_of(list(row), None, keep_answers=True)
    source = read_texts(row, kept)
    assert source.answers == ()
    assert written(row, kept, source, RowTexts("Que animal?"))["answers"] == row["answers"]


def test_options_keep_the_form_they_are_stored_in():
    row = {"question": "Which?", "options": "['one', 'two']", "answer": "one"}
    columns = columns_of(list(row), None)
    source = read_texts(row, columns)
    done = written(row, columns, source, RowTexts("Qual?", ("um", "dois")))
    assert (done["options"], done["answer"]) == ("['um', 'dois']", "um")
    with pytest.raises(ValueError, match="no list of options"):
        read_texts({**row, "options": "[one"}, columns)
    with pytest.raises(ValueError, match="no text"):
        read_texts({**row, "question": None}, columns)


def test_letters_that_are_options_stay():
    assert masked_row(RowTexts("Which figure?", ("A", "B"))).fixed == {("options", 0): "A", ("options", 1): "B"}
