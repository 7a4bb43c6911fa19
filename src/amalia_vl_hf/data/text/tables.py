"""Documents in rows: menus, timetables, price lists, forms that are filled in, labels, tickets, opening hours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date as Day
from functools import partial
from typing import NamedTuple

from . import words
from .sheet import WHITE, Desk, InkPiece, Look, Sheet, fit, length
from .words import clock, money, phone, price, town, woman_or_man

_HOUSES = (
    "Tasca do Adro", "O Cantinho da Avó", "Restaurante A Ponte", "Adega do Ferreiro", "Casa das Enguias", "O Moinho",
    "Taberna da Rita", "Mar à Vista", "Cervejaria Farol", "Solar dos Amigos", "A Tia Aurora", "Quinta do Loureiro",
    "Café Central", "O Pátio", "Marisqueira do Cais", "Pastelaria Flor do Minho",
)  # fmt: skip
_GROCERS = ("Mercearia da Praça", "Casa Simões", "Minimercado do Largo", "Cooperativa da Serra", "Mercado do Bairro",
            "Mercearia Ideal")  # fmt: skip
_STORES = ("Drogaria Moderna", "Loja do Bairro", "Bazar Central", "Casa Confiança", "Armazém do Largo")
# Up to the ninth year and from the tenth on.
_CLASSES = (
    ("Português", "Matemática", "Inglês", "Ciências Naturais", "História", "Geografia", "Educação Física", "Francês",
     "Físico-Química", "Educação Visual", "Educação Musical", "TIC", "Cidadania"),
    ("Português", "Matemática A", "Inglês", "Filosofia", "Educação Física", "Física e Química A", "Geografia A",
     "Biologia e Geologia", "História A", "Economia A", "Desenho A", "Literatura"),
)  # fmt: skip
_ROOMS = (
    "Biblioteca", "Secretaria", "Ginásio", "Piscina", "Museu", "Farmácia", "Estação dos correios",
    "Posto de turismo", "Mercado", "Centro de saúde", "Cantina", "Ludoteca", "Oficina", "Padaria",
)  # fmt: skip
# What a woman and a man say of themselves.
_OWN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Profissão": (
        ("professora", "eletricista", "enfermeira", "advogada", "motorista", "cozinheira", "jornalista", "estudante",
         "reformada", "costureira", "engenheira", "bibliotecária"),
        ("professor", "eletricista", "enfermeiro", "carpinteiro", "motorista", "agricultor", "jornalista", "estudante",
         "reformado", "pescador", "engenheiro", "bibliotecário"),
    ),
    "Estado civil": (("solteira", "casada", "divorciada", "viúva"), ("solteiro", "casado", "divorciado", "viúvo")),
}  # fmt: skip
_REASONS = (
    "mudança de morada", "extravio do cartão", "primeira inscrição", "renovação", "alteração do nome", "reembolso",
    "pedido de segunda via", "transferência de escola",
)  # fmt: skip
_REMARKS = ("só de manhã", "entregar em mão", "telefonar depois das 18h00", "tem cadeira de rodas", "sem observações",
            "juntar fotografia", "já tinha ficha", "responder por carta")  # fmt: skip
_CONTACT, _KINSHIP = "Pessoa a contactar", "Grau de parentesco"  # the second is of the first
_FIELDS: dict[str, Callable[[Desk], str]] = {
    "Data de nascimento": lambda desk: _numeric(desk, 1945, 2008),
    "Morada": lambda desk: f"{desk.rng.choice(words.STREETS)}, {desk.rng.randint(2, 180)}",
    "Código postal e localidade": lambda desk: town(desk.rng),
    "Telefone": lambda desk: phone(desk.rng),
    "Naturalidade": lambda desk: desk.rng.choice(words.PLACES),
    "Nome da mãe": lambda desk: f"{desk.rng.choice(words.WOMEN)} {desk.rng.choice(words.SURNAMES)}",
    "Número de utente": lambda desk: "".join(desk.rng.choice("123456789") for _ in range(9)),
    "Data do pedido": lambda desk: _numeric(desk, 2021, 2027),
    "Habilitações": lambda desk: desk.rng.choice(("9.º ano", "12.º ano", "licenciatura", "mestrado", "4.ª classe")),
    "Motivo": lambda desk: desk.rng.choice(_REASONS),
    "Observações": lambda desk: desk.rng.choice(_REMARKS),
    "Matrícula do veículo": lambda desk: _plate(desk),
    "Alergias": lambda desk: desk.rng.choice(("nenhuma", "amendoim", "penicilina", "pó", "marisco")),
}
# What a woman and a man may be to whoever gives their names.
_KIN = (("mãe", "irmã", "tia", "avó", "filha", "prima"), ("pai", "irmão", "tio", "avô", "filho", "primo"))
_ALWAYS = ("Nome completo", "Morada", "Código postal e localidade", "Telefone", "Data do pedido", "Observações")
_SCHOOL = ("Nome do pai", "Nome da mãe", "Data de nascimento", "Naturalidade", "Alergias", _CONTACT, _KINSHIP)
_LIFE = ("Data de nascimento", "Naturalidade", "Estado civil", "Profissão")
# What forms ask for, beside what all do.
_FORMS: dict[str, tuple[str, ...]] = {
    "Ficha de inscrição": (*_SCHOOL, "Habilitações"),
    "Requerimento": (*_LIFE, "Habilitações", "Motivo"),
    "Boletim de matrícula": (*_SCHOOL, "Número de utente"),
    "Pedido de cartão de leitor": (*_LIFE, "Habilitações", "Motivo"),
    "Ficha de utente": (*_LIFE, "Número de utente", "Alergias", _CONTACT, _KINSHIP),
    "Declaração": (*_LIFE, "Nome do pai", "Nome da mãe", "Motivo"),
    "Ficha de sócio": (*_LIFE, "Habilitações", _CONTACT, _KINSHIP),
    "Pedido de estacionamento": ("Matrícula do veículo", "Profissão", "Motivo"),
    "Registo de visitante": ("Matrícula do veículo", "Profissão", "Naturalidade"),
}
_SHORT_DAYS = ("segunda", "terça", "quarta", "quinta", "sexta", "sábado", "domingo")


class _Food(NamedTuple):
    """What a food's label says; least and most of its fat, carbohydrates and protein, in tenths of a gram a 100 g."""

    ingredients: str
    nutrients: tuple[tuple[int, int], ...]
    measure: str = "Peso líquido"
    unit: str = "g"


