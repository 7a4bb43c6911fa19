"""Protocol `corrected` counts what a careful reader would: each mended defect with an answer that shows it."""

import random
import time

import pytest

from amalia_vl_hf.evaluation import aggregate, metrics, parsing, score_item
from amalia_vl_hf.evaluation.counting import vqa_words

FOUR = ["a folha", "uma mesa de madeira", "o rio Tejo", "a estrada"]


def both(task, answer, row):
    return score_item(task, answer, row), score_item(task, answer, row, "corrected")


@pytest.mark.parametrize(
    ("task", "answer", "reference"),
    [
        ("embspatial_pt", "A resposta é B", "B"),
        ("embspatial_pt", "**B**", "B"),
        ("realworldqa_pt", "A resposta é B", "B"),
        ("caravela_mcq", "ANSWER: A opção B", "B"),
        ("caravela_mcq", "ANSWER: b", "B"),
        ("seedbench_pt", "A resposta é a B", "B"),
        ("seedbench_pt", "(B)", "B"),
        ("mmstar_pt", "(D) a estrada, sim", "D"),
        ("mmstar_pt", "Correto, é D", "D"),
        ("mmmu_pt", "B) mesa", "B"),
        ("mmmu_pt", "**C**", "C"),
        ("ai2d_pt", "B folha", "B"),
    ],
)
def test_a_letter_that_the_official_parser_misses_is_right(task, answer, reference):
    published, corrected = both(task, answer, {"references": [reference], "options": FOUR})
    assert corrected == 1
    assert published == (1 if answer.startswith("(D)") else 0)


@pytest.mark.parametrize(
    ("task", "answer", "reference"),
    [
        ("embspatial_pt", "A resposta é B", "A"),
        ("embspatial_pt", "a mesa", "A"),
        ("realworldqa_pt", "A estrada é larga", "A"),
        ("realworldqa_pt", "Cão", "C"),
        ("seedbench_pt", "Dois", "D"),
        ("mmstar_pt", "a resposta é a B", "A"),
        ("ai2d_pt", "resposta é a flor", "A"),
        ("mmmu_pt", "(A) ou (C)", "C"),
    ],
)
def test_a_letter_that_nobody_gave_is_wrong(task, answer, reference):
    published, corrected = both(task, answer, {"references": [reference], "options": FOUR})
    assert (published, corrected) == (1, 0)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        *[("A", "A"), ("b", "B"), ("(C)", "C"), ("D.", "D"), ("**B**", "B"), ("[C]", "C"), (r"\boxed{D}", "D")],
        *[
            ("B) mesa", "B"),
            ("B: mesa", "B"),
            ("B - a mesa", "B"),
            ("(B) mesa", "B"),
            ("A) folha", "A"),
            ("B mesa", "B"),
        ],
        *[("A resposta é B", "B"), ("A resposta é a B.", "B"), ("a opção correta é a c", "C"), ("Opção A", "A")],
        *[("Resposta: D", "D"), ("the answer is (B).", "B"), ("A alternativa correta é C porque sim", "C")],
        *[("A rua é larga, logo B", "B"), ("Nem A nem C: D", "D"), ("É o rio, portanto a letra C", "C")],
        *[("a folha", "A"), ("A folha.", "A"), ("folha", "A"), ("Creio que é uma mesa de madeira", "B")],
        *[("o Rio Tejo", "C"), ("A folha verde", "A")],
        *[("", None), ("Não sei", None), ("A", "A"), ("A ou B", None), ("A, B", None), ("(A) e (C)", None)],
        *[("A casa", None), ("E", None), ("2", None), ("Cão", None), ("Dois", None), ("E depois?", None)],
        *[("não é a folha", None), ("a folha e o rio Tejo", None), ("O Castelo de Beja", None)],
    ],
)
def test_letters_are_read_like_a_careful_reader(answer, letter):
    assert parsing.letter(answer, "ABCD", FOUR) == letter


