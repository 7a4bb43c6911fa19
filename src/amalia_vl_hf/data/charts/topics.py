"""Charts' contents from a seed: what Portugal counts and measures, in Portuguese and in English.

Numbers are made up, within the range that each topic has in life.
"""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from ..dataset import RejectedError
from ..languages import LANGUAGES, Language
from .content import MAX_MARKS, UNITS, ChartShape, ChartValues, Content, check_shape

Words = tuple[str, str]  # in Portuguese and in English
STEPPED = 0.4  # share of contents whose values are whole steps, of those that need not be


class Topic(NamedTuple):
    """Something that is counted or measured.

    Args:
        titles: With gaps for a place and a year.
        category: Noun for a category.
        measure: What is measured.
        unit: One of `chart_content.UNITS`.
        values: Lowest and highest.
        places: Behind the decimal sign.
        pool: Categories, a key of `POOLS`.
        series: What is told apart, a key of `SERIES`.
    """

    titles: tuple[Words, ...]
    category: Words
    measure: Words
    unit: str
    values: tuple[int, int]
    places: int
    pool: str
    series: str


# Names that take no article in Portuguese, so that "em" and "de" fit all of them.
_TOWNS = (
    ("Lisboa", "Lisbon"), ("Braga", "Braga"), ("Coimbra", "Coimbra"), ("Évora", "Évora"), ("Faro", "Faro"),
    ("Aveiro", "Aveiro"), ("Setúbal", "Setúbal"), ("Viseu", "Viseu"), ("Leiria", "Leiria"), ("Beja", "Beja"),
    ("Santarém", "Santarém"), ("Bragança", "Bragança"), ("Portalegre", "Portalegre"), ("Vila Real", "Vila Real"),
)  # fmt: skip
_YEARS = tuple((str(year), str(year)) for year in range(2012, 2026))
_MONTHS = (
    ("janeiro", "January"), ("fevereiro", "February"), ("março", "March"), ("abril", "April"), ("maio", "May"),
    ("junho", "June"), ("julho", "July"), ("agosto", "August"), ("setembro", "September"), ("outubro", "October"),
    ("novembro", "November"), ("dezembro", "December"),
)  # fmt: skip
# Pools of which a run is taken, and not a mixture.
ORDERED = ("years", "months", "short months", "days", "ages", "generations", "terms")
POOLS: dict[str, tuple[Words, ...]] = {
    "towns": _TOWNS,
    "years": _YEARS,
    "months": _MONTHS,
    "short months": tuple((portuguese[:3].capitalize(), english[:3]) for portuguese, english in _MONTHS),
    "days": (
        ("Segunda", "Monday"), ("Terça", "Tuesday"), ("Quarta", "Wednesday"), ("Quinta", "Thursday"),
        ("Sexta", "Friday"), ("Sábado", "Saturday"), ("Domingo", "Sunday"),
    ),
    "ages": (
        ("Até 14 anos", "Up to 14"), ("15 a 24 anos", "15 to 24"), ("25 a 39 anos", "25 to 39"),
        ("40 a 54 anos", "40 to 54"), ("55 a 64 anos", "55 to 64"), ("65 ou mais anos", "65 and over"),
    ),
    "transport": (
        ("Autocarro", "Bus"), ("Comboio", "Train"), ("Metro", "Metro"), ("Bicicleta", "Bicycle"),
        ("Automóvel", "Car"), ("A pé", "On foot"), ("Elétrico", "Tram"), ("Barco", "Ferry"),
    ),
    "energy": (
        ("Eólica", "Wind"), ("Hídrica", "Hydro"), ("Solar", "Solar"), ("Gás natural", "Natural gas"),
        ("Biomassa", "Biomass"), ("Ondas", "Waves"), ("Geotérmica", "Geothermal"),
    ),
    "fruit": (
        ("Maçã", "Apple"), ("Pera rocha", "Rocha pear"), ("Laranja", "Orange"), ("Morango", "Strawberry"),
        ("Pêssego", "Peach"), ("Cereja", "Cherry"), ("Ameixa", "Plum"), ("Uva", "Grape"), ("Figo", "Fig"),
        ("Melão", "Melon"),
    ),
    "pastry": (
        ("Pastel de nata", "Custard tart"), ("Bola de Berlim", "Doughnut"), ("Queijada", "Cheese tart"),
        ("Pão de ló", "Sponge cake"), ("Travesseiro", "Puff pastry"), ("Ovos moles", "Egg sweets"),
        ("Broa de mel", "Honey cake"), ("Bolo de arroz", "Rice muffin"), ("Palmier", "Palmier"),
    ),
    "sports": (
        ("Futebol", "Football"), ("Natação", "Swimming"), ("Ténis", "Tennis"), ("Ciclismo", "Cycling"),
        ("Atletismo", "Athletics"), ("Andebol", "Handball"), ("Surf", "Surfing"), ("Xadrez", "Chess"),
        ("Voleibol", "Volleyball"), ("Hóquei em patins", "Roller hockey"),
    ),
    "books": (
        ("Romance", "Novel"), ("Poesia", "Poetry"), ("Ensaio", "Essay"), ("Policial", "Crime"),
        ("História", "History"), ("Banda desenhada", "Comics"), ("Infantil", "Children"), ("Viagens", "Travel"),
    ),
    "waste": (
        ("Papel", "Paper"), ("Vidro", "Glass"), ("Plástico", "Plastic"), ("Metal", "Metal"),
        ("Orgânicos", "Organic"), ("Têxteis", "Textiles"), ("Madeira", "Wood"), ("Eletrónicos", "Electronics"),
    ),
    "budget": (
        ("Habitação", "Housing"), ("Alimentação", "Food"), ("Transportes", "Transport"), ("Saúde", "Health"),
        ("Lazer", "Leisure"), ("Educação", "Education"), ("Vestuário", "Clothing"), ("Poupança", "Savings"),
    ),
    "people": (
        ("Inês", "Emily"), ("Tiago", "James"), ("Beatriz", "Olivia"), ("Rui", "Harry"), ("Leonor", "Grace"),
        ("Duarte", "Oliver"), ("Matilde", "Alice"), ("Gonçalo", "George"), ("Sofia", "Sophie"), ("Simão", "Leo"),
    ),
    "countries": (
        ("Portugal", "Portugal"), ("Espanha", "Spain"), ("França", "France"), ("Itália", "Italy"),
        ("Alemanha", "Germany"), ("Irlanda", "Ireland"), ("Bélgica", "Belgium"), ("Polónia", "Poland"),
        ("Grécia", "Greece"), ("Áustria", "Austria"), ("Países Baixos", "Netherlands"), ("Chéquia", "Czechia"),
    ),
    "departments": (
        ("Vendas", "Sales"), ("Produção", "Production"), ("Apoio ao cliente", "Customer care"),
        ("Logística", "Logistics"), ("Informática", "IT"), ("Marketing", "Marketing"), ("Finanças", "Finance"),
        ("Investigação", "Research"),
    ),
}  # fmt: skip
SERIES: dict[str, tuple[Words, ...]] = {
    "years": _YEARS,
    "sexes": (("Mulheres", "Women"), ("Homens", "Men")),
    "generations": (("Jovens", "Young people"), ("Adultos", "Adults"), ("Seniores", "Seniors")),
    "coasts": (("Litoral", "Coast"), ("Interior", "Inland"), ("Ilhas", "Islands")),
    "visitors": (("Famílias", "Families"), ("Escolas", "Schools"), ("Turistas", "Tourists")),
    "terms": (("1.º período", "Autumn term"), ("2.º período", "Spring term"), ("3.º período", "Summer term")),
    "shops": (("Baixa", "Town centre"), ("Estação", "Station"), ("Praia", "Beach"), ("Mercado", "Market")),
}
TOPICS: tuple[Topic, ...] = (
    Topic(
        (("Visitantes dos museus em {year}", "Museum visitors in {year}"),
         ("Quem visita os nossos museus", "Who visits our museums")),
        ("cidade", "town"), ("Visitantes (milhares)", "Visitors (thousands)"), "", (20, 400), 0, "towns", "visitors",
    ),
    Topic(
        (("Chuva em {place}, {year}", "Rainfall in {place}, {year}"), ("Precipitação em {place}", "Rain in {place}")),
        ("mês", "month"), ("Precipitação", "Rainfall"), "mm", (5, 160), 0, "months", "years",
    ),
    Topic(
        (("Temperatura média em {place}", "Average temperature in {place}"),
         ("Calor e frio em {place} em {year}", "Warm and cold in {place} in {year}")),
        ("mês", "month"), ("Temperatura", "Temperature"), "°C", (6, 29), 1, "short months", "years",
    ),
    Topic(
        (("Energia produzida em {year}", "Energy produced in {year}"), ("De onde vem a eletricidade",
         "Where electricity comes from")),
        ("fonte", "source"), ("Produção", "Output"), "GWh", (100, 4_000), 0, "energy", "years",
    ),
    Topic(
        (("Como se vai para o trabalho em {place}", "How people get to work in {place}"),
         ("Deslocações diárias em {place}", "Daily journeys in {place}")),
        ("transporte", "means of transport"), ("Pessoas", "People"), "", (100, 9_000), 0, "transport", "generations",
    ),
    Topic(
        (("Fruta vendida em {year}", "Fruit sold in {year}"), ("Vendas de uma cooperativa de {place}",
         "Sales of a cooperative in {place}")),
        ("fruto", "fruit"), ("Fruta vendida", "Fruit sold"), "t", (10, 300), 0, "fruit", "years",
    ),
    Topic(
        (("Doces vendidos numa pastelaria de {place}", "Cakes sold in a bakery in {place}"),
         ("Os doces mais procurados", "Our favourite cakes")),
        ("doce", "cake"), ("Unidades vendidas", "Pieces sold"), "", (10, 100), 0, "pastry", "shops",
    ),
    Topic(
        (("Praticantes federados em {year}", "Registered athletes in {year}"),
         ("Desporto em {place}", "Sport in {place}")),
        ("modalidade", "sport"), ("Praticantes", "Athletes"), "", (50, 1_000), 0, "sports", "sexes",
    ),
    Topic(
        (("Livros requisitados na biblioteca de {place}", "Books borrowed from {place} library"),
         ("O que se lê em {place}", "What {place} reads")),
        ("género", "genre"), ("Livros requisitados", "Books borrowed"), "", (20, 500), 0, "books", "terms",
    ),
    Topic(
        (("Resíduos recolhidos em {place} em {year}", "Waste collected in {place} in {year}"),
         ("Reciclagem em {place}", "Recycling in {place}")),
        ("material", "material"), ("Resíduos", "Waste"), "t", (5, 90), 1, "waste", "coasts",
    ),
    Topic(
        (("Despesas mensais de uma família", "Monthly expenses of a household"),
         ("Orçamento familiar em {year}", "A household budget in {year}")),
        ("despesa", "expense"), ("Despesa mensal", "Monthly expense"), "€", (60, 900), 0, "budget", "years",
    ),
    Topic(
        (("Horas de leitura por semana", "Hours of reading a week"), ("Quem lê mais?", "Who reads most?")),
        ("pessoa", "person"), ("Leitura semanal", "Weekly reading"), "h", (1, 10), 1, "people", "terms",
    ),
    Topic(
        (("Lares com painéis solares em {year}", "Homes with solar panels in {year}"),
         ("O sol nos telhados da Europa", "Sunshine on Europe's roofs")),
        ("país", "country"), ("Lares com painéis", "Homes with panels"), "%", (4, 60), 1, "countries", "years",
    ),
    Topic(
        (("Passageiros do comboio de {place}", "Train passengers in {place}"),
         ("Uma semana na estação de {place}", "A week at {place} station")),
        ("dia", "day"), ("Passageiros", "Passengers"), "", (200, 3_000), 0, "days", "shops",
    ),
    Topic(
        (("Dormidas de turistas em {place}", "Tourist nights in {place}"), ("Turismo em {place}",
         "Tourism in {place}")),
        ("ano", "year"), ("Dormidas (milhares)", "Nights (thousands)"), "", (90, 800), 0, "years", "visitors",
    ),
    Topic(
        (("Utilizadores da piscina de {place}", "Users of the {place} swimming pool"),
         ("Quem nada em {place}", "Who swims in {place}")),
        ("faixa etária", "age group"), ("Utilizadores", "Users"), "", (20, 400), 0, "ages", "sexes",
    ),
    Topic(
        (("Custos por departamento em {year}", "Costs by department in {year}"),
         ("Contas de uma empresa de {place}", "Accounts of a company in {place}")),
        ("departamento", "department"), ("Custos", "Costs"), "€", (1_500, 90_000), 0, "departments", "years",
    ),
    Topic(
        (("Duração média da viagem em {place}", "Average journey time in {place}"),
         ("Quanto demora chegar ao centro de {place}", "How long it takes to reach {place} centre")),
        ("transporte", "means of transport"), ("Duração", "Time"), "min", (5, 60), 0, "transport", "years",
    ),
)  # fmt: skip
# Parts of a whole: their values are shares, in %.
WHOLES: tuple[tuple[tuple[Words, ...], Words, Words, str], ...] = (
    (
        (("Produção de eletricidade em {year}", "Electricity generation in {year}"),
         ("Fontes de energia em {place}", "Sources of energy in {place}")),
        ("fonte", "source"), ("Produção", "Output"), "energy",
    ),
    (
        (("Para onde vai o dinheiro de uma família", "Where a household's money goes"),
         ("Despesas das famílias em {year}", "Household spending in {year}")),
        ("despesa", "expense"), ("Despesa", "Spending"), "budget",
    ),
    (
        (("Como se vai para a escola em {place}", "How pupils get to school in {place}"),
         ("Deslocações em {place}, {year}", "Journeys in {place}, {year}")),
        ("transporte", "means of transport"), ("Alunos", "Pupils"), "transport",
    ),
    (
        (("Resíduos separados em {place}", "Waste sorted in {place}"), ("O que se recicla", "What gets recycled")),
        ("material", "material"), ("Resíduos", "Waste"), "waste",
    ),
    (
        (("Livros vendidos em {year}", "Books sold in {year}"), ("Vendas de uma livraria de {place}",
         "Sales of a bookshop in {place}")),
        ("género", "genre"), ("Livros", "Books"), "books",
    ),
    (
        (("O desporto preferido em {place}", "Favourite sport in {place}"),
         ("Inquérito de {year}: desporto preferido", "Survey of {year}: favourite sport")),
        ("modalidade", "sport"), ("Respostas", "Answers"), "sports",
    ),
)  # fmt: skip
# Two measures of each thing, for scatter plots: measures, lowest and highest of each.
PAIRS: tuple[tuple[tuple[Words, ...], Words, tuple[Words, Words], tuple[int, int], str], ...] = (
    (
        (("Estudo e resultados", "Study and results"), ("Horas de estudo e nota no teste", "Study and test marks")),
        ("pessoa", "person"), (("Horas de estudo", "Hours of study"), ("Nota do teste", "Test mark")), (10, 20),
        "people",
    ),
    (
        (("Preço e satisfação", "Price and satisfaction"), ("Doces: preço e avaliação", "Cakes: price and rating")),
        ("doce", "cake"), (("Preço (€)", "Price (€)"), ("Avaliação (0 a 10)", "Rating (0 to 10)")), (10, 10),
        "pastry",
    ),
    (
        (("Investimento e vendas em {year}", "Investment and sales in {year}"),
         ("Publicidade compensa?", "Does advertising pay?")),
        ("departamento", "department"),
        (("Investimento (mil €)", "Investment (thousand €)"), ("Vendas (mil €)", "Sales (thousand €)")), (50, 100),
        "departments",
    ),
    (
        (("Chuva e visitantes em {year}", "Rain and visitors in {year}"),
         ("A chuva afasta os turistas?", "Does rain keep tourists away?")),
        ("cidade", "town"), (("Dias de chuva", "Days of rain"), ("Visitantes (milhares)", "Visitors (thousands)")),
        (20, 50), "towns",
    ),
    (
        (("Treino e jogos ganhos", "Training and games won"), ("Uma época em números", "A season in numbers")),
        ("modalidade", "sport"), (("Treinos por semana", "Training sessions a week"), ("Jogos ganhos", "Games won")),
        (10, 20), "sports",
    ),
)  # fmt: skip


