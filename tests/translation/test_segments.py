"""Texts are cut and joined without a letter lost; options, bullets and blank lines never reach a translator."""

import pytest

from amalia_vl_hf.translation.segments import cut, join, options, translated_word

TEXTS = {
    "Which colour?\n\nA. Red\nB. Blue": ["Which colour?", "Red", "Blue"],
    "Choices: (A) red, (B) dark blue; (C) no\nAnswer now.": ["Choices:", "red", "dark blue", "no", "Answer now."],
    "<image>\nWhat is it?": ["What is it?"],
    "A. Smith went home.\nHe slept.": ["A. Smith went home.\nHe slept."],
    "A. Red": ["Red"],
    "1. Wash\n2. Cut\n\n# Title\ntext that\ngoes on": ["Wash", "Cut", "Title", "text that\ngoes on"],
    "See:\n```py\nx = 1\n```\nAnd so on.": ["See:", "And so on."],
    "A: No\r\nB: Yes\r\n": ["No", "Yes"],
    "\n \n": [],
    "": [],
}


@pytest.mark.parametrize("text", TEXTS)
def test_segments_are_the_text(text):
    segments = cut(text)
    assert "".join(f"{part.before}{part.body}{part.after}" for part in segments) == text
    bodies = [part.body for part in segments if part.body]
    assert bodies == TEXTS[text]
    assert join(segments, bodies) == text
    assert join(segments, ["x"] * len(bodies)).count("x") - text.count("x") == len(bodies) - sum(
        b.count("x") for b in bodies
    )


def test_options_by_their_letters():
    assert options("What?\n(A) one\n(B) two") == {"A": "one", "B": "two"}
    assert options("What?\nB. two\nC. three") == {}  # no A: not a list of options
    with pytest.raises(ValueError, match="1 translations of 2 segments"):
        join(cut("A. x\nB. y"), ["z"])


def test_yes_and_no_are_the_same_everywhere():
    words = {"Yes": "Sim", "no": "não", "NO": "NÃO", "No.": "Não.", "True": "Verdadeiro", "false!": "falso!"}
    assert {word: translated_word(word) for word in words} == words
    assert translated_word("No way") is None
    assert [translated_word("Yes", target) for target in ("es", "fr", "de", "it")] == ["Sí", "Oui", "Ja", "Sì"]
