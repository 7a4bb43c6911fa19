"""Names, places, goods and hours that texts and documents are filled with: prices go with what is sold.

Prices are what shops in Portugal ask in 2024 to 2026, rounded, from the least to the most; ours, from looking at
shelves.
"""

from __future__ import annotations

import random
from typing import NamedTuple

WOMEN = (
    "Inês", "Maria", "Antónia", "Beatriz", "Catarina", "Joana", "Leonor", "Matilde", "Rita", "Teresa", "Zélia",
    "Sofia", "Mariana", "Helena", "Graça", "Conceição", "Luísa", "Marta", "Olívia", "Paula", "Sílvia", "Vânia",
    "Amélia", "Clara", "Débora", "Elisa", "Filipa", "Íris", "Júlia", "Lúcia", "Madalena", "Noémia", "Patrícia",
    "Raquel", "Susana",
)  # fmt: skip
MEN = (
    "João", "António", "Duarte", "Francisco", "Gonçalo", "Henrique", "José", "Luís", "Manuel", "Mário", "Nuno",
    "Pedro", "Rui", "Sebastião", "Tiago", "Vasco", "Álvaro", "Bernardo", "Carlos", "David", "Estêvão", "Fernando",
    "Guilherme", "Hugo", "Inácio", "Jorge", "Leandro", "Martim", "Óscar", "Paulo", "Rafael", "Simão", "Tomás",
    "Xavier", "Zeferino",
)  # fmt: skip
SURNAMES = (
    "Gonçalves", "Conceição", "Simões", "Brandão", "Araújo", "Patrício", "Ferreira", "Silva", "Santos", "Oliveira",
    "Martins", "Lopes", "Marques", "Ribeiro", "Carvalho", "Teixeira", "Moreira", "Correia", "Mendes", "Nunes",
    "Vieira", "Monteiro", "Cardoso", "Rocha", "Neves", "Coelho", "Cruz", "Cunha", "Pires", "Ramos", "Reis",
    "Antunes", "Matos", "Freitas", "Machado", "Barbosa", "Tavares", "Lourenço", "Faria", "Amaral", "Guimarães",
    "Magalhães", "Assunção", "Figueiredo", "Leitão", "Pinheiro", "Salgueiro", "Falcão", "Quintão", "Vasconcelos",
)  # fmt: skip
# Towns that are named without an article, and the first half of their postal code.
POSTCODES = {
    "Braga": 4700, "Évora": 7000, "Lisboa": 1100, "Setúbal": 2900, "Guimarães": 4800, "Tavira": 8800, "Bragança": 5300,
    "Aveiro": 3800, "Coimbra": 3000, "Viseu": 3500, "Faro": 8000, "Beja": 7800, "Leiria": 2400, "Santarém": 2000,
    "Vila Real": 5000, "Viana do Castelo": 4900, "Portalegre": 7300, "Castelo Branco": 6000, "Tomar": 2300, "Elvas":
    7350,
    "Chaves": 5400, "Lamego": 5100, "Óbidos": 2510, "Sintra": 2710, "Almada": 2800, "Loures": 2670, "Barcelos": 4750,
    "Ovar": 3880, "Mirandela": 5370, "Silves": 8300, "Loulé": 8100, "Caminha": 4910, "Monção": 4950, "Seia": 6270,
    "Trancoso": 6420, "Serpa": 7830, "Estremoz": 7100, "Abrantes": 2200, "Pombal": 3100, "Águeda": 3750, "Alcobaça":
    2460,
    "Mafra": 2640, "Sesimbra": 2970,
}  # fmt: skip
PLACES = tuple(POSTCODES)
COASTS = (
    "Peniche", "Sesimbra", "Olhão", "Matosinhos", "Vila do Conde", "Sines", "Lagos", "Portimão", "Setúbal",
    "Aveiro", "Viana do Castelo", "Caminha", "Espinho",
)  # fmt: skip
RAILS = (
    "Santarém", "Pombal", "Coimbra", "Aveiro", "Espinho", "Braga", "Guimarães", "Tomar", "Castelo Branco", "Évora",
    "Beja", "Faro", "Tavira", "Viana do Castelo", "Setúbal",
)  # fmt: skip
STREETS = (
    "Rua da Conceição", "Avenida da República", "Praça do Comércio", "Travessa do Açúcar", "Rua de São Bento",
    "Rua das Flores", "Rua do Alecrim", "Calçada da Estação", "Avenida 25 de Abril",
    "Rua dos Bombeiros Voluntários", "Travessa da Fonte", "Rua Nova da Igreja", "Alameda dos Plátanos",
    "Praça da Liberdade", "Rua do Moinho de Vento", "Rua Dr. Sousa Martins", "Avenida Marginal",
    "Rua das Oliveiras", "Rua do Forno", "Calçada do Carmo", "Rua Direita", "Rua da Escola Primária",
    "Travessa das Amoreiras", "Rua do Poço", "Avenida dos Descobrimentos", "Rua da Misericórdia",
)  # fmt: skip
WEEKDAYS = ("segunda-feira", "terça-feira", "quarta-feira", "quinta-feira", "sexta-feira")
MONTHS = (
    "janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto", "setembro", "outubro", "novembro",
    "dezembro",
)  # fmt: skip


