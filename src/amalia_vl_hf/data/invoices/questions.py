"""What is asked about an invoice, in which words, and what may be answered: fields, boxes, and regions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ..answer_formats import AnswerFormat, request, write
from ..languages import ORDINALS

BOX_DIGITS = 3
# x0, y0, x1, y1 as shares of the picture's width and height, from its top left.
FieldBox = tuple[float, float, float, float]
InvoiceTask = Literal["extraction", "fields", "box", "confirmation", "rejection"]
DocumentWord = Literal["invoice", "receipt", "credit note"]

# What a document is called, with its article; an article that is joined to "de", "em" and the demonstratives.
WORDS: dict[DocumentWord, tuple[str, str]] = {
    "invoice": ("a", "fatura"),
    "receipt": ("o", "recibo"),
    "credit note": ("a", "nota de crédito"),
}
NOUNS = {
    "title": "o título do documento",
    "number": "o número {da}",
    "order": "o número da nota de encomenda",
    "settled": "a fatura liquidada",
    "corrected": "a fatura retificada",
    "reason": "o motivo da retificação",
    "date": "a data de emissão",
    "time": "a hora de emissão",
    "due": "a data de vencimento",
    "seller": "o nome do vendedor",
    "seller_address": "a morada do vendedor",
    "seller_nif": "o NIF do vendedor",
    "seller_email": "o endereço de correio eletrónico do vendedor",
    "seller_site": "o sítio do vendedor na Internet",
    "phone": "o telefone do vendedor",
    "buyer": "o nome do comprador",
    "buyer_address": "a morada do comprador",
    "buyer_nif": "o NIF do comprador",
    "buyer_block": "o bloco com os dados do comprador",
    "recipient": "o nome de quem recebe a encomenda",
    "delivery_address": "a morada de entrega",
    "delivery_block": "o bloco com os dados de entrega",
    "first_item": "a descrição do primeiro artigo",
    "first_value": "o montante do primeiro artigo",
    "last_item": "a descrição do último artigo",
    "last_value": "o montante do último artigo",
    "gross": "o total ilíquido",
    "subtotal": "o subtotal",
    "discount": "o valor do desconto",
    "net_reduced": "o valor tributável à taxa reduzida",
    "net_intermediate": "o valor tributável à taxa intermédia",
    "net_normal": "o valor tributável à taxa normal",
    "vat_reduced": "o IVA à taxa reduzida",
    "vat_intermediate": "o IVA à taxa intermédia",
    "vat_normal": "o IVA à taxa normal",
    "exemption": "o motivo da isenção de IVA",
    "tax": "o valor do IVA",
    "levy": "o valor do imposto",
    "total": "o total a pagar",
    "words": "o total por extenso",
    "method": "a forma de pagamento",
    "iban": "o IBAN para pagamento",
    "atcud": "o código ATCUD",
    "certificate": "o número do programa certificado",
}
TOTALS: dict[DocumentWord, str] = {"receipt": "o valor recebido", "credit note": "o total do crédito"}
BLOCKS = frozenset({"buyer_block", "delivery_block"})  # several fields; nobody asks for the value of one

QUESTIONS = (
    "Qual é {noun}?",
    "Indica {noun}.",
    "Diz-me {noun}, segundo {a}.",
    "Extrai {noun} {desta}.",
    "Lê {a} e escreve {noun}.",
    "{Na} da imagem, qual é {noun}?",
    "Preciso de saber {noun}. Podes ver {na}?",
    "Procura {na} {noun}.",
    "O que diz {a} sobre {noun}?",
    "Consegues ler {noun}?",
)
OWN_QUESTIONS = {
    "title": ("Que documento é este?", "Como se intitula o documento?"),
    "seller": ("Quem emitiu {esta}?", "Que empresa ou pessoa emitiu {esta}?", "Quem é o fornecedor?"),
    "seller_address": ("Onde fica quem emitiu {a}?", "Em que morada está o fornecedor?"),
    "seller_nif": ("Que NIF tem quem emitiu {a}?", "Qual é o número de contribuinte do fornecedor?"),
    "phone": ("Para que telefone se liga ao vendedor?",),
    "buyer": ("A quem foi passad{x} {a}?", "Quem é o cliente?", "Em nome de quem está {a}?"),
    "buyer_address": ("Qual é a morada do cliente?", "Onde mora ou está sediado o cliente?"),
    "buyer_nif": ("Com que número de contribuinte ficou {a}?", "Que NIF tem o cliente?"),
    "recipient": ("A quem se entrega a encomenda?",),
    "delivery_address": ("Onde se entrega a encomenda?",),
    "number": ("Como está numerad{x} {esta}?", "Que número tem {esta}?"),
    "date": ("Quando foi emitid{x} {a}?", "Em que dia foi passad{x} {a}?"),
    "time": ("A que horas foi emitid{x} {a}?",),
    "due": ("Até quando se pode pagar {a}?", "Em que dia vence {a}?"),
    "settled": ("Que fatura se paga com {esta}?",),
    "corrected": ("Que fatura se retifica com {esta}?",),
    "reason": ("Porque foi emitid{x} {esta}?",),
    "first_item": ("O que vem na primeira linha {da}?",),
    "first_value": ("Quanto custa o artigo da primeira linha?",),
    "last_item": ("O que vem na última linha {da}?",),
    "last_value": ("Quanto custa o artigo da última linha?",),
    "gross": ("Quanto se pagaria sem descontos?",),
    "subtotal": ("Quanto dá {a} antes do imposto?",),
    "discount": ("Quanto se desconta {nesta}?",),
    "tax": ("Quanto há de IVA?", "A quanto monta o IVA?"),
    "vat_reduced": ("Quanto há de IVA à taxa reduzida?",),
    "vat_intermediate": ("Quanto há de IVA à taxa intermédia?",),
    "vat_normal": ("Quanto há de IVA à taxa normal?",),
    "exemption": ("Porque é que não se cobra IVA?", "Com que fundamento há isenção de IVA?"),
    "levy": ("Quanto se paga de imposto?",),
    "total": ("A quanto monta {a}, ao todo?", "Qual é o valor total {da}?"),
    "words": ("Como está escrito o total por extenso?",),
    "method": ("Como foi feito o pagamento?", "De que forma se pagou?"),
    "iban": ("Para que IBAN se paga {a}?", "Para que conta se faz a transferência?"),
    "atcud": ("Que ATCUD tem {esta}?", "Qual é o ATCUD?"),
    "certificate": ("Que programa certificado processou {a}?",),
}
SENTENCES = (
    "{Noun} é {value}.",
    "{Nesta}, {noun} é {value}.",
    "De acordo com {a}, {noun} é {value}.",
    "Segundo {a}, {noun} é {value}.",
)
OWN_SENTENCES = {
    "seller": ("{A} foi emitid{x} por {value}.",),
    "buyer": ("{A} foi passad{x} a {value}.", "{A} está em nome de {value}."),
    "number": ("{A} tem o número {value}.",),
    "date": ("{A} foi emitid{x} em {value}.",),
    "time": ("{A} foi emitid{x} às {value}.",),
    "due": ("{A} vence em {value}.",),
    "discount": ("O desconto é de {value}.",),
    "tax": ("O IVA é de {value}.",),
    "levy": ("O imposto é de {value}.",),
    "total": ("Ao todo, são {value}.",),
    "iban": ("O pagamento faz-se para o IBAN {value}.",),
    "method": ("O pagamento fez-se assim: {value}.",),
    "corrected": ("{A} retifica a fatura {value}.",),
    "settled": ("{A} liquida a fatura {value}.",),
    "atcud": ("O ATCUD é {value}.",),
}
VALUE_ALONE = "Responde apenas com o valor."
FIELDS_QUESTIONS = (
    "Extrai {da}, por esta ordem: {nouns}.",
    "Indica, por esta ordem, {nouns}.",
    "Lê {na} {nouns}. Mantém esta ordem na resposta.",
)
BOX_QUESTIONS = (
    "Onde está {noun}?",
    "Localiza {noun} {na}.",
    "Dá a caixa delimitadora que contém {noun}.",
    "Em que zona da imagem se lê {noun}?",
    "Marca na imagem {noun}.",
    "Em que sítio {da} aparece {noun}?",
    "Aponta {noun}.",
)
BOX_REQUESTS = (
    "Responde com a caixa [x0, y0, x1, y1], em valores de 0 a 1.",
    "Usa o formato [x0, y0, x1, y1], com coordenadas entre 0 e 1.",
)
REGION_QUESTIONS = (
    "A região {box} contém {noun}?",
    "Na região {box} {da} está {noun}?",
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
ON_PAGE = "A caixa refere-se à {ordinal} página."  # of several pages, one a picture
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
        document: What is asked about.
        page: Number of the page, from 0, that boxes are of; None where there is one page.
    """

    task: InvoiceTask
    names: tuple[str, ...]
    there: str | None = None
    kind: AnswerFormat | None = None
    alone: bool = False
    document: DocumentWord = "invoice"
    page: int | None = None

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
    gaps = _words(query.document) | {"noun": noun(query.field, query.document)}
    if query.task == "extraction":
        wordings = QUESTIONS + OWN_QUESTIONS.get(query.field, ())
    elif query.task == "fields":
        *nouns, last = (noun(name, query.document) for name in query.names)
        wordings, gaps["nouns"] = FIELDS_QUESTIONS, f"{', '.join(nouns)} e {last}"
    elif query.task == "box":
        wordings = BOX_QUESTIONS
    else:
        wordings, gaps["box"] = REGION_QUESTIONS, write_box(boxes[query.there or query.field])
    return [wording.format(**gaps) for wording in wordings]