_NUTRIENTS = ("Lípidos", "Hidratos de carbono", "Proteínas")
# Nutrients are what such food has, rounded; ours.
_FOODS = {
    "Bolachas de aveia": _Food(
        "farinha de trigo, flocos de aveia (28 %), açúcar, óleo de girassol, sal, levedantes",
        ((140, 200), (620, 680), (60, 90)),
    ),
    "Doce de abóbora": _Food(
        "abóbora (55 %), açúcar, sumo de limão, canela",
        ((1, 4), (500, 600), (3, 8)),
    ),
    "Atum em azeite": _Food(
        "atum (65 %), azeite (34 %), sal",
        ((100, 200), (0, 5), (230, 270)),
    ),
    "Iogurte natural": _Food(
        "leite meio-gordo, fermentos lácteos",
        ((15, 35), (40, 60), (35, 50)),
    ),
    "Broa de milho": _Food(
        "farinha de milho (52 %), farinha de centeio, água, sal, fermento de padeiro",
        ((15, 35), (400, 500), (50, 80)),
    ),
    "Chouriço de vinho": _Food(
        "carne de porco, vinho tinto (8 %), alho, sal, louro, colorau",
        ((280, 380), (5, 20), (200, 260)),
    ),
    "Sopa de legumes": _Food(
        "água, batata, cenoura, couve-lombarda, cebola, azeite (2 %), sal",
        ((10, 25), (40, 80), (8, 20)),
    ),
    "Queijo curado": _Food(
        "leite de ovelha cru, sal, flor de cardo",
        ((300, 360), (2, 15), (220, 270)),
    ),
    "Granola com mel": _Food(
        "flocos de aveia, mel (14 %), amêndoa (9 %), sementes de abóbora, passas, óleo de coco",
        ((140, 220), (520, 620), (90, 130)),
    ),
    "Pasta de azeitona": _Food(
        "azeitona preta (82 %), azeite, alho, orégãos, sal",
        ((160, 280), (20, 60), (10, 20)),
    ),
    "Tarte de amêndoa": _Food(
        "ovos, açúcar, amêndoa (30 %), farinha de trigo, manteiga, raspa de laranja",
        ((180, 260), (400, 500), (60, 90)),
    ),
    "Néctar de pêssego": _Food(
        "água, polpa de pêssego (45 %), açúcar, sumo de limão concentrado",
        ((0, 2), (100, 140), (2, 6)),
        "Volume líquido",
        "ml",
    ),
}
_SHOWS = ("Auto da Barca do Inferno", "A Menina do Mar", "O Lago dos Cisnes", "Noite de Fado", "Concerto de Ano Novo",
          "Falar Verdade a Mentir", "Um Violino no Telhado", "Cinema ao Ar Livre", "Dança Contemporânea", "Os Maias",
          "A Castro", "Coro e Orquestra", "Stand-up de Inverno", "Contos de Natal")  # fmt: skip
