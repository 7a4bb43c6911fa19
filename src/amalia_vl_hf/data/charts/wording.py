"""Queries about charts in words, European Portuguese and English: questions, and the steps that lead to an answer.

Names stand between quotation marks, so that a sentence is right whatever a model calls its categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

from ..languages import LANGUAGES, Language
from .content import grid_step, write_number, write_value
from .questions import LETTERS, TOP, Cell, ChartAnswer, Panel, Query, is_whole, look_up, panel_name

# What the rows of values are in a template: "of the", "in the" and the noun, in each language.
_Row = tuple[tuple[str, str, str], tuple[str, str, str]]
_ROW: _Row = (("da", "na", "série"), ("of the", "in the", "series"))
_ROWS: dict[str, _Row] = {
    "table": (("da", "na", "coluna"), ("of the", "in the", "column")),
    "heat map": (("da", "na", "linha"), ("of the", "in the", "row")),
    "scatter plot": (("do", "no", "eixo"), ("of the", "on the", "axis")),
}

QUESTIONS: dict[Language, dict[str, tuple[str, ...]]] = {
    "pt": {
        "value": (
            "qual é o valor de {first}?",
            "que valor apresenta {first}?",
            "consegues dizer que valor tem {first}?",
        ),
        "difference": (
            "qual é a diferença entre os valores de {first} e de {second}?",
            "em quanto diferem os valores de {first} e de {second}?",
        ),
        "sum": ("qual é a soma dos valores de {list}?", "ao somar os valores de {list}, quanto se obtém?"),
        "sum of all": ("qual é a soma de todos os valores{of}?", "qual é o total dos valores{of}?"),
        "average": ("qual é a média dos valores{of}?", "qual é o valor médio{of}?"),
        "share": (
            "que percentagem do total{of} corresponde a {name}? Arredonda às unidades.",
            "que parte do total{of}, em percentagem, cabe a {name}? Arredonda às unidades.",
        ),
        "highest": ("que {noun} tem o valor mais alto{in}?", "a que {noun} corresponde o valor mais alto{in}?"),
        "lowest": ("que {noun} tem o valor mais baixo{in}?", "a que {noun} corresponde o valor mais baixo{in}?"),
        "second": ("que {noun} tem o segundo valor mais alto{in}?",),
        "order": (
            "quais são as três categorias com os valores mais altos{in}, por ordem decrescente?",
            "indica, por ordem decrescente, as três categorias com os valores mais altos{in}.",
        ),
        "above": (
            "quantas são as categorias com um valor superior a {threshold}{in}?",
            "em quantas categorias o valor é superior a {threshold}{in}?",
        ),
        "greater": (
            "o valor de {first} é superior ao de {second}?",
            "podes confirmar se {first} tem um valor mais alto do que {second}?",
        ),
        "rises": ("os valores{of} sobem sempre de {names[0]} para {names[1]} e de {names[1]} para {names[2]}?",),
        "title": ("qual é o título do gráfico?", "que título tem o gráfico?"),
        "measure": ("o que medem os valores, segundo o gráfico?", "que grandeza mostra o gráfico?"),
        "legend": ("que nomes aparecem na legenda, pela ordem em que estão?",),
        "count": ("quantas categorias mostra o gráfico?", "consegues contar as categorias do gráfico? Quantas são?"),
        "panel of the highest": (
            "consegues dizer em que painel está o valor mais alto?",
            "que painel tem o valor mais alto de todos?",
        ),
        "panel of most": (
            "que painel mostra mais categorias?",
            "consegues dizer qual dos painéis tem mais categorias?",
        ),
    },
    "en": {
        "value": ("what is the value of {first}?", "what value does {first} have?"),
        "difference": (
            "what is the difference between the values of {first} and {second}?",
            "by how much do the values of {first} and {second} differ?",
        ),
        "sum": ("what is the sum of the values of {list}?", "what do the values of {list} add up to?"),
        "sum of all": ("what is the sum of all values{of}?", "what do all values{of} add up to?"),
        "average": ("what is the average of the values{of}?", "what is the mean value{of}?"),
        "share": (
            "what percentage of the total{of} is {name}? Round to the nearest whole number.",
            "what share of the total{of}, as a percentage, does {name} have? Round to the nearest whole number.",
        ),
        "highest": ("which {noun} has the highest value{in}?", "to which {noun} does the highest value{in} belong?"),
        "lowest": ("which {noun} has the lowest value{in}?", "to which {noun} does the lowest value{in} belong?"),
        "second": ("which {noun} has the second highest value{in}?",),
        "order": (
            "which three categories have the highest values{in}, in descending order?",
            "list the three categories with the highest values{in}, from highest to lowest.",
        ),
        "above": (
            "how many categories have a value above {threshold}{in}?",
            "in how many categories is the value above {threshold}{in}?",
        ),
        "greater": (
            "is the value of {first} higher than that of {second}?",
            "does {first} have a higher value than {second}?",
        ),
        "rises": ("do the values{of} rise both from {names[0]} to {names[1]} and from {names[1]} to {names[2]}?",),
        "title": ("what is the title of the chart?", "what title does the chart have?"),
        "measure": ("what do the values measure, according to the chart?", "what quantity does the chart show?"),
        "legend": ("which names does the legend list, in order?",),
        "count": ("how many categories does the chart show?", "how many categories are there in the chart?"),
        "panel of the highest": ("which panel has the highest value of all?", "in which panel is the highest value?"),
        "panel of most": ("which panel shows the most categories?", "which of the panels has the most categories?"),
    },
}  # fmt: skip


STEPS: dict[Language, dict[str, str]] = {
    "pt": {
        "value": "procura-se {first}: {reading} Portanto, o valor é {values[0]}.",
        "difference": "ao procurar {first}, encontra-se o valor {values[0]}; ao procurar {second}, encontra-se "
                      "o valor {values[1]}. Ao subtrair, obtém-se {minus} = {answer}.",
        "sum": "procuram-se os valores: {valued}. Somam-se: {plus} = {answer}.",
        "average": "procuram-se os valores: {valued}. Somam-se: {plus} = {total}. "
                   "Divide-se a soma pelo número de valores: {total} ÷ {count} = {answer}.",
        "share": "procuram-se os valores: {valued}. Somam-se: {plus} = {total}. Divide-se o valor de {name} pelo "
                 "total: {numbers[0]} ÷ {total} × 100, cerca de {answer}.",
        "highest": "procuram-se os valores: {valued}. O mais alto é {highest}, o de {quoted}; "
                   "o que se segue é {next_high}.",
        "lowest": "procuram-se os valores: {valued}. O mais baixo é {lowest}, o de {quoted}; "
                  "o que se segue é {next_low}.",
        "second": "ordenam-se os valores do mais alto para o mais baixo: {ranked}. O segundo é o de {quoted}.",
        "order": "ordenam-se os valores do mais alto para o mais baixo: {ranked}. Os três primeiros são os de {top}.",
        "above": "procuram-se os valores: {valued}. "
                 "Superiores a {threshold}: {above}. Ao todo: {answer}.",
        "greater": "ao procurar {first}, encontra-se o valor {values[0]}; ao procurar {second}, encontra-se "
                   "o valor {values[1]}. {greater}",
        "rises": "procuram-se os valores: {valued}. {rises}",
        "title": "o título que está no topo do gráfico é {quoted}.",
        "measure": "junto aos valores, encontra-se escrito {quoted}.",
        "legend": "na legenda, procuram-se os nomes, por ordem: {series}.",
        "count": "procuram-se as categorias: {categories}. Ao todo, contam-se {answer}.",
        "panel of the highest": "procura-se o valor mais alto em cada painel: {panels}.",
        "panel of most": "conta-se o número de categorias em cada painel: {panels}.",
    },
    "en": {
        "value": "look for {first}: {reading} So the value is {values[0]}.",
        "difference": "{first} has {values[0]} and {second} has {values[1]}. The difference is {minus} = {answer}.",
        "sum": "the values are {valued}. Their sum is {plus} = {answer}.",
        "average": "the values are {valued}. Their sum is {plus} = {total}, and there are {count} values: "
                   "{total} ÷ {count} = {answer}.",
        "share": "the values are {valued}. The total is {plus} = {total}. {name} has {values[0]}: "
                 "{numbers[0]} ÷ {total} × 100 is about {answer}.",
        "highest": "the values are {valued}. The highest is {highest}, that of {quoted}; the next is {next_high}.",
        "lowest": "the values are {valued}. The lowest is {lowest}, that of {quoted}; the next is {next_low}.",
        "second": "in descending order, the values are {ranked}. The second is that of {quoted}.",
        "order": "in descending order, the values are {ranked}. The first three are those of {top}.",
        "above": "the values are {valued}. Above {threshold}: {above}. That makes {answer}.",
        "greater": "{first} has {values[0]} and {second} has {values[1]}. {greater}",
        "rises": "the values are {valued}. {rises}",
        "title": "the title stands above the chart: {quoted}.",
        "measure": "next to the values stands {quoted}.",
        "legend": "the names in the legend are {series}.",
        "count": "the categories are {categories}. There are {answer}.",
        "panel of the highest": "the highest value of each panel: {panels}.",
        "panel of most": "the number of categories of each panel: {panels}.",
    },
}  # fmt: skip
# How a value is read off each template.
READING: dict[Language, dict[str, str]] = {
    "pt": {
        "columns": "a coluna chega a {number}.", "bars": "a barra termina em {number}.",
        "grouped columns": "no grupo {name}, a coluna de {series} chega a {number}.",
        "stacked columns": "na coluna {name}, a parte de {series} tem escrito {number}.",
        "lines": "nesse ponto, a linha está à altura de {number}.", "area": "aí, a linha está à altura de {number}.",
        "pie": "a fatia tem escrito {value}.", "donut": "a parte do anel dessa cor tem escrito {value}.",
        "cards": "no cartão com esse nome está {value}.",
        "table": "na linha {name}, na coluna {series}, está {number}.",
        "heat map": "no cruzamento da linha {series} com a coluna {name} está {number}.",
        "pictogram": "há {symbols} símbolos e cada um vale {step}: {symbols} × {step} = {number}.",
        "scatter plot": "o ponto {name} está, no eixo {series}, em {number}.",
        "lollipops": "o ponto na ponta da haste está em {number}.",
    },
    "en": {
        "columns": "its column reaches {number}.", "bars": "its bar ends at {number}.",
        "grouped columns": "in the group {name}, the column of {series} reaches {number}.",
        "stacked columns": "in the column {name}, the part of {series} says {number}.",
        "lines": "at that point the line is at {number}.", "area": "there the line is at {number}.",
        "pie": "its slice says {value}.", "donut": "the part of the ring in its colour says {value}.",
        "cards": "the card of that name says {value}.",
        "table": "in the row {name}, in the column {series}, there is {number}.",
        "heat map": "where the row {series} meets the column {name} there is {number}.",
        "pictogram": "there are {symbols} symbols, each for {step}: {symbols} × {step} = {number}.",
        "scatter plot": "the point {name} is at {number} on the axis {series}.",
        "lollipops": "the dot at the end of its stem is at {number}.",
    },
}  # fmt: skip
_AND = {"pt": " e ", "en": " and "}
_HAS = {"pt": "tem", "en": "has"}
_NONE = {"pt": "nenhum", "en": "none"}
_GREATER = {
    "pt": ("{0} é superior a {1}.", "{0} não é superior a {1}."),
    "en": ("{0} is higher than {1}.", "{0} is not higher than {1}."),
}
_EACH_RISES = {"pt": "Cada um é superior ao anterior.", "en": "Each is higher than the one before."}


def questions(query: Query, panels: Sequence[Panel], language: Language) -> list[str]:
    """Word a query in every way there is."""
    slots = _names(query, panels, language)
    op = "sum of all" if query.op == "sum" and is_whole(query, panels) else query.op
    return [_sentence(slots["where"] + wording.format(**slots)) for wording in QUESTIONS[language][op]]


def steps(query: Query, panels: Sequence[Panel], answer: ChartAnswer, language: Language) -> str:
    """Reason from what is seen to the answer, with the numbers."""
    slots = _names(query, panels, language)
    slots |= {"answer": answer.text, "quoted": quote(answer.text, language)}
    if query.cells:
        slots |= _numbers(query, panels, language)
    elif query.panel is None:
        slots["panels"] = _compare(query, panels, language)
    else:
        content = panels[query.panel].content
        slots["series"] = _enumerate([quote(name, language) for name in content.series], language)
        slots["categories"] = _enumerate([quote(name, language) for name in content.categories], language)
    text = _sentence(slots["where"] + STEPS[language][query.op].format(**slots))
    return text[:-1] if text.endswith("..") else text  # an answer may end with a point of its own, as p.p. does


def quote(name: str, language: Language) -> str:
    """Put a name between quotation marks."""
    return f"«{name}»" if language == "pt" else f"“{name}”"


def _names(query: Query, panels: Sequence[Panel], language: Language) -> dict[str, Any]:
    """Give the names that a question is made of."""
    at = LANGUAGES.index(language)
    place = "" if query.panel is None else _place(query.panel, language)
    slots: dict[str, Any] = {"where": f"{place}, " if len(panels) > 1 and place else "", "of": "", "in": ""}
    if not query.cells:
        return slots
    cells = [_name_cell(cell, panels, language, across=query.panel is None) for cell in query.cells]
    names = [quote(cell.category, language) for cell in query.cells]
    template, content = panels[query.cells[0].panel]
    slots |= {"first": cells[0], "second": cells[1] if len(cells) > 1 else "", "list": _enumerate(cells, language)}
    slots |= {"names": names, "name": names[0], "noun": ("categoria", "category")[at]}
    if content.language == language:
        slots["noun"] = content.category
    if len(content.series) > 1:
        of, within, row = _ROWS.get(template, _ROW)[at]
        series = f"{row} {quote(query.cells[0].series, language)}"
        slots |= {"of": f" {of} {series}", "in": f" {within} {series}"}
    if query.threshold is not None:
        slots["threshold"] = write_value(query.threshold, content.unit, language)
    return slots


def _numbers(query: Query, panels: Sequence[Panel], language: Language) -> dict[str, Any]:
    """Give the numbers that reasoning is made of."""
    content = panels[query.cells[0].panel].content
    read = [(look_up(cell, panels), quote(cell.category, language)) for cell in query.cells]
    numbers = [write_number(value, language) for value, _ in read]
    values = [write_value(value, content.unit, language) for value, _ in read]
    valued = dict(zip(query.cells, _value_cells(query, panels, language), strict=True))
    ranked = sorted(query.cells, key=lambda cell: look_up(cell, panels), reverse=True)
    order = sorted(read, reverse=True)
    beside = [f"{write_value(value, content.unit, language)} ({name})" for value, name in order]
    above = [
        valued[cell] for cell in query.cells if query.threshold is not None and look_up(cell, panels) > query.threshold
    ]
    fallen = [pair for pair in pairwise(read) if pair[0][0] >= pair[1][0]]
    return {
        "numbers": numbers,
        "values": values,
        "valued": "; ".join(valued.values()),
        "ranked": "; ".join(valued[cell] for cell in ranked),
        "above": "; ".join(above) or _NONE[language],
        "plus": " + ".join(numbers),
        "minus": " − ".join(write_number(value, language) for value, _ in order[:2]),
        "total": write_number(sum((value for value, _ in read), Decimal(0)), language),
        "count": len(read),
        "reading": _read_off(query.cells[0], panels, language),
        "next_high": beside[min(1, len(beside) - 1)],
        "next_low": beside[max(len(beside) - 2, 0)],
        "highest": write_value(order[0][0], content.unit, language),
        "lowest": write_value(order[-1][0], content.unit, language),
        "top": _enumerate([name for _, name in order[:TOP]], language),
        "greater": _GREATER[language][0 if read[0][0] > read[-1][0] else 1].format(values[0], values[-1]),
        "rises": _GREATER[language][1].format(fallen[0][1][1], fallen[0][0][1]) if fallen else _EACH_RISES[language],
    }


def _read_off(cell: Cell, panels: Sequence[Panel], language: Language) -> str:
    """Say how a value is read off its chart."""
    template, content = panels[cell.panel]
    value = look_up(cell, panels)
    step = grid_step(content.values) or value
    return READING[language][template].format(
        name=quote(cell.category, language),
        series=quote(cell.series, language),
        number=write_number(value, language),
        value=write_value(value, content.unit, language),
        symbols=int(value / step),
        step=write_number(step, language),
    )


def _value_cells(query: Query, panels: Sequence[Panel], language: Language) -> list[str]:
    """Write each value behind the name of its cell."""
    written = []
    for cell in query.cells:
        value = write_value(look_up(cell, panels), panels[cell.panel].content.unit, language)
        written.append(f"{quote(cell.category, language)}: {value}")
    return written


def _compare(query: Query, panels: Sequence[Panel], language: Language) -> str:
    """Write what is compared of each panel."""
    parts = []
    for number, (_, content) in enumerate(panels):
        highest = write_value(max(max(row) for row in content.values), content.unit, language)
        shown = str(len(content.categories)) if query.op == "panel of most" else highest
        parts.append(f"{LETTERS[number]} {_HAS[language]} {shown}")
    return _enumerate(parts, language)


def _name_cell(cell: Cell, panels: Sequence[Panel], language: Language, across: bool) -> str:
    """Name a value by its category, and by its series and panel where there are several."""
    named = quote(cell.category, language)
    template, content = panels[cell.panel]
    if len(content.series) > 1:
        row = _ROWS.get(template, _ROW)[LANGUAGES.index(language)][2]
        named += f" ({row} {quote(cell.series, language)})"
    return f"{named} {_place(cell.panel, language)}" if across else named


def _place(panel: int, language: Language) -> str:
    name = panel_name(panel, language)
    return f"{'no' if language == 'pt' else 'in'} {name[0].lower()}{name[1:]}"


def _enumerate(names: Sequence[str], language: Language) -> str:
    return _AND[language].join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
