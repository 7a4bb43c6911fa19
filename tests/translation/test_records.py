"""A sample's texts are listed, replaced in their places, and answers that are read off the picture stay."""

import pytest

from amalia_vl_hf.translation.records import SampleText, stays, texts_of, with_texts

SLOT, TEXT = {"type": "image"}, {"type": "text", "text": "What is it?"}
RECORD = {
    "messages": [
        {"role": "system", "content": "You see."},
        {"role": "user", "content": [SLOT, TEXT, {"type": "text", "text": "Say it."}]},
        {"role": "assistant", "content": "A cat."},
    ],
    "prompt": None,
}
READ_OFF = [
    ("What does the sign say?", "Boat", True),
    ("Transcribe the text in the image.", "Mind the gap", True),
    ("What is written on the bus?", "Airport", True),
    ("Read the label aloud.", "Fresh milk", True),
    ("What brand is shown on the bottle?", "Old Mill", True),
    ("What does the sign say?", 'The sign says "Boat".', False),
    ("What colour is the sign?", "Red", False),
    ("What does the man do?", "He reads.", False),
    ("Describe the image.", "A boat.", False),
]


def test_texts_go_back_into_their_places():
    texts = texts_of(RECORD)
    assert texts[1] == SampleText("messages", 1, 1, "user", "What is it?")
    assert [text.text for text in texts] == ["You see.", "What is it?", "Say it.", "A cat."]
    done = with_texts(RECORD, ["Vês.", "O que é?", "Di-lo.", "Um gato."])
    assert [text.text for text in texts_of(done)] == ["Vês.", "O que é?", "Di-lo.", "Um gato."]
    assert done["messages"][1]["content"][0] == SLOT
    assert "prompt" not in done
    with pytest.raises(ValueError, match="argument"):
        with_texts(RECORD, ["Vês."])


@pytest.mark.parametrize(("question", "answer", "kept"), READ_OFF)
def test_answers_that_are_read_off_the_picture_stay(question, answer, kept):
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    assert stays(texts_of({"messages": turns})) == [False, kept]


def test_all_answers_of_a_dataset_of_ocr_stay():
    turns = [{"role": "user", "content": "Who signed it?"}, {"role": "assistant", "content": "John Smith"}] * 2
    assert stays(texts_of({"messages": turns}), reads=True) == [False, True, False, True]