_VENUES = ("Teatro Municipal", "Cineteatro", "Auditório da Vila", "Casa da Música", "Coliseu", "Sala dos Espelhos",
           "Convento do Carmo", "Pavilhão Multiusos")  # fmt: skip


def menu(desk: Desk) -> Sheet:
    """A menu: courses, dishes, prices at the right."""
    rng, sheet, margin = desk.rng, *_paper(desk, 520, 680)
    width, top = sheet.width - 2 * margin, margin
    house, look = rng.choice(_HOUSES), desk.body(20, 23)
    top = sheet.write(house, fit(house, desk.heading(40), width), top, margin, width, "center") + 8
    courses = {"Entradas": words.STARTERS, "Pratos": words.MAINS, "Sobremesas": words.SWEETS, "Bebidas": words.DRINKS}
    for course in sorted(rng.sample(list(courses), rng.randint(2, 4)), key=list(courses).index):
        top = sheet.write(course, Look(desk.bold, 26, desk.accent), top + 12, margin, width)
        for ware in rng.sample(courses[course], rng.randint(2, 5)):
            top = _priced(sheet, ware.name, money(price(ware, rng)), look, top, margin)
    sheet.cut(top + margin)
    if desk.chance(0.4):
        sheet.frame(desk.accent, 3)
    return sheet


def price_list(desk: Desk) -> Sheet:
    """What a shop asks, by kilogram, litre or piece."""
    rng, sheet, margin = desk.rng, *_paper(desk, 520, 660)
    width, look = sheet.width - 2 * margin, desk.body(20, 24)
    shops, wares = rng.choice(((_GROCERS, words.GROCERIES), (_GROCERS, words.GROCERIES), (_STORES, words.HOUSEHOLD)))
    shop = rng.choice(shops)
    top = sheet.write(shop, fit(shop, desk.heading(36), width), margin, margin, width, "center")
    top = sheet.write(
        f"Preços de {rng.randint(2, 28)} de {rng.choice(words.MONTHS)}", look, top, margin, width, "center"
    )
    for ware in rng.sample(wares, rng.randint(5, 11)):
        per = "" if ware.unit == "un." else f"/{ware.unit}"
        name = ware.name[0].upper() + ware.name[1:]
        top = _priced(sheet, name, f"{money(price(ware, rng))}{per}", look, top + 4, margin)
    sheet.cut(top + margin)
    return sheet


def timetable(desk: Desk) -> Sheet:
    """Trains of a line: stations down, trains across, each later at each station."""
    rng, (line, stops) = desk.rng, desk.rng.choice(words.RAILWAYS)
    first = rng.randint(0, len(stops) - 4)
    chosen = stops[first : first + rng.randint(4, 9)]
    starts = sorted(rng.sample(range(5 * 12, 22 * 12), rng.randint(2, 4)))
    rows, passed = [], 0
    for number, (station, minutes) in enumerate(chosen):
        passed += minutes if number else 0
        rows.append([station, *(clock(5 * start + passed, ":") for start in starts)])
    heads = ["Estação", *(f"{rng.choice(('IC', 'R', 'IR'))} {rng.randint(100, 999)}" for _ in starts)]
    return _grid(desk, line, heads, rows, 290)


def lessons(desk: Desk) -> Sheet:
    """The lessons of a class from Monday on, two hours at a time."""
    rng = desk.rng
    days = list(_SHORT_DAYS[: rng.randint(2, 3)])
    hours = [8 * 60 + 15 + 105 * number for number in range(rng.randint(3, 5))]
    year = rng.randint(7, 11)
    rows = [[clock(hour), *(rng.choice(_CLASSES[year > 9]) for _ in days)] for hour in hours]
    title = f"Horário do {year}.º {rng.choice('ABCDE')}"
    return _grid(desk, title, ["Hora", *days], rows, 110)


def opening_hours(desk: Desk) -> Sheet:
    """When something is open, day by day."""
    rng = desk.rng
    opens, shuts = rng.randint(14, 20) * 30, rng.randint(34, 42) * 30
    rows = []
    for day in _SHORT_DAYS[: rng.randint(5, 7)]:
        late = shuts - 180 if day == "sábado" else shuts
        rows.append([day, "encerrado" if day == "domingo" else f"{clock(opens)}–{clock(late)}"])
    title = f"{rng.choice(_ROOMS)} de {rng.choice(words.PLACES)}"
    return _grid(desk, title, ["Dia", "Horário"], rows, 200)


