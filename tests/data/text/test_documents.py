"""Whole documents: each kind can be read as it is labelled, and the validator sees what cannot."""

import random
import re

import pytest

from amalia_vl_hf.data.dataset import Materials, Passage
from amalia_vl_hf.data.text import letters, press, tables, words
from amalia_vl_hf.data.text.documents import (
    KINDS,
    Writer,
    block_texts,
    document_faults,
    draw_document,
    order_faults,
    pieces_of,
)
from amalia_vl_hf.data.text.passages import write_passage
from amalia_vl_hf.data.text.sheet import lay_out
from amalia_vl_hf.data.typefaces import GLYPHS, find_typefaces
from amalia_vl_hf.variety import judge

MATERIALS = Materials(find_typefaces(), write_passage)


def drawn(kind, seed):
    rng = random.Random(f"{kind} {seed}")
    return KINDS[kind](lay_out(rng, MATERIALS.typefaces, Writer(rng, seed, MATERIALS)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_is_what_it_says_it_is(kind):
    texts = set()
    for seed in range(4):
        sheet = drawn(kind, seed)
        assert document_faults(sheet.image, sheet.blocks) == []
        text = "\n".join(block_texts(sheet.blocks))
        assert set(text) <= GLYPHS | {" ", "\n"}
        assert not set(text) & set("{}[]"), text
        assert not judge(text).refused, text
        assert sheet.image.height < 1500
        texts.add(text)
    assert len(texts) > 1


def test_no_text_comes_twice_in_a_document():
    for seed in range(12):
        texts = [text for text in block_texts(drawn("newspaper", seed).blocks) if len(text) > 80]
        assert len(texts) == len(set(texts))


def lines_of(kind, seed):
    return block_texts(drawn(kind, seed).blocks)


def test_letters_and_e_mails_greet_and_are_signed_by_those_whom_they_name():
    for seed in range(6):
        lines = lines_of("e-mail", seed)
        first = lines[2].removeprefix("Para: ").partition(".")[0]  # its addresses have no accents
        named = [name for name in (*words.WOMEN, *words.MEN) if re.search(rf"\b{name}\b", lines[4])]
        assert [name.lower().translate(letters._PLAIN) for name in named] in ([], [first])
        lines = lines_of("letter", seed)
        if "de" not in lines[0].split():  # no office
            assert lines[0] == lines[-1]
            assert lines[2].partition(" ")[2] in lines[3]


def test_energy_on_a_label_is_that_of_its_nutrients():
    for seed in range(12):
        rows = dict(line.split(" | ") for line in lines_of("label", seed) if " | " in line)
        if rows:
            energy, *grams = rows.values()
            fat, carbohydrates, protein = (float(amount.removesuffix(" g").replace(",", ".")) for amount in grams)
            assert fat + carbohydrates + protein <= 100
            kcal = int(energy.split(" / ")[1].removesuffix(" kcal"))
            assert abs(kcal - 9 * fat - 4 * (carbohydrates + protein)) <= 0.6


def test_a_poster_has_its_event_in_season():
    for seed in range(16):
        text = " ".join(lines_of("poster", seed))
        (months,) = (months for event, months in press._EVENTS.items() if event in text)
        assert any(month in text for month in months or words.MONTHS)


def test_kinship_on_a_form_is_that_of_someone_and_fits_their_name():
    kin = 0
    for seed in range(40):
        filled = dict(line.split(": ", 1) for line in lines_of("form", seed)[1:])
        if "Grau de parentesco" in filled:
            kin += 1
            man = filled["Pessoa a contactar"].split()[0] in words.MEN
            assert filled["Grau de parentesco"] in tables._KIN[man]
    assert kin


def test_an_office_writes_about_what_is_its_own():
    offices = 0
    for seed in range(40):
        lines = lines_of("letter", seed)
        if (subject := next((line for line in lines if line.startswith("Assunto: ")), "")) and lines[0] != lines[-1]:
            own, _ = letters._OFFICES.get(subject.removeprefix("Assunto: "), ((), ()))
            assert not own or lines[0].startswith(own)
            offices += bool(own)
    assert offices


def test_what_is_written_over_something_or_left_out_is_seen():
    sheet = drawn("letter", 0)
    piece, ink = pieces_of(sheet.blocks)[0]
    again = {"lines": [[list(piece)]], "glue": " ", "inks": [ink], "region": sheet.blocks[0]["region"]}
    assert any("over each other" in fault for fault in document_faults(sheet.image, [*sheet.blocks, again]))
    blank = sheet.image.copy()
    blank.paste(sheet.paper, (0, 0, *blank.size))
    assert len(document_faults(blank, sheet.blocks)) == len(pieces_of(sheet.blocks))


def test_another_order_is_seen():
    def block(text, top, left, region=0):
        return {
            "lines": [[[text, top, left, top + 20, left + 90]]],
            "glue": " ",
            "inks": [(0, 0, 0)],
            "region": region,
        }

    assert order_faults([block("um", 0, 0), block("dois", 30, 0)]) == []
    assert order_faults([block("dois", 30, 0), block("um", 0, 0)]) == ["'um' is not below 'dois'"]
    columns = [block("um", 0, 0), block("dois", 30, 0), block("três", 0, 100, 1), block("quatro", 30, 100, 1)]
    assert order_faults(columns) == []
    across = [columns[0], {**columns[2], "region": 0}, columns[1]]
    assert order_faults(across) == ["'três' is not below 'um'"]
    row = {**columns[0], "lines": [[*columns[2]["lines"][0], *columns[0]["lines"][0]]]}
    assert order_faults([row]) == ["'um' is not at the right of 'três'"]
    (fault,) = order_faults([{**part, "region": 1 - part["region"]} for part in columns])
    assert fault.endswith("is neither below nor right")


def test_the_users_texts_are_written_in_turn():
    given = [Passage(f"Texto número {number}.", (f"Texto número {number}.",)) for number in range(60)]
    theirs = Materials(find_typefaces(), lambda rng, index: given[index])
    found = set()
    for seed in range(12):
        document = draw_document(random.Random(seed), seed, theirs)
        texts = {text for text in block_texts(document.blocks) if text.startswith("Texto número")}
        assert all(seed * 3 <= int(text.split()[2].rstrip(".")) < seed * 3 + 3 for text in texts)
        found |= texts
    assert found