def write_content(rng: random.Random, shape: ChartShape, language: Language) -> Content:
    """Draw contents until a template of the shape can show one; a pair of series where it takes points."""
    at = LANGUAGES.index(language)
    write = _write_pair if shape.distinct else _write_whole if shape.whole else _write_counts
    while True:
        content = write(rng, shape, at)
        try:
            check_shape(content, shape)
        except RejectedError:
            continue
        return content


def _write_counts(rng: random.Random, shape: ChartShape, at: int) -> Content:
    """Draw a value a category, or one for each series."""
    count = rng.randint(*shape.categories)
    fitting = [one for one in TOPICS if len(POOLS[one.pool]) >= count and len(SERIES[one.series]) >= shape.series[0]]
    topic = rng.choice([one for one in fitting if UNITS[one.unit] or not shape.added])
    categories = _take(rng, POOLS[topic.pool], topic.pool, count, at)
    rows = min(rng.randint(*shape.series), len(SERIES[topic.series]))
    stepped = shape.stepped or (shape.apart and rows > 1) or rng.random() < STEPPED
    measure = topic.measure[at]
    series = _take(rng, SERIES[topic.series], topic.series, rows, at) if rows > 1 else (measure,)
    values = _stepped(rng, topic, count, rows) if stepped else _free(rng, topic, count, rows)
    dated = topic.pool == "years" or (topic.series == "years" and rows > 1)
    titles = tuple(words for words in topic.titles if not (dated and "{year}" in words[0]))
    title = _title(rng, titles, at)
    return Content(title, topic.category[at], measure, topic.unit, categories, series, values, LANGUAGES[at])


