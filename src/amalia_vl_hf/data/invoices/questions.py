"""What is asked about an invoice, in which words, and what may be answered: fields, boxes, and regions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ..answer_formats import AnswerFormat, request, write
from .typeset import BOX_DIGITS, FieldBox

InvoiceTask = Literal["extraction", "fields", "box", "confirmation", "rejection"]

NOUNS = {
    "title": "o título do documento",
    "number": "o número da fatura",
    "order": "o número da nota de encomenda",
    "date": "a data de emissão",
    "due": "a data de vencimento",
    "seller": "o nome do vendedor",
    "seller_address": "a morada do vendedor",
    "seller_nif": "o NIF do vendedor",
    "seller_email": "o endereço de correio eletrónico do vendedor",
    "seller_site": "o sítio do vendedor na Internet",
    "buyer": "o nome do comprador",
    "buyer_address": "a morada do comprador",
    "buyer_nif": "o NIF do comprador",
    "buyer_block": "o bloco com os dados do comprador",
    "recipient": "o nome de quem recebe a encomenda",
    "delivery_address": "a morada de entrega",
    "delivery_block": "o bloco com os dados de entrega",
    "subtotal": "o subtotal",
    "discount": "o valor do desconto",
    "tax": "o valor do IVA",
    "levy": "o valor do imposto",
    "total": "o total a pagar",
    "words": "o total por extenso",
    "iban": "o IBAN para pagamento",
}
BLOCKS = frozenset({"buyer_block", "delivery_block"})  # several fields; nobody asks for the value of one

QUESTIONS = (
    "Qual é {noun}?",
    "Indica {noun}.",
    "Diz-me {noun} que está na fatura.",
    "Extrai {noun} desta fatura.",
    "Lê a fatura e escreve {noun}.",
    "Na fatura da imagem, qual é {noun}?",
    "Preciso de saber {noun}. Podes ver na fatura?",
)
OWN_QUESTIONS = {
    "seller": ("Quem emitiu esta fatura?", "Que empresa vendeu os artigos?", "Quem é o fornecedor?"),
    "seller_address": ("Onde fica quem emitiu a fatura?", "Em que morada está o fornecedor?"),
    "buyer": ("A quem foi passada a fatura?", "Quem é o cliente?", "Em nome de quem está a fatura?"),
    "buyer_address": ("Qual é a morada do cliente?", "Onde mora ou está sediado o cliente?"),
    "recipient": ("A quem se entrega a encomenda?",),
    "delivery_address": ("Onde se entrega a encomenda?",),
    "number": ("Como está numerada esta fatura?", "Que número tem esta fatura?"),
    "date": ("Quando foi emitida a fatura?", "Em que dia foi passada a fatura?"),
    "due": ("Até quando se pode pagar a fatura?", "Em que dia vence a fatura?"),
    "subtotal": ("Quanto dá a fatura antes do imposto?",),
    "discount": ("Quanto se desconta nesta fatura?",),
    "tax": ("Quanto se paga de IVA?", "A quanto monta o IVA?"),
    "levy": ("Quanto se paga de imposto?",),
    "total": ("Quanto há a pagar, ao todo?", "Qual é o valor total da fatura?", "Quanto custa tudo?"),
    "words": ("Como está escrito o total por extenso?",),
    "iban": ("Para que IBAN se paga a fatura?", "Para que conta se faz a transferência?"),
}
SENTENCES = (
    "{Noun} é {value}.",
    "Nesta fatura, {noun} é {value}.",
    "De acordo com a fatura, {noun} é {value}.",
)
OWN_SENTENCES = {
    "seller": ("A fatura foi emitida por {value}.",),
    "buyer": ("A fatura foi passada a {value}.", "A fatura está em nome de {value}."),
    "number": ("A fatura tem o número {value}.",),
    "date": ("A fatura foi emitida em {value}.",),
    "due": ("A fatura vence em {value}.",),
    "discount": ("O desconto é de {value}.",),
    "tax": ("O IVA é de {value}.",),
    "levy": ("O imposto é de {value}.",),
    "total": ("Ao todo, há a pagar {value}.",),
    "iban": ("O pagamento faz-se para o IBAN {value}.",),
}
VALUE_ALONE = "Responde apenas com o valor."
FIELDS_QUESTIONS = (
    "Extrai da fatura, por esta ordem: {nouns}.",
    "Indica, por esta ordem, {nouns}.",
    "Lê na fatura {nouns}. Mantém esta ordem na resposta.",
)
BOX_QUESTIONS = (
    "Onde está {noun}?",
    "Localiza {noun} na fatura.",
    "Dá a caixa delimitadora que contém {noun}.",
    "Em que zona da imagem se lê {noun}?",
    "Marca na imagem {noun}.",
)
BOX_REQUESTS = (
    "Responde com a caixa [x0, y0, x1, y1], em valores de 0 a 1.",
    "Usa o formato [x0, y0, x1, y1], com coordenadas entre 0 e 1.",
)
REGION_QUESTIONS = (
    "A região {box} contém {noun}?",
    "Na região {box} da fatura está {noun}?",
    "O que se lê em {box} é {noun}?",
    "Confirma se a caixa {box} contém {noun}.",
)
CONFIRMED = (
    "Sim, é aí que está {noun}: {value}.",
    "Sim. O que lá está é {noun}: {value}.",
    "Sim. O que se lê nessa zona é {noun}: {value}.",
)
REJECTED = (
    "Não. O que está nessa região é {there}, {value}, e não {noun}.",
    "Não. Nessa zona não se lê {noun}, mas sim {there}: {value}.",
    "Não. Essa região não contém {noun}: o que aí se lê é {there}, {value}.",
)
_NUMBER = rf"\d\.\d{{{BOX_DIGITS}}}"
BOX = re.compile(rf"\[({_NUMBER}), ({_NUMBER}), ({_NUMBER}), ({_NUMBER})\]")


class InvoiceQuery(NamedTuple):
    """One question about an invoice.

    Args:
        task: Which kind.
        names: The fields it names; one but for `"fields"`.
        there: The field whose box it shows, of a confirmation or rejection.
        kind: Format of the answer, of `"fields"`.
        alone: Whether the answer is the value and nothing else.
    """

    task: InvoiceTask
    names: tuple[str, ...]
    there: str | None = None
    kind: AnswerFormat | None = None
    alone: bool = False

    @property
    def field(self) -> str:
        """Name the first field."""
        return self.names[0]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> InvoiceQuery:
        """Read what `_asdict` wrote, back from JSON."""
        return cls(**{**record, "names": tuple(record["names"])})


def bodies(query: InvoiceQuery, boxes: Mapping[str, FieldBox]) -> list[str]:
    """List the ways to ask, without what is said of the answer's form."""
    noun = NOUNS[query.field]
    if query.task == "extraction":
        wordings = QUESTIONS + OWN_QUESTIONS.get(query.field, ())
        return [wording.format(noun=noun) for wording in wordings]
    if query.task == "fields":
        *nouns, last = (NOUNS[name] for name in query.names)
        return [wording.format(nouns=f"{', '.join(nouns)} e {last}") for wording in FIELDS_QUESTIONS]
    if query.task == "box":
        return [wording.format(noun=noun) for wording in BOX_QUESTIONS]
    shown = write_box(boxes[query.there or query.field])
    return [wording.format(noun=noun, box=shown) for wording in REGION_QUESTIONS]