def form(desk: Desk) -> Sheet:
    """A form that is filled in by hand, field by field."""
    rng, look, pen = desk.rng, desk.body(18, 20), desk.pen(26, 31)
    sheet, margin = Sheet(rng.randint(700, 820), desk.paper), 44
    width, title = sheet.width - 2 * margin, rng.choice(list(_FORMS))
    top = sheet.write(title, fit(title, desk.heading(32), width), margin, margin, width) + 10
    boxed, signed, contact = desk.chance(0.5), woman_or_man(rng), woman_or_man(rng)
    father = f"{rng.choice(words.MEN)} {signed.split()[-1]}"
    fields: dict[str, Callable[[Desk], str]] = {"Nome completo": lambda _: signed, **_FIELDS}
    fields |= {"Nome do pai": lambda _: father, _CONTACT: lambda _: contact}
    fields |= {_KINSHIP: partial(_own, _KIN[contact.split()[0] in words.MEN])}
    fields |= {name: partial(_own, _OWN[name][signed.split()[0] in words.MEN]) for name in _OWN}
    chosen = set(rng.sample((*_ALWAYS, *_FORMS[title]), rng.randint(4, 8)))
    chosen |= {_CONTACT} if _KINSHIP in chosen else set()
    for name in (name for name in fields if name in chosen):
        value, label = fields[name](desk), f"{name}:"
        left = margin + length(label, look) + 22
        written = fit(value, pen, margin + width - left - 8)
        foot = sheet.row([InkPiece(label, look, margin), InkPiece(value, written, left)], top, glue=" ", leading=1.7)
        if boxed:
            sheet.canvas.rectangle((margin - 10, top - 5, margin + width, foot - 5), outline=(170, 170, 170))
        else:
            sheet.rule(foot - 5, left - 6, margin + width, (140, 140, 140))
        top = foot
    left = margin + length("Assinatura:", look) + 22
    top = sheet.row([InkPiece("Assinatura:", look, margin), InkPiece(signed, pen, left)], top + 16, glue=" ")
    sheet.cut(top + margin)
    return sheet


def label(desk: Desk) -> Sheet:
    """A food's label: name, ingredients, nutrients, weight, lot, best before."""
    rng, look = desk.rng, desk.body(18, 20)
    sheet, margin = Sheet(rng.randint(440, 580), desk.paper), 32
    width, name = sheet.width - 2 * margin, rng.choice(list(_FOODS))
    food = _FOODS[name]
    sheet.canvas.rectangle((0, 0, sheet.width, 70), fill=desk.accent)
    sheet.write(name, fit(name, Look(desk.bold, 36, WHITE), width), 12, margin, width, "center")
    top = sheet.write(f"Ingredientes: {food.ingredients}.", look, 86, margin, width)
    if desk.chance(0.7):
        tenths = [rng.randint(least, most) for least, most in food.nutrients]
        rows = [("Valor energético", _energy(tenths)), *zip(_NUTRIENTS, map(_grams, tenths), strict=True)]
        for nutrient, amount in rows:
            top = sheet.row([InkPiece(nutrient, look, margin), _right(amount, look, margin, width)], top + 3)
    top = sheet.write(f"{food.measure}: {rng.randrange(100, 1001, 25)} {food.unit}", look, top + 8, margin, width)
    top = sheet.write(f"Lote: L{rng.randint(10000, 99999)}", look, top, margin, width)
    top = sheet.write(f"Consumir de preferência antes de: {_numeric(desk, 2026, 2028)}", look, top, margin, width)
    if desk.chance(0.5):
        top = sheet.write(f"Produzido em {rng.choice(words.PLACES)}", look, top, margin, width)
    sheet.cut(top + margin)
    return sheet


