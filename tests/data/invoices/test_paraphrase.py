"""A model's words about an invoice: what must stay stays, and everything else is rejected with its reason."""

import json
import random
import re
from collections import Counter

import pyarrow.parquet as pq
import pytest

from amalia_vl_hf.asking.inference import Endpoint
from amalia_vl_hf.data.building.recipe import BuildRecipe
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.dataset import Exchange, RejectedError
from amalia_vl_hf.data.invoices import invoice_qa
from amalia_vl_hf.data.invoices.paraphrase import is_free, paraphrase_faults, read_paraphrase, write_request
from amalia_vl_hf.data.invoices.questions import NOUNS, WORDS, InvoiceQuery, answers, bodies, noun, write_box
from amalia_vl_hf.data.prompts import read_prompt
from amalia_vl_hf.data.rows import exchanges
from amalia_vl_hf.variety import judge

from ...asking.model_server import Fault, ModelServer, completion
from ..rows import MATERIALS, drawn_row, with_answer, with_truth

FIELDS = {"total": "12,40 €", "date": "03/05/2021", "seller": "Padaria Estrela, Lda.", "number": "FT 2021/7"}
BOXES = {name: (0.1, 0.1 * place, 0.3, 0.1 * place + 0.05) for place, name in enumerate(FIELDS)}
TOTAL = InvoiceQuery("extraction", ("total",))
ALONE = InvoiceQuery("extraction", ("date",), alone=True)
BOX = InvoiceQuery("box", ("seller",))
REJECTION = InvoiceQuery("rejection", ("total",), "date")
CONFIRMATION = InvoiceQuery("confirmation", ("number",), "number")
REGION = write_box(BOXES["date"])
AT_TOTAL = f"Em {REGION} lê-se o total a pagar?"
AT_NUMBER = f"Em {write_box(BOXES['number'])}, há o número da fatura?"


def rewrite(given):
    """Say it in other words, as a model that does what it is told."""
    turns = []
    for turn in given:
        nouns = [noun(name, document) for document in WORDS for name in NOUNS]
        named = max((known for known in nouns if known in turn["pergunta"]), key=len, default="")
        box = re.search(r"\[.*\]", turn["pergunta"])
        question = f"Olha bem para a fatura e diz-me se em {box[0]} está {named}." if box else turn["pergunta"]
        answer = turn["resposta"]
        if turn["reescrever_resposta"] and not box:
            answer = f"O que lá está escrito é {answer}"
        turns.append({"pergunta": question, "resposta": answer})
    return turns


def paraphrased(seed):
    (step,) = invoice_qa.STEPS
    slots = step.ask(random.Random(f"0 {seed}"), seed, MATERIALS)
    answers = {"paraphrase": json.dumps(rewrite(json.loads(slots["exchanges"])), ensure_ascii=False)}
    return drawn_row(invoice_qa, seed, MATERIALS._replace(answers=answers))


@pytest.fixture(scope="module")
def rows():
    return [paraphrased(seed) for seed in range(10)]


def test_paraphrased_samples_pass_the_validator(rows):
    assert [invoice_qa.faults(row) for row in rows] == [[]] * len(rows)
    texts = [turn["content"] for row in rows for turn in row["messages"]]
    assert any(text.startswith("Olha bem") for text in texts)
    assert any(text.startswith("O que lá está escrito é ") for text in texts)


def test_they_are_about_the_same_as_without_a_model(rows):
    for seed, row in enumerate(rows[:4]):
        plain = drawn_row(invoice_qa, seed)
        known = {**json.loads(row["truth"]), "paraphrased": False}
        assert known == json.loads(plain["truth"])
        assert row["images"] == plain["images"]


def test_the_validator_holds_paraphrased_rows_to_values_and_boxes(rows):
    found = Counter()
    for row in rows:
        asked = InvoiceQuery.of(json.loads(row["truth"])["asked"][-1])
        faults = invoice_qa.faults(with_answer(row, exchanges(row)[-1].answer + " 7"))
        if is_free(asked):
            assert faults == ["the paraphrase puts a number into an answer"]
        else:
            assert "is none of" in faults[0]
        found["value" if is_free(asked) else "fixed"] += 1
    assert set(found) == {"value", "fixed"}
    assert any(
        "does not ask for" in fault for row in rows for fault in invoice_qa.faults(with_truth(row, paraphrased=False))
    )