def endings(query: InvoiceQuery) -> tuple[str, ...]:
    """List the ways to say what form the answer should have; one that is empty says nothing."""
    if query.task == "extraction":
        return (VALUE_ALONE if query.alone else "",)
    if query.task == "fields":
        return (request([key(name) for name in query.names], query.kind or "plain"),)
    return BOX_REQUESTS if query.task == "box" else ("",)


def answers(query: InvoiceQuery, fields: Mapping[str, str], boxes: Mapping[str, FieldBox]) -> list[str]:
    """List the ways to answer."""
    noun = NOUNS[query.field]
    if query.task == "box":
        return [write_box(boxes[query.field])]
    if query.task == "fields":
        return [write({key(name): fields[name] for name in query.names}, query.kind or "plain")]
    if query.task == "extraction":
        if query.alone:
            return [fields[query.field]]
        wordings = SENTENCES + OWN_SENTENCES.get(query.field, ())
        return [_filled(wording, noun=noun, value=fields[query.field]) for wording in wordings]
    there = query.there or query.field
    wordings = REJECTED if query.task == "rejection" else CONFIRMED
    return [_filled(wording, noun=noun, there=NOUNS[there], value=fields[there]) for wording in wordings]


def key(name: str) -> str:
    """Name a field in JSON, Markdown or tags.

    >>> key("seller_address")
    'morada_do_vendedor'
    """
    return NOUNS[name].split(" ", 1)[1].replace(" ", "_")


def write_box(box: Sequence[float]) -> str:
    """Write a box as the paper does.

    >>> write_box((0, 0.25, 1, 0.3))
    '[0.000, 0.250, 1.000, 0.300]'
    """
    return "[" + ", ".join(f"{share:.{BOX_DIGITS}f}" for share in box) + "]"


def _filled(wording: str, **gaps: str) -> str:
    """Fill a sentence; a value that ends in a full stop, such as «Lda.», brings the sentence's own."""
    noun = gaps["noun"]
    text = wording.format(Noun=noun[0].upper() + noun[1:], **gaps)
    return text[:-1] if text.endswith("..") else text