def ticket(desk: Desk) -> Sheet:
    """A ticket for a show or a train, with a stub at its right that is read last."""
    rng, look = desk.rng, desk.body(18, 20)
    sheet = Sheet(rng.randint(660, 760), desk.paper)
    stub, margin = sheet.width - 190, 30
    width = stub - 2 * margin
    if desk.chance(0.5):
        title, where = rng.choice(_SHOWS), f"{rng.choice(_VENUES)} de {rng.choice(words.PLACES)}"
        hour = rng.randint(36, 44) * 30
        seat, cost = f"Fila {rng.choice('ABCDEFGHJK')}, lugar {rng.randint(1, 32)}", rng.randrange(500, 3001, 50)
    else:
        start, end = rng.sample(words.RAILS, 2)
        title, where = f"{start} – {end}", f"Comboio {rng.randint(110, 989)}"
        hour = rng.randint(72, 268) * 5
        seat, cost = f"Carruagem {rng.randint(1, 6)}, lugar {rng.randint(11, 98)}", rng.randrange(700, 3901, 5)
    day = _numeric(desk, 2024, 2027)
    when = f"{day}, {clock(hour)}"
    top = sheet.write(title, fit(title, desk.heading(32), width), margin, margin, width)
    for line in (where, when, seat):
        top = sheet.write(line, fit(line, look, width), top + 4, margin, width)
    top = sheet.write(f"Preço: {money(cost)}", look._replace(face=desk.bold), top + 6, margin, width)
    sheet.next_region()
    foot = margin
    for line in (f"N.º {rng.randint(100000, 999999)}", day, money(cost)):
        foot = sheet.write(line, look, foot, stub + 20, 150)
    for dash in range(0, top, 14):
        sheet.canvas.line((stub, dash, stub, dash + 7), fill=desk.accent, width=2)
    sheet.cut(top + margin)
    return sheet


def _paper(desk: Desk, least: int, most: int) -> tuple[Sheet, int]:
    return Sheet(desk.rng.randint(least, most), desk.paper), desk.rng.randint(36, 56)


def _priced(sheet: Sheet, name: str, amount: str, look: Look, top: int, margin: int) -> int:
    """Write a name, dots that are no text, and an amount at the right."""
    right = sheet.width - margin
    name_look = fit(name, look, right - margin - length(amount, look) - 30)
    foot = sheet.row([InkPiece(name, name_look, margin), InkPiece(amount, look, right, "right")], top)
    dots = range(margin + length(name, name_look) + 12, right - length(amount, look) - 10, 9)
    for left in dots:
        sheet.canvas.point((left, foot - round(0.45 * look.size)), fill=look.ink)
    return foot


def _grid(desk: Desk, title: str, heads: list[str], rows: list[list[str]], first: int) -> Sheet:
    """Draw a table: a title, a row of heads, rows, with rules between them or a shade on every other."""
    look = desk.body(19, 21)
    step = 26 + max(length(cell, look._replace(face=desk.bold)) for row in (heads, *rows) for cell in row[1:])
    first = 26 + max(first, *(length(row[0], look) for row in rows))
    sheet, margin = Sheet(max(first + step * (len(heads) - 1) + 2 * 36, 420), desk.paper), 36
    width, shaded = sheet.width - 2 * margin, desk.chance(0.5)
    top = sheet.write(title, fit(title, desk.heading(34), width), margin, margin, width) + 8
    lefts = [margin, *(margin + first + step * number for number in range(len(heads) - 1))]
    for number, row in enumerate((heads, *rows)):
        used = Look(desk.bold, look.size, WHITE) if number == 0 else look
        foot = top + round(1.75 * look.size)
        fill = desk.accent if number == 0 else (232, 236, 240) if shaded and number % 2 == 0 else desk.paper
        sheet.canvas.rectangle((margin - 12, top - 5, margin + width + 12, foot - 6), fill=fill)
        top = max(sheet.row([InkPiece(cell, used, left) for cell, left in zip(row, lefts, strict=True)], top), foot)
        if not shaded:
            sheet.rule(top - 6, margin - 12, margin + width + 12, (190, 190, 190))
    sheet.cut(top + margin)
    return sheet


def _right(text: str, look: Look, margin: int, width: int) -> InkPiece:
    return InkPiece(text, look, margin + width, "right")


def _energy(tenths: list[int]) -> str:
    """Work out the energy of fat, carbohydrates and protein (Regulation (EU) 1169/2011, annex XIV)."""
    fat, carbohydrates, protein = tenths
    joules, calories = 37 * fat + 17 * (carbohydrates + protein), 9 * fat + 4 * (carbohydrates + protein)
    return f"{round(joules / 10)} kJ / {round(calories / 10)} kcal"


def _grams(tenths: int) -> str:
    return f"{tenths // 10},{tenths % 10} g"


def _own(values: tuple[str, ...], desk: Desk) -> str:
    return desk.rng.choice(values)


def _numeric(desk: Desk, first: int, last: int) -> str:
    day = Day(desk.rng.randint(first, last), desk.rng.randint(1, 12), desk.rng.randint(1, 28))
    return desk.rng.choice((f"{day:%d/%m/%Y}", f"{day:%d-%m-%Y}"))


def _plate(desk: Desk) -> str:
    letters = "".join(desk.rng.choice("ABCDEFGHIJLMNOPQRSTUVXZ") for _ in range(4))
    return f"{letters[:2]}-{desk.rng.randint(10, 99)}-{letters[2:]}"