def _write_whole(rng: random.Random, shape: ChartShape, at: int) -> Content:
    """Share 100 % out, at least 5 % each."""
    count = rng.randint(*shape.categories)
    titles, category, measure, pool = rng.choice(WHOLES)
    categories = _take(rng, POOLS[pool], pool, count, at)
    cuts = sorted(rng.sample(range(1, 100 - 4 * count), count - 1))
    ends = [0, *cuts, 100 - 4 * count]
    shares = tuple(Decimal(end - start + 4) for start, end in pairwise(ends))
    name = measure[at]
    return Content(_title(rng, titles, at), category[at], name, "%", categories, (name,), (shares,), LANGUAGES[at])


def _write_pair(rng: random.Random, shape: ChartShape, at: int) -> Content:
    """Draw two measures of each thing; no two things share either."""
    count = rng.randint(*shape.categories)
    titles, category, measures, highest, pool = rng.choice(PAIRS)
    categories = _take(rng, POOLS[pool], pool, count, at)
    rows = [
        tuple(Decimal(mark * high // MAX_MARKS) for mark in rng.sample(range(1, MAX_MARKS + 1), count))
        for high in highest
    ]
    names = (measures[0][at], measures[1][at])
    title = _title(rng, titles, at)
    return Content(title, category[at], names[1], "", categories, names, tuple(rows), LANGUAGES[at])


def _take(rng: random.Random, words: tuple[Words, ...], pool: str, count: int, at: int) -> tuple[str, ...]:
    if pool in ORDERED:
        first = rng.randint(0, len(words) - count)
        return tuple(word[at] for word in words[first : first + count])
    return tuple(word[at] for word in rng.sample(words, count))


def _title(rng: random.Random, titles: tuple[Words, ...], at: int) -> str:
    place, year = rng.choice(_TOWNS), rng.choice(_YEARS)
    return rng.choice(titles)[at].format(place=place[at], year=year[at])


def _stepped(rng: random.Random, topic: Topic, count: int, rows: int) -> ChartValues:
    """Draw whole steps of which ten reach the topic's highest value."""
    rough = topic.values[1] / MAX_MARKS
    steps = [factor * 10**power for power in range(5) for factor in (1, 2, 5)]
    step = Decimal(max(step for step in steps if step <= max(rough, 1)))
    marks = [_draw_distinct(rng, 1, MAX_MARKS, count) for _ in range(rows)]
    return tuple(tuple(step * mark for mark in row) for row in marks)


def _free(rng: random.Random, topic: Topic, count: int, rows: int) -> ChartValues:
    """Draw values anywhere between a topic's lowest and highest."""
    scale = 10**topic.places
    low, high = topic.values
    unit = Decimal(1).scaleb(-topic.places)
    drawn = [_draw_distinct(rng, low * scale, high * scale, count) for _ in range(rows)]
    return tuple(tuple(value * unit for value in row) for row in drawn)


def _draw_distinct(rng: random.Random, low: int, high: int, count: int) -> list[int]:
    """Draw different numbers, now and then with one alike."""
    numbers = rng.sample(range(low, high + 1), count)
    if rng.random() < 0.15:
        numbers[-1] = numbers[0]
    return numbers