def endings(query: InvoiceQuery) -> tuple[str, ...]:
    """List the ways to say what form the answer should have, and of which page; one that is empty says nothing."""
    if query.task == "extraction":
        return (VALUE_ALONE if query.alone else "",)
    if query.task == "fields":
        return (request([key(name, query.document) for name in query.names], query.kind or "plain"),)
    page = "" if query.page is None else ON_PAGE.format(ordinal=ORDINALS["pt"][query.page])
    return tuple(f"{ending} {page}".strip() for ending in (BOX_REQUESTS if query.task == "box" else ("",)))


def answers(query: InvoiceQuery, fields: Mapping[str, str], boxes: Mapping[str, FieldBox]) -> list[str]:
    """List the ways to answer."""
    if query.task == "box":
        return [write_box(boxes[query.field])]
    if query.task == "fields":
        return [write({key(name, query.document): fields[name] for name in query.names}, query.kind or "plain")]
    if query.task == "extraction" and query.alone:
        return [fields[query.field]]
    there = query.field if query.task == "extraction" else query.there or query.field
    wordings = {
        "extraction": SENTENCES + OWN_SENTENCES.get(query.field, ()), "rejection": REJECTED, "confirmation": CONFIRMED,
    }[query.task]  # fmt: skip
    gaps = {"noun": noun(query.field, query.document), "there": noun(there, query.document), "value": fields[there]}
    return [_filled(wording, query.document, gaps) for wording in wordings]