def test_the_request_gives_bare_values_where_a_sentence_is_wanted():
    asking = [
        (TOTAL, Exchange("Quanto é?", "O total a pagar é 12,40 €.")),
        (BOX, Exchange("Onde está o nome do vendedor?", "[…]")),
    ]
    first, second = json.loads(write_request(asking, FIELDS))
    assert first == {"pergunta": "Quanto é?", "resposta": "12,40 €", "reescrever_resposta": True}
    assert not second["reescrever_resposta"]


def test_the_prompt_is_filled_and_european_portuguese():
    (step,) = invoice_qa.STEPS
    slots = step.ask(random.Random("0 1"), 1, MATERIALS)
    prompt = read_prompt(invoice_qa.NAME, step.name).substitute(slots)
    assert f"lista JSON de {slots['count']} objetos" in prompt
    assert len(json.loads(slots["exchanges"])) == int(slots["count"])
    assert judge(prompt).is_pt_pt


def read(question, answer):
    text = json.dumps([{"pergunta": question, "resposta": answer}])
    return read_paraphrase(text, [(ALONE, Exchange("Qual é a data de emissão?", "03/05/2021"))], FIELDS, BOXES)


def test_a_build_asks_a_server_and_rejects_what_is_not_as_asked(tmp_path):
    def say(text, count):
        given = json.loads(text[text.index("[\n {") : text.index("\n]\n") + 2])
        said = json.dumps(rewrite(given), ensure_ascii=False)
        return Fault(body=completion(f"Claro! {said}" if len(given) == 2 else said))

    with ModelServer(script=say) as server:
        made = build(BuildRecipe("invoice-qa", 12, 0, endpoint=Endpoint(server.url, "amalia")), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "data").to_pylist()
    assert made.rejected == {"the paraphrase is no JSON": 12 - len(rows)}
    assert 0 < len(rows) < 12
    assert all(len(exchanges(row)) > 2 and json.loads(row["truth"])["paraphrased"] for row in rows)


