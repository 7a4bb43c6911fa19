"""What is masked comes back letter by letter, or a translation is refused; hostile texts cost no time."""

import time

import pytest

from amalia_vl_hf.translation.masks import LostPlaceError, mask, plain, protected, unmask

KINDS = {
    "slot": ("<image>", "<image 1>", "<video>", "[IMG_2]"),
    "box": (
        *(
            "[0.1, 0.2, 0.5, 0.9]",
            "[120,340,260,480]",
            "[100 200 300 400]",
            "(3, 4)",
            "(1,2),(3,4)",
            "[[1, 2], [3, 4]]",
        ),
        *("<box>12, 30, 44, 50</box>", "<|box_start|>(1,2),(3,4)<|box_end|>", "<loc0123>", "[0,1; 0,2; 0,5; 0,9]"),
    ),
    "maths": (
        *(
            "$x^2 + 1$",
            "$$\\int_0^1 x$$",
            "\\(a+b\\)",
            "\\[a\\]",
            "\\frac{1}{2}",
            "\\boxed{\\frac{1}{\\sqrt{2}}}",
            "\\pi",
        ),
        "\\begin{cases}x&1\\\\y&2\\end{cases}",
    ),
    "code": ("`sum_list`", "```py\nx = [1]\n```", "``a`b``", "~~~\nx\n~~~"),
    "address": ("https://a.example/b?c=[1]&d=2", "www.example.com/guide", "info@example.com"),
    "tag": ("<b>", "</b>", '<a href="x">', "<|im_end|>", "&amp;"),
    "placeholder": ("{name}", "{{name}}", "%s", "%(count)d", "${HOME}", "__MASK__"),
    "reference": ("[7]",),
    "blank": ("____",),
    "quoted": ('"STOP"', "“Keep left”", "'OPEN'", "«Fechado»"),
    "number": ("1,234.5", "42", "-5", "$5", "5:30", "03/04/2020"),
}


@pytest.mark.parametrize(("kind", "piece"), [(kind, piece) for kind, pieces in KINDS.items() for piece in pieces])
def test_each_kind_of_piece_has_a_place(kind, piece):
    text = f"The label says {piece} here."
    masked = mask(text)
    assert masked.text == "The label says [1] here."
    assert (masked.pieces[1], masked.kinds[1]) == (piece, kind)
    assert unmask("Aqui diz [1] o rótulo.", masked) == f"Aqui diz {piece} o rótulo."
    assert (protected(text) == {piece: 1}) is (kind not in ("quoted", "number"))


def test_prices_are_no_mathematics_and_speech_no_sign():
    assert mask("It costs $5 and $10, or $5-$10.").kinds == dict.fromkeys((1, 2, 3, 4), "number")
    assert mask('He said "hello there" to her.').pieces == {}
    assert mask("the 1990s, the 2nd A4 page in 3D").pieces == {}
    assert mask("2010-2015").text == "[1]-[2]"


def test_places_may_move_and_none_may_be_lost_or_invented():
    masked = mask("In 2020, see `f(x)`.")
    assert unmask("Vê [2] em [ 1 ].", masked) == "Vê `f(x)` em 2020."
    for wrong, what in (
        ("Vê [2].", r"lost \[1\] \(2020\)"),
        ("[1] [1] [2]", "not asked for"),
        ("[1] [2] [3]", r"\[3\]"),
    ):
        with pytest.raises(LostPlaceError, match=what):
            unmask(wrong, masked)


def test_a_text_of_pieces_alone_has_no_words():
    assert not mask("<image>\n42 `x`").has_words
    assert mask("42 cats").has_words
    assert plain("See `f` and 42 cats.").split() == ["See", "and", "cats."]


@pytest.mark.parametrize(
    "text",
    [
        *("[" + "1," * 50_000, "\\[" * 30_000, "$" * 50_000, "```" * 20_000, "<a " * 20_000, "a" * 50_000 + "@"),
        *(
            '"' * 50_000,
            "1" * 50_000 + "a",
            "\\a{" * 20_000,
            "1." * 30_000 + "a",
            "[1" + " " * 50_000,
            "\\begin{a}" * 5_000,
        ),
        "((1" * 20_000,
    ],
    ids=lambda text: text[:6],
)
def test_hostile_texts_are_masked_in_no_time(text):
    begun = time.process_time()
    masked = mask(text)
    assert unmask(masked.text, masked) == text
    assert time.process_time() - begun < 5