def noun(name: str, document: DocumentWord) -> str:
    """Name a field, with its article.

    >>> noun("number", "receipt"), noun("total", "credit note")
    ('o número do recibo', 'o total do crédito')
    """
    if name == "total":
        return TOTALS.get(document, NOUNS[name])
    return NOUNS[name].format(**_words(document))


def key(name: str, document: DocumentWord = "invoice") -> str:
    """Name a field in JSON, Markdown or tags.

    >>> key("seller_address")
    'morada_do_vendedor'
    """
    return noun(name, document).split(" ", 1)[1].replace(" ", "_")


def write_box(box: Sequence[float]) -> str:
    """Write a box as the paper does.

    >>> write_box((0, 0.25, 1, 0.3))
    '[0.000, 0.250, 1.000, 0.300]'
    """
    return "[" + ", ".join(f"{share:.{BOX_DIGITS}f}" for share in box) + "]"


def _words(document: DocumentWord) -> dict[str, str]:
    """Give what a wording calls a document: its name with article and prepositions, and the ending of participles."""
    article, word = WORDS[document]
    this = {"a": "esta", "o": "este"}[article]
    gaps = {
        "a": f"{article} {word}", "da": f"d{article} {word}", "na": f"n{article} {word}", "esta": f"{this} {word}",
        "desta": f"d{this} {word}", "nesta": f"n{this} {word}",
    }  # fmt: skip
    return gaps | {name.capitalize(): capitalised(text) for name, text in gaps.items()} | {"x": article}


def capitalised(text: str) -> str:
    """Begin with a capital."""
    return text[0].upper() + text[1:]


def _filled(wording: str, document: DocumentWord, gaps: Mapping[str, str]) -> str:
    """Fill a sentence; a value that ends in a full stop, such as «Lda.», brings the sentence's own."""
    text = wording.format(Noun=capitalised(gaps["noun"]), **_words(document), **gaps)
    return text[:-1] if text.endswith("..") else text