def test_equal_options_and_missing_ones_choose_nothing():
    assert parsing.letter("igual", "AB", ["igual", "igual"]) is None
    assert parsing.letter("a folha", "ABCD") is None
    assert parsing.letter("I", "ABCDEFGHIJ", list("0123456789")) == "I"


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        *[
            ("Sim!", "yes"),
            ("**Sim**", "yes"),
            ("A resposta é sim", "yes"),
            ("Claro que sim", "yes"),
            ("É verdade.", "yes"),
        ],
        *[
            ("não;", "no"),
            ("Não vejo nenhum.", "no"),
            ("A resposta é não", "no"),
            ("No, there is none", "no"),
            ("n", "no"),
        ],
        *[("Nota: sim", "yes"), ("no entanto, sim", "yes"), ("Sim, não há dúvida", "yes")],
        *[("", None), ("Norte", None), ("Não sei", None), ("Talvez", None), ("nós vemos um gato", None)],
        *[("Nenhum", None), ("Simples", None), ("ou sim ou não", None), ("no centro", None)],
    ],
)
def test_yes_and_no_are_read_wherever_they_stand(answer, word):
    assert parsing.yes_no(answer) == word


def test_mme_and_pope():
    assert both("mme_pt", "A resposta é sim", {"references": ["Sim"]}) == (0, 1)
    assert both("mme_pt", "Norte", {"references": ["Não"]}) == (1, 0)
    assert both("pope_pt", "Sim!", {"references": ["sim"]}) == (0, 1)
    assert both("pope_pt", "", {"references": ["não"]}) == (0, 0)


def test_mme_counts_images_without_exactly_two_questions():
    items = [{"question_id": n, "category": "count", "score": 1.0} for n in (1, 1, 1, 2, 2)]
    items += [{"question_id": 3, "category": "count", "score": 0.0}]
    assert aggregate("mme_pt", items) == 200
    assert aggregate("mme_pt", items, "corrected") == pytest.approx(400 / 3)


def test_popes_f1_counts_answers_that_say_neither_and_yes_ratio_counts_answers():
    items = [{"answer": answer, "references": ["sim"]} for answer in ("Sim", "Talvez")]
    assert aggregate("pope_pt", items)["f1"] == 1
    corrected = aggregate("pope_pt", items, "corrected")
    assert corrected["f1"] == pytest.approx(2 / 3)
    assert (aggregate("pope_pt", items)["yes_ratio"], corrected["yes_ratio"]) == (1, 0.5)


def test_ocrbench_divides_by_its_rows_and_looks_for_whole_words():
    items = [{"score": 1.0}, {"score": 0.0}]
    assert aggregate("ocrbench_pt", items) == 0.001
    assert aggregate("ocrbench_pt", items, "corrected") == 0.5
    assert both("ocrbench_pt", "100", {"references": ["10"], "dataset": "FUNSD"}) == (1, 0)
    assert both("ocrbench_pt", "12,5", {"references": ["12.5"], "dataset": "FUNSD"}) == (0, 1)
    assert both("ocrbench_pt", "x + y", {"references": ["x"], "dataset": "HME100k"}) == (1, 0)
    assert both("ocrbench_pt", "$x + y$", {"references": ["x+y"], "dataset": "HME100k"}) == (1, 1)


def test_textvqa_knows_portuguese_articles_and_decimal_commas():
    assert both("textvqa_pt", "o vermelho", {"references": ["vermelho"] * 10}) == (0, 1)
    assert both("textvqa_pt", "15", {"references": ["1,5"] * 10}) == (1, 0)
    assert both("textvqa_pt", "1,5", {"references": ["1.5"] * 10}) == (0, 1)
    assert both("textvqa_pt", "nokia", {"references": ["nokia"]}) == (0, 1)


@pytest.mark.parametrize(
    ("answer", "reference", "published", "corrected"),
    [
        *[("10,5", "10.5", 0, 1), ("0.0", "0", 0, 1), ("1990", "2010", 1, 0), ("2012", "2011", 1, 0)],
        *[("1 234", "1234", 0, 1), ("dez", "10", 0, 1), ("Azul", "azul.", 0, 1), ("10", "10%", 0, 1)],
        *[("10.51", "10", 0, 0), ("10 milhões", "10", 0, 0), ("5", "-5", 0, 0), ("1.234,5 €", "1234.5", 0, 1)],
        ("2010", "2010", 1, 1),
    ],
)
def test_chartqa(answer, reference, published, corrected):
    assert both("chartqa_pt", answer, {"references": [reference]}) == (published, corrected)


