"""Signs where they hang: street plates, road signs, shop fronts, blackboards, price tags, a station's board."""

from __future__ import annotations

import random

from PIL import Image, ImageDraw

from . import words
from .sheet import WHITE, Desk, InkPiece, Look, Sheet, fit, length
from .text_pictures import Colour
from .words import clock, money, price

_TILE: Colour = (20, 60, 140)
_BLUE: Colour = (0, 70, 150)
_GREEN: Colour = (0, 92, 60)
_CHALK: Colour = (240, 240, 232)
_BOARD: Colour = (38, 50, 44)
_AWNINGS = (
    "Padaria", "Farmácia", "Livraria", "Sapataria", "Relojoaria", "Florista", "Talho", "Barbearia", "Ourivesaria",
    "Retrosaria", "Peixaria", "Lavandaria", "Papelaria", "Mercearia", "Drogaria", "Pastelaria", "Oficina", "Ótica",
)  # fmt: skip
_OWNERS = ("Central", "do Largo", "Ideal", "da Esquina", "da Estação", "Aurora", "Progresso", "do Cais", "Popular",
           "da Ponte", "Primavera", "Confiança", "do Jardim", "da Sé")  # fmt: skip
# Kilometres along motorways from where they begin, about.
_ROADS = (
    {
        "Santarém": 65,
        "Torres Novas": 94,
        "Fátima": 113,
        "Leiria": 129,
        "Pombal": 153,
        "Coimbra": 190,
        "Aveiro": 243,
        "Porto": 303,
    },
    {"Setúbal": 40, "Alcácer do Sal": 83, "Grândola": 115, "Castro Verde": 179, "Albufeira": 240, "Faro": 278},
    {"Montemor-o-Novo": 102, "Évora": 130, "Estremoz": 165, "Elvas": 205},
    {"Castro Daire": 34, "Lamego": 63, "Peso da Régua": 75, "Vila Real": 96, "Chaves": 160},
    {"Viseu": 85, "Mangualde": 100, "Celorico da Beira": 140, "Guarda": 165, "Vilar Formoso": 200},
    {"Vila do Conde": 25, "Póvoa de Varzim": 30, "Esposende": 47, "Viana do Castelo": 70, "Caminha": 92},
    {"Abrantes": 44, "Castelo Branco": 110, "Fundão": 156, "Covilhã": 172, "Guarda": 215},
)
# On a post beside a road or a path, and on a wall or a door.
_OUTSIDE = (
    "É proibido estacionar", "Não pisar a relva", "Propriedade privada", "Trânsito proibido a pesados", "Desvio",
    "Passagem de peões", "Perigo de derrocada", "Zona de banhos vigiada", "Água imprópria para beber",
    "Mantenha a direita", "Obras na via", "Paragem suprimida", "Atravesse na passadeira", "Abrandar, crianças",
    "Estacionamento para moradores", "Caça proibida", "Rua sem saída", "Caminho privado",
)  # fmt: skip
_INSIDE = (
    "Cuidado com o cão", "Saída de emergência", "Puxe", "Empurre", "Silêncio", "Entrada pela porta lateral",
    "Piso molhado", "Use capacete", "Não alimente os pombos", "Proibido fumar", "Fechado para férias", "Volto já",
    "Elevador avariado", "Caixa fechada", "Lavar as mãos", "Tire a sua senha", "Área reservada", "Depósito de vidro",
    "Aberto", "É proibido afixar cartazes",
)  # fmt: skip
# What lies in heaps on a market stall, by the beginning of its name, and its colour.
_HUES: dict[str, Colour] = {
    "maçã": (190, 50, 44), "pera": (196, 186, 70), "laranja": (236, 140, 30), "clementina": (238, 120, 26),
    "cereja": (140, 20, 40), "uva": (176, 196, 96), "castanha": (112, 66, 36), "tomate": (206, 48, 34),
    "cebola": (206, 160, 96), "batata": (198, 166, 110), "cenoura": (232, 126, 40), "couve-lombarda": (92, 150, 70),
    "abóbora": (226, 134, 40), "alho": (232, 226, 212), "pimento": (196, 30, 30), "azeitona": (108, 118, 46),
    "amêndoa": (172, 124, 78), "figo": (110, 80, 66),
}  # fmt: skip
_DEPARTURES = (
    "à tabela", "à tabela", "à tabela", "atraso 5 min", "atraso 12 min", "suprimido", "linha 1", "linha 2", "linha 3",
    "linha 4", "linha 5", "linha 7",
)  # fmt: skip


