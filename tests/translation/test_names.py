"""Names stay, whoever has a Portuguese one keeps theirs; countries and common nouns are translated."""

import pytest

from amalia_vl_hf.translation.names import changed_names, names

FOUND = [
    ("Who is holding Mary Smith's bag?", ["Smith"]),  # the first of a name inside a sentence is found by the second
    ("Ask Anna to come.", ["Anna"]),
    ("Albert Einstein", ["Albert", "Einstein"]),
    ("Is there a Coca-Cola bottle?", ["Coca-Cola"]),
    ("What is the capital of Massachusetts?", ["Massachusetts"]),
    ("Is London in England?", []),
    ("Which animal is this? A kangaroo", []),
    ("Look at Figure 2. Hint: the African elephant and the Italian flag on Monday.", []),
    ("What Happened After Napoleon Invaded Moscow Again", []),  # written like a title
    ("A. Red\nB. Crimson", []),
]
KEPT = [
    ("Ask Anna to come.", "Pede à Anna que venha.", True),
    ("Ask Anna to come.", "Pede à Ana que venha.", True),  # one letter less is a spelling
    ("What did John say?", "O que disse o João?", False),
    ("Is it in Ljubljana?", "Fica em Liubliana?", True),
    ("Is it in Ljubljana?", "Fica na capital?", False),
    ("Is there a Coca-Cola bottle?", "Há uma garrafa de refrigerante?", False),
]


@pytest.mark.parametrize(("text", "found"), FOUND)
def test_what_a_name_is(text, found):
    assert set(found) <= set(names(text))
    assert found or not list(names(text))


@pytest.mark.parametrize(("source", "translation", "kept"), KEPT)
def test_a_name_is_kept(source, translation, kept):
    assert (changed_names(source, translation) is None) is kept