def test_the_form_is_strict():
    assert read("Em que dia foi emitida?", "03/05/2021") == [("Em que dia foi emitida?", "03/05/2021")]
    one = [(ALONE, Exchange("Qual é a data de emissão?", "03/05/2021"))]
    for text, reason in (
        ("Claro! []", "is no JSON"),
        ("```json\n[]\n```", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("{}", "not one exchange for each"),
        ("[]", "not one exchange for each"),
        ('["Em que dia?"]', "has other keys"),
        ('[{"pergunta": "Em que dia?"}]', "has other keys"),
        ('[{"pergunta": "Em que dia?", "resposta": "03/05/2021", "nota": ""}]', "has other keys"),
        ('[{"pergunta": "", "resposta": "03/05/2021"}]', "an empty or endless turn"),
        ('[{"pergunta": " Em que dia?", "resposta": "03/05/2021"}]', "an empty or endless turn"),
        ('[{"pergunta": "Em que dia?", "resposta": 3}]', "an empty or endless turn"),
        (json.dumps([{"pergunta": "a" * 501, "resposta": "03/05/2021"}]), "an empty or endless turn"),
    ):
        with pytest.raises(RejectedError, match=reason):
            read_paraphrase(text, one, FIELDS, BOXES)


def test_what_must_stay_stays():
    with pytest.raises(RejectedError, match="changes an answer that must stay: 3 de maio"):
        read("Em que dia foi emitida?", "3 de maio")
    with pytest.raises(RejectedError, match="puts a number into a question: É 03/05/2021 a data"):
        read("É 03/05/2021 a data?", "03/05/2021")
    with pytest.raises(RejectedError, match="the paraphrase is not European Portuguese"):
        read("Você pode me dizer em que dia o usuário pegou o ônibus na tela?", "03/05/2021")


@pytest.mark.parametrize(
    ("asked", "question", "answer", "reason"),
    [
        (TOTAL, "Quanto se paga?", "Paga-se 12,40 €, ao todo.", None),
        (TOTAL, "Quanto se paga?", "Paga-se 12.40 €, ao todo.", "does not give the value as it is printed"),
        (TOTAL, "Quanto se paga?", "Paga-se 12,40 €, sim, 12,40 €.", "does not give the value as it is printed"),
        (TOTAL, "Quanto se paga?", "Paga-se 12,40 € a 3 dias.", "puts a number into an answer"),
        (TOTAL, "Quanto se paga?", "12,40 €.", "makes no sentence of a value"),
        (TOTAL, "Quanto se paga em 3 dias?", "Paga-se 12,40 €.", "puts a number into a question"),
        (TOTAL, "Paga-se 12,40 €?", "Sim, 12,40 €, ao todo.", "gives the answer in the question"),
        (TOTAL, f"Quanto se paga em {REGION}?", "Paga-se 12,40 €.", "changes the box of a question"),
        (TOTAL, "Quanto <image> é?", "Paga-se 12,40 €.", "has marks that are no text"),
        (TOTAL, "Quanto se\npaga?", "Paga-se 12,40 €.", "has marks that are no text"),
        (TOTAL, "Quanto se paga?", "Paga-se\t12,40 €.", "has marks that are no text"),
        (TOTAL, "Qual é o valor do IVA?", "Paga-se 12,40 €.", "asks for another field"),
        (TOTAL, "Quanto se paga?", "O valor do IVA é 12,40 €.", "names another field in an answer"),
        (TOTAL, "Qual é o total a pagar?", "O total a pagar são 12,40 €.", None),
        (BOX, "Em que sítio se lê o nome do vendedor?", "[…]", None),
        (BOX, "Onde estão o nome do vendedor e o IBAN para pagamento?", "[…]", "asks for another field"),
        (BOX, "Em que sítio se lê quem vende?", "[…]", "asks for another field"),
        (REJECTION, AT_TOTAL, "Não, lê-se a data de emissão, 03/05/2021.", None),
        (REJECTION, AT_TOTAL, "Sim, é a data de emissão, 03/05/2021.", "another verdict"),
        (REJECTION, AT_TOTAL, "Não, lê-se lá 03/05/2021.", "another verdict"),
        (REJECTION, AT_TOTAL, "Não, lê-se a data de emissão.", "does not give the value"),
        (REJECTION, f"Em {REGION}, é o total?", "Não, é a data de emissão, 03/05/2021.", "asks for another field"),
        (REJECTION, "Aí lê-se o total a pagar?", "Não, lê-se a data de emissão, 03/05/2021.", "changes the box"),
        (CONFIRMATION, AT_NUMBER, "Sim, o número da fatura FT 2021/7.", None),
        (CONFIRMATION, f"Em {REGION}, o número da fatura?", "Sim, o número da fatura FT 2021/7.", "changes the box"),
        (CONFIRMATION, AT_NUMBER, "Não, o número da fatura FT 2021/7.", "another verdict"),
    ],
)
def test_a_paraphrase_that_loses_something_is_found(asked, question, answer, reason):
    found = paraphrase_faults(asked, Exchange(question, answer), FIELDS, BOXES)
    if reason is None:
        assert found == []
    else:
        assert any(reason in fault for fault in found)


def test_our_own_wordings_are_paraphrases_of_one_another():
    fields = {name: f"X-{name}" for name in NOUNS}
    boxes = {name: (0.1, 0.02 * place, 0.3, 0.02 * place + 0.01) for place, name in enumerate(NOUNS)}
    for name in NOUNS:
        other = "iban" if name != "iban" else "total"
        for asked in (
            InvoiceQuery("extraction", (name,)),
            InvoiceQuery("box", (name,)),
            InvoiceQuery("confirmation", (name,), name),
            InvoiceQuery("rejection", (name,), other),
            InvoiceQuery("fields", (name, other), kind="plain"),
        ):
            for question in bodies(asked, boxes):
                for answer in answers(asked, fields, boxes):
                    assert paraphrase_faults(asked, Exchange(question, answer), fields, boxes) == []


def test_several_fields_are_named_in_their_order():
    asked = InvoiceQuery("fields", ("total", "date"), kind="json")
    assert paraphrase_faults(asked, Exchange("Dá-me o total a pagar e a data de emissão.", "{}"), FIELDS, BOXES) == []
    assert paraphrase_faults(asked, Exchange("Dá-me a data de emissão e o total a pagar.", "{}"), FIELDS, BOXES) == [
        "the paraphrase asks for another field"
    ]