@pytest.mark.parametrize(
    ("answer", "reference", "options", "right"),
    [
        *[(r"\boxed{12{,}5}", "12.5", [], 1), ("12,5", "12.5", [], 1), ("A resposta correta é 12 cm", "12", [], 1)],
        *[
            (r"\boxed{\frac{1}{2}}", "0.5", [], 1),
            (r"\boxed{45^\circ}", "45", [], 1),
            ("São 3 graus, resultado = 7", "7", [], 1),
        ],
        *[
            ("A resposta é B", "B", ["1", "2", "3"], 1),
            (r"\boxed{2}", "B", ["1", "2", "3"], 1),
            ("(C)", "B", ["1", "2", "3"], 0),
        ],
        *[
            (r"\boxed{(B)}", "B", ["1", "2", "3"], 1),
            ("não sei", "12", [], 0),
            ("", "12", [], 0),
            (r"\boxed{}", "1", [], 0),
        ],
        *[(r"\boxed{1} e depois \boxed{3}", "3", [], 1), (r"\boxed{1234}", "1 234", [], 1), ("13", "12", [], 0)],
    ],
)
def test_mathematics(answer, reference, options, right):
    assert score_item("mathvision_pt", answer, {"references": [reference], "options": options}, "corrected") == right


@pytest.mark.parametrize(
    ("answer", "box"),
    [
        *[("[0.1; 0.2; 0.5; 0.6]", (0.1, 0.2, 0.5, 0.6)), ("0.1, 0.2, 0.5, 0.6", (0.1, 0.2, 0.5, 0.6))],
        *[("[0.1, 0.2, 0.5, 1.01]", (0.1, 0.2, 0.5, 1.0)), ("[.1, .2, .5, .6]", (0.1, 0.2, 0.5, 0.6))],
        *[("[0.5, 0.6, 0.1, 0.2]", (0.1, 0.2, 0.5, 0.6)), ("(100, 200, 500, 600)", (0.1, 0.2, 0.5, 0.6))],
        *[
            ("[0,1, 0,2, 0,5, 0,6]", (0.1, 0.2, 0.5, 0.6)),
            ('{"x1": 0.1, "y1": 0.2, "x2": 0.5, "y2": 0.6}', (0.1, 0.2, 0.5, 0.6)),
        ],
        *[
            ("não sei", None),
            ("[0.1, 0.2, 0.5]", None),
            ("[0.1, 0.2, 0.3, 0.4, 0.5]", None),
            ("[10, 20, 5000, 60]", None),
        ],
        *[("[-5, 0, 1, 1]", None), ("", None)],
    ],
)
def test_boxes_of_any_separator(answer, box):
    assert parsing.box(answer) == (box if box is None else pytest.approx(box))


def test_boxes_in_the_formats_of_table_4():
    reference = {"references": [0.1, 0.2, 0.5, 0.6]}
    for task, answer in (
        ("refcoco_rec_xyxy_1", "[0.1, 0.2, 0.5, 0.6]"),
        ("refcoco_rec_xyxy_1000", "[100, 200, 500, 600]"),
        ("refcoco_rec_xywh_1", "[0.1, 0.2, 0.4, 0.4]"),
        ("refcoco_rec_xywh_1000", "[100, 200, 400, 400]"),
    ):
        assert both(task, answer, reference) == (1, 1), task
    assert both("refcoco_rec_xywh_1", "[0.1, 0.2, 0.5, 0.6]", {"references": [0.1, 0.2, 0.2, 0.3]}) == (0, 0)
    assert parsing.box("[0, 0, 1, 1]", scale=1000) == (0, 0, 1, 1)


def test_a_box_that_overlaps_by_exactly_half_counts():
    assert both("refcoco_bbox_rec_pt", "[0.1, 0.2, 0.3, 0.6]", {"references": [0.1, 0.2, 0.5, 0.6]}) == (0, 1)
    assert metrics.iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0