def street_plate(desk: Desk) -> Sheet:
    """A street's plate on a wall of tiles or plaster, with the number of a door."""
    rng = desk.rng
    sheet = _wall(desk, rng.randint(560, 720), 330)
    left, right, look = 70, sheet.width - 70, Look(desk.bold, 40, _TILE)
    street = rng.choice(words.STREETS)
    look = fit(street, look, right - left - 60)
    sheet.canvas.rectangle((left, 60, right, 190), fill=WHITE, outline=_TILE, width=6)
    top = sheet.write(street, look, 78, left + 30, right - left - 60, "center")
    if desk.chance(0.6):
        small = Look(desk.face, 22, _TILE)
        sheet.write(f"Freguesia de {rng.choice(words.PLACES)}", small, top + 4, left + 30, right - left - 60, "center")
    number, door = str(rng.randint(2, 180)), Look(desk.bold, 34, _TILE)
    across = rng.randint(left + 30, right - 130)
    sheet.canvas.ellipse((across - 20, 218, across + 90, 300), fill=WHITE, outline=_TILE, width=4)
    sheet.write(number, door, 236, across - 15, 100, "center")
    sheet.cut(330)
    return sheet


def road_sign(desk: Desk) -> Sheet:
    """A road sign before the sky: towns and how far they are, the nearest first."""
    rng = desk.rng
    sheet = _outdoors(rng, rng.randint(600, 760), 430)
    fill, left, right = rng.choice((_BLUE, _GREEN)), 90, sheet.width - 90
    road = rng.choice(_ROADS)
    first = rng.randint(0, len(road) - 2)
    places = list(road)[first : first + rng.randint(2, 4)]
    passed = road[places[0]] - rng.randint(2, 20)
    away = [road[place] - passed for place in places]
    foot = 60 + 62 * len(places) + 20
    for post in (left + 60, right - 70):
        sheet.canvas.rectangle((post, foot, post + 10, 430), fill=(120, 122, 125))
    sheet.canvas.rounded_rectangle((left, 40, right, foot), 14, fill=fill, outline=WHITE, width=4)
    look, top = Look(desk.bold, 32, WHITE), 60
    for place, kilometres in zip(places, away, strict=True):
        sheet.row(_ends(place, f"{kilometres} km", look, left + 30, right - 30), top, glue=" ")
        top += 62
    sheet.cut(430)
    return sheet


def shop_front(desk: Desk) -> Sheet:
    """A shop: its name over the window, a card with hours in the window."""
    rng = desk.rng
    sheet = _wall(desk, rng.randint(600, 740), 480)
    width = sheet.width
    name = f"{rng.choice(_AWNINGS)} {rng.choice(_OWNERS)}"
    sheet.canvas.rectangle((40, 40, width - 40, 130), fill=desk.accent)
    sheet.write(name, fit(name, Look(desk.bold, 48, WHITE), width - 140), 56, 70, width - 140, "center")
    sheet.canvas.rectangle((60, 160, width - 60, 460), fill=(176, 200, 210), outline=(70, 60, 50), width=8)
    left, card = rng.randint(110, width - 410), 300
    sheet.canvas.rectangle((left, 210, left + card, 400), fill=WHITE, outline=(90, 90, 90), width=2)
    look, top = Look(desk.face, 22, desk.ink), 226
    opens, shuts = rng.randint(15, 20) * 30, rng.randint(36, 42) * 30
    lines = ["Horário", f"Dias úteis: {clock(opens)}–{clock(shuts)}", f"Sábado: {clock(opens + 30)}–13h00"]
    lines += ["Domingo: fechado"] * desk.chance(0.6)
    for line in lines:
        top = sheet.write(line, fit(line, look, card - 40), top, left + 20, card - 40)
    sheet.cut(480)
    return sheet


def order(desk: Desk) -> Sheet:
    """A plate that forbids, warns or says where to go, on a wall or on a post."""
    rng = desk.rng
    outside = desk.chance(0.5)
    text = rng.choice(_OUTSIDE if outside else _INSIDE)
    fill, ink = rng.choice(
        (((250, 210, 40), (20, 20, 20)), (WHITE, (150, 20, 30)), ((150, 20, 30), WHITE), (_BLUE, WHITE))
    )
    sheet = _outdoors(rng, 560, 400) if outside else _wall(desk, 560, 400)
    look = Look(desk.bold, rng.randint(38, 54), ink)
    box = (80, 90, 480, 290)
    if outside:
        sheet.canvas.rectangle((270, 290, 290, 400), fill=(120, 122, 125))
    sheet.canvas.rounded_rectangle(box, 12, fill=fill, outline=ink, width=5)
    for word in text.split():
        look = fit(word, look, 340)
    if length(text, look) > 2 * 340:
        look = look._replace(size=36)
    sheet.write(text, look, 130 if length(text, look) > 340 else 160, 110, 340, "center", 1.15)
    sheet.cut(400)
    return sheet


def blackboard(desk: Desk) -> Sheet:
    """A blackboard before a restaurant, in chalk: dishes of the day and their prices."""
    rng = desk.rng
    sheet = Sheet(rng.randint(500, 620), (122, 84, 48))
    rows = rng.randint(3, 5)
    foot = 150 + 62 * rows
    sheet.canvas.rectangle((24, 24, sheet.width - 24, foot), fill=_BOARD)
    title, look = Look(desk.hand, 44, _CHALK), Look(desk.hand, 30, _CHALK)
    text = rng.choice(("Hoje temos", "Pratos do dia", "Ementa", "Sugestões", "Bom apetite!", "Petiscos", "Almoços"))
    sheet.write(text, title, 36, 60, sheet.width - 120, "center")
    top = 128
    for ware in rng.sample((*words.STARTERS, *words.MAINS, *words.SWEETS), rows):
        amount = money(price(ware, rng))
        name = fit(ware.name, look, sheet.width - 120 - length(amount, look) - 20)
        pieces = _ends(ware.name, amount, look, 60, sheet.width - 60)
        sheet.row([pieces[0]._replace(look=name), pieces[1]], top)
        top += 62
    sheet.cut(foot + 24)
    return sheet