class Ware(NamedTuple):
    """Something sold: how much, from the least to the most, in cents, for which quantity."""

    name: str
    least: int
    most: int
    unit: str


def _wares(table: str, unit: str) -> tuple[Ware, ...]:
    rows = [line.split(":") for line in table.split(";")]
    limits = [(name.strip(), [int(part) for part in prices.split("-")]) for name, prices in rows]
    return tuple(Ware(name, least, most, unit) for name, (least, most) in limits)


GROCERIES = (
    *_wares(
        "maçã de Alcobaça:150-240; pera rocha:160-250; laranja do Algarve:110-190; clementina:170-260; "
        "cereja do Fundão:390-790; uva branca:220-350; banana da Madeira:160-230; castanha:350-550; "
        "tomate:150-280; cebola:110-170; batata nova:95-160; cenoura:90-140; feijão-verde:290-450; "
        "couve-lombarda:110-180; abóbora:90-150; alho:480-690; pimento vermelho:230-340; carapau:450-750; "
        "sardinha:490-890; dourada:790-1290; bacalhau graúdo:1190-1790; frango do campo:420-590; "
        "lombo de porco:590-790; vitela para guisar:990-1390; queijo da Serra:1790-2690; "
        "presunto fatiado:1990-2990; azeitona britada:390-590; amêndoa:1190-1590; figo seco:690-990",
        "kg",
    ),
    *_wares(
        "pão de centeio:180-280; broa de milho:220-350; pão de forma:140-230; pastel de nata:120-160; "
        "bola de Berlim:150-210; folar:790-1290; alface:80-130; couve-flor:160-260; melão:290-490; "
        "ananás dos Açores:350-590; ovos, meia dúzia:150-240; iogurte natural:45-80; "
        "manteiga dos Açores:250-360; atum em azeite:170-290; sardinha em conserva:140-260; "
        "mel de rosmaninho:590-890; marmelada:290-450; chocolate preto:190-320",
        "un.",
    ),
    *_wares(
        "leite meio-gordo:85-115; azeite virgem extra:790-1190; vinagre de vinho:110-190; sumo de maçã:160-260; "
        "água das Pedras:90-140; vinho tinto do Douro:390-890; vinho verde:320-590",
        "l",
    ),
)
HOUSEHOLD = _wares(
    "lixívia:110-190; detergente da loiça:170-320; pilhas AA:390-690; lâmpada LED:290-590; vassoura:490-890; "
    "balde com esfregona:990-1690; caderno pautado:190-390; lápis de carvão:45-90; "
    "esferográfica azul:60-120; resma de papel:450-690; cola em batom:120-220; "
    "envelopes, pacote de dez:110-190; fita-cola:130-240; tesoura:290-590; guarda-chuva:790-1490; "
    "vela perfumada:490-990; pano de cozinha:250-450; martelo:790-1290; parafusos, caixa:290-490; "
    "tinta branca, cinco litros:1990-3290; rolo de pintura:490-890; fechadura:1490-2890; "
    "vaso de barro:290-790; terra para vasos:390-690",
    "un.",
)
STARTERS = _wares(
    "Sopa de legumes:200-350; Caldo verde:220-380; Sopa de peixe:350-550; Pão e azeitonas:150-280; "
    "Queijo fresco:180-320; Salada de polvo:590-890; Peixinhos da horta:390-620; Pataniscas:350-590; "
    "Ovos verdes:320-480; Gaspacho:280-450; Creme de abóbora:220-380; Amêijoas à Bulhão Pato:990-1590; "
    "Chouriço assado:590-890",
    "dose",
)
MAINS = _wares(
    "Bacalhau à Brás:1050-1490; Bacalhau com natas:1050-1490; Polvo à lagareiro:1590-2190; "
    "Sardinhas assadas:890-1290; Carapaus fritos com arroz de tomate:850-1190; Arroz de pato:990-1390; "
    "Carne de porco à alentejana:1050-1490; Cozido à portuguesa:1190-1590; Feijoada à transmontana:990-1390; "
    "Frango assado:790-1090; Bitoque:850-1190; Francesinha:950-1350; Alheira com grelos:850-1190; "
    "Cabrito no forno:1590-2290; Leitão assado:1490-2190; Dourada grelhada:1190-1690; Choco frito:1090-1490; "
    "Arroz de marisco para dois:2890-3990; Caldeirada:1390-1890; Rojões à minhota:1050-1450; "
    "Açorda de camarão:1190-1590; Legumes salteados com grão:790-1090; Lasanha de espinafres:850-1150; "
    "Omelete de cogumelos:750-990; Bife de atum:1290-1790; Ensopado de borrego:1290-1690; "
    "Tripas à moda do Porto:990-1390",
    "dose",
)
SWEETS = _wares(
    "Arroz-doce:250-390; Leite-creme:280-420; Pudim abade de Priscos:350-520; Mousse de chocolate:280-420; "
    "Toucinho do céu:320-480; Maçã assada:220-350; Salada de fruta:250-380; Bolo de bolacha:300-420; "
    "Sericaia com ameixa:350-520; Farófias:280-400; Baba de camelo:280-400; Fruta da época:180-300; "
    "Queijo da Ilha com doce:390-590",
    "dose",
)
DRINKS = _wares(
    "Água, meio litro:100-180; Imperial:140-220; Vinho da casa, jarro:450-790; "
    "Sumo de laranja natural:250-390; Café:80-120; Galão:130-190; Meia de leite:120-180; "
    "Chá de limão:130-200; Cidra:220-320; Limonada:200-320; Refrigerante:150-240",
    "un.",
)
# Stations of a line in their order, and minutes from the one before.
RAILWAYS = (
    (
        "Linha do Norte",
        (
            ("Lisboa Oriente", 0), ("Santarém", 38), ("Entroncamento", 21), ("Pombal", 42), ("Coimbra-B", 24),
            ("Aveiro", 31), ("Espinho", 27), ("Vila Nova de Gaia", 12), ("Porto-Campanhã", 6),
        ),
    ),
    (
        "Linha do Algarve",
        (
            ("Lagos", 0), ("Portimão", 19), ("Silves", 16), ("Tunes", 18), ("Loulé", 24), ("Faro", 16),
            ("Olhão", 11), ("Tavira", 23), ("Vila Real de Santo António", 32),
        ),
    ),
    (
        "Linha do Minho",
        (
            ("Porto-Campanhã", 0), ("Trofa", 24), ("Nine", 19), ("Barcelos", 13), ("Viana do Castelo", 32),
            ("Caminha", 26), ("Valença", 29),
        ),
    ),
    (
        "Linha do Douro",
        (
            ("Porto-Campanhã", 0), ("Penafiel", 42), ("Livração", 24), ("Régua", 51), ("Pinhão", 27),
            ("Tua", 16), ("Pocinho", 47),
        ),
    ),
    (
        "Linha da Beira Baixa",
        (
            ("Entroncamento", 0), ("Abrantes", 31), ("Ródão", 52), ("Castelo Branco", 27), ("Fundão", 44),
            ("Covilhã", 21), ("Guarda", 58),
        ),
    ),
    (
        "Linha do Sul",
        (
            ("Lisboa Oriente", 0), ("Pinhal Novo", 36), ("Grândola", 42), ("Funcheira", 38), ("Tunes", 61),
            ("Faro", 33),
        ),
    ),
)  # fmt: skip