def test_anls_needs_more_than_half_and_ignores_spaces_at_the_ends():
    assert both("docvqa_pt", "abcd", {"references": ["abxy"]}) == (0.5, 0)
    assert both("docvqa_pt", "Lisbon", {"references": ["  Lisboa  "]}) == (pytest.approx(0.9), pytest.approx(5 / 6))


@pytest.mark.parametrize(
    ("answer", "reference", "published", "corrected"),
    [
        *[("ANSWER: não é Lisboa", "Lisboa", 1, 0), ("Torre de Belem", "Torre de Belém", 0, 1), ("", "A", 1, 0)],
        *[("ANSWER: Vasco da Gama", "Gama", 1, 1), ("ANSWER: Gamão", "Gam", 1, 0), ("ANSWER: O", "O", 1, 1)],
    ],
)
def test_caravelas_short_answers(answer, reference, published, corrected):
    assert both("caravela_vqa", answer, {"references": [reference]}) == (published, corrected)


def test_caravelas_reasoning_has_a_score_for_short_words():
    assert both("caravela_reasoning", "ANSWER: Sé", {"references": ["Sé"]}) == (0, 1)


def test_reasoning_is_cut_out_even_where_it_has_no_end():
    assert score_item("caravela_mcq", "<think>ANSWER: A</think> ANSWER: B", {"references": ["B"]}) == 1
    assert score_item("caravela_mcq", "<think>ANSWER: B", {"references": ["B"]}) == 0


@pytest.mark.parametrize(
    ("text", "values"),
    [
        *[
            ("10,5", (10.5,)),
            ("10.5", (10.5,)),
            ("1 234,5", (1234.5,)),
            ("1.234.567", (1234567.0,)),
            ("1,234.5", (1234.5,)),
        ],
        *[
            ("1.234", (1.234, 1234.0)),
            ("-3", (-3.0,)),
            ("−3", (-3.0,)),
            ("45 %", (45.0,)),
            ("R$", ()),
            ("dez", (10.0,)),
        ],
        *[("", ()), ("inf", ()), ("nan", ()), ("1e5", ()), ("10 milhões", ()), (".5", (0.5,)), ("12.", (12.0,))],
    ],
)
def test_numbers(text, values):
    assert parsing.numbers(text) == values


def test_words_are_normalised_without_losing_them():
    assert vqa_words.vqa_words("A") == "a"
    assert vqa_words.vqa_words("n.º 28.") == vqa_words.vqa_words("N.º 28")
    assert vqa_words.says("", "") is False
    assert vqa_words.transcribes("abc", "") is False
    assert metrics.error_rate("", ["abc"]) == 1
    assert metrics.error_rate("abc", ["xyz", "abd"]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "piece", ["a ", "A, ", "resultado", "1 ", "0,1", "[", "(A) ou ", "\\frac{", '{"bbox_2d":', "não há ", '"x1": ']
)
def test_no_answer_takes_long_to_read(piece):
    begun = time.process_time()
    for protocol in ("published", "corrected"):
        for task in ("embspatial_pt", "refcoco_bbox_rec_pt", "mathvision_pt", "mme_pt", "chartqa_pt", "caravela_vqa"):
            references = [0.0, 0.0, 1.0, 1.0] if task == "refcoco_bbox_rec_pt" else ["A"]
            score_item(task, piece * (40_000 // len(piece)), {"references": references, "options": FOUR}, protocol)
    assert time.process_time() - begun < 5


def test_the_distance_is_levenshteins():
    rng = random.Random(0)
    for _ in range(300):
        one, other = ("".join(rng.choice("abc") for _ in range(rng.randint(0, 12))) for _ in range(2))
        before = list(range(len(other) + 1))
        for row, left in enumerate(one, start=1):
            line = [row]
            for column, right in enumerate(other, start=1):
                line.append(min(before[column] + 1, line[-1] + 1, before[column - 1] + (left != right)))
            before = line
        assert metrics.distance(one, other) == before[-1], (one, other)