def stall(desk: Desk) -> Sheet:
    """Price tags on a market stall, in one row, read from left to right."""
    rng = desk.rng
    count = rng.randint(2, 4)
    sheet = Sheet(210 * count + 40, (226, 214, 190))
    for number, name in enumerate(rng.sample(sorted(_HUES), count)):
        ware = next(ware for ware in words.GROCERIES if ware.name.startswith(name))
        left, hue = 20 + 210 * number, tuple(part + rng.randint(-14, 14) for part in _HUES[name])
        for fruit in range(14):
            x, y = left + 14 + fruit % 5 * 34 + rng.randint(0, 8), 170 + fruit // 5 * 34 + rng.randint(0, 6)
            sheet.canvas.ellipse((x, y, x + 34, y + 34), fill=hue, outline=tuple(part // 2 for part in hue))
        sheet.canvas.rectangle((left + 8, 24, left + 194, 150), fill=WHITE, outline=(60, 60, 60), width=2)
        look = Look(desk.hand, 26, desk.rng.choice(((20, 20, 20), (150, 20, 30), (20, 60, 140))))
        top = sheet.write(ware.name, fit(ware.name, look, 166), 34, left + 16, 170, "center")
        cost = f"{money(price(ware, rng))}/kg"
        sheet.write(cost, fit(cost, look._replace(size=32), 168), top + 4, left + 16, 170, "center")
        sheet.next_region()
    sheet.cut(300)
    return sheet


def departures(desk: Desk) -> Sheet:
    """A station's board: when, where to, whether on time."""
    rng = desk.rng
    sheet = Sheet(rng.randint(640, 740), (16, 18, 22))
    rows, amber = rng.randint(3, 6), (255, 190, 40)
    look, top = Look(desk.face, 26, amber), 34
    title = rng.choice(("Partidas", "Próximos comboios", "Partidas / Departures"))
    top = sheet.write(title, Look(desk.bold, 34, WHITE), top, 40, sheet.width - 80) + 10
    minutes = sorted(rng.sample(range(6 * 60, 23 * 60), rows))
    for minute, place in zip(minutes, rng.sample(words.RAILS, rows), strict=True):
        state = rng.choice(_DEPARTURES)
        pieces = [*_ends(clock(minute, ":"), state, look, 40, sheet.width - 40)]
        middle = pieces[0]._replace(text=place, left=150)
        middle = middle._replace(look=fit(place, look, sheet.width - 230 - length(state, look)))
        top = sheet.row([pieces[0], middle, pieces[1]], top, leading=1.7)
    sheet.cut(top + 24)
    return sheet


def _ends(first: str, last: str, look: Look, left: int, right: int) -> tuple[InkPiece, InkPiece]:
    return InkPiece(first, look, left), InkPiece(last, look, right, "right")


def _wall(desk: Desk, width: int, height: int) -> Sheet:
    """A wall of plaster, bricks or tiles."""
    rng = desk.rng
    base = rng.choice(((226, 214, 196), (214, 206, 200), (238, 226, 190), (206, 216, 222), (232, 208, 196)))
    sheet = Sheet(width, base)
    darker = tuple(part - 22 for part in base)
    kind = rng.choice(("plaster", "bricks", "tiles"))
    across, down = {"plaster": (10**6, 10**6), "bricks": (54, 24), "tiles": (44, 44)}[kind]
    for row, top in enumerate(range(0, height, down)):
        sheet.canvas.line((0, top, width, top), fill=darker, width=2)
        for left in range(-(row % 2) * across // 2 if kind == "bricks" else 0, width, across):
            sheet.canvas.line((left, top, left, top + min(down, height)), fill=darker, width=2)
    return sheet


def _outdoors(rng: random.Random, width: int, height: int) -> Sheet:
    """Sky above, hills and a road below."""
    sheet = Sheet(width, (200, 220, 240))
    fade = Image.linear_gradient("L").resize((width, height))
    sky = Image.composite(
        Image.new("RGB", fade.size, (232, 240, 246)), Image.new("RGB", fade.size, (140, 186, 228)), fade
    )
    sheet.image.paste(sky)
    sheet.canvas = ImageDraw.Draw(sheet.image)
    hill = rng.choice(((110, 150, 90), (150, 150, 90), (90, 130, 110)))
    sheet.canvas.ellipse((-width // 2, height - 120, width, height + 200), fill=hill)
    sheet.canvas.rectangle((0, height - 40, width, height), fill=(96, 98, 102))
    return sheet