def money(cents: int) -> str:
    """Write an amount as people in Portugal do.

    >>> money(1250)
    '12,50 €'
    """
    return f"{cents // 100},{cents % 100:02} €"


def clock(minutes: int, sign: str = "h") -> str:
    """Write a time of the day.

    >>> clock(9 * 60 + 5), clock(14 * 60, ":")
    ('9h05', '14:00')
    """
    hours, rest = divmod(minutes % 1440, 60)
    return f"{hours}h{rest:02}" if sign == "h" else f"{hours:02}{sign}{rest:02}"


def price(ware: Ware, rng: random.Random) -> int:
    """Draw a price in cents, as shops end them."""
    cents = rng.randint(ware.least // 10, ware.most // 10) * 10
    return cents + rng.choice((0, 0, 5, 9)) if cents < ware.most else cents


def woman_or_man(rng: random.Random) -> str:
    """Draw a first name and one or two surnames."""
    surnames = rng.sample(SURNAMES, rng.randint(1, 2))
    return " ".join([rng.choice((*WOMEN, *MEN)), *surnames])


def phone(rng: random.Random) -> str:
    """Draw a telephone number, of a landline or a mobile."""
    start = rng.choice(("21", "22", "23", "24", "25", "26", "27", "28", "29", "91", "92", "93", "96"))
    digits = start + "".join(rng.choice("0123456789") for _ in range(7))
    return f"{digits[:3]} {digits[3:6]} {digits[6:]}"


def town(rng: random.Random) -> str:
    """Draw a town with its postal code."""
    place = rng.choice(PLACES)
    return f"{POSTCODES[place]}-{rng.randint(1, 599):03} {place}"


def date(rng: random.Random, year: bool = False, months: tuple[str, ...] = ()) -> str:
    """Draw a date in words, in one of the months that are given."""
    words = f"{rng.randint(2, 28)} de {rng.choice(months or MONTHS)}"
    return f"{words} de {rng.randint(2019, 2027)}" if year else words
