"""Printed matter: newspaper pages in columns, slides, posters, pages of a book, leaflets in two columns."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from . import words
from .passages import fill
from .sheet import WHITE, Desk, Look, Sheet, fit
from .words import clock, date, woman_or_man

SLIDES = Path(__file__).with_name("slides_pt.txt")
_PAPERS = (
    "O Correio do Vale", "Jornal da Serra", "Notícias da Ria", "A Voz do Concelho", "Gazeta do Litoral",
    "O Semeador", "Diário da Planície", "Folha do Bairro", "O Farol da Barra", "Tribuna do Norte",
)  # fmt: skip
# Events, and the months they are in; in any where it says none.
_EVENTS: dict[str, tuple[str, ...]] = {
    "Feira de Artesanato": ("maio", "junho", "julho", "agosto", "setembro"),
    "Noite de Fados": (),
    "Baile de Verão": ("julho", "agosto"),
    "Caminhada da Primavera": ("março", "abril", "maio"),
    "Mostra de Teatro": (),
    "Festa da Castanha": ("outubro", "novembro"),
    "Concerto de Natal": ("dezembro",),
    "Torneio de Xadrez": (),
    "Mercado Medieval": ("maio", "junho", "julho", "agosto", "setembro"),
    "Oficina de Cerâmica": (),
    "Cinema na Praça": ("junho", "julho", "agosto", "setembro"),
    "Corrida de São João": ("junho",),
    "Encontro de Coros": (),
    "Festival da Sopa": ("outubro", "novembro", "janeiro", "fevereiro"),
    "Dia do Livro": ("abril",),
    "Sardinhada Popular": ("junho", "julho", "agosto"),
    "Exposição de Fotografia": (),
    "Tarde de Contos": (),
}
_SPOTS = (
    "no largo da igreja", "no jardim municipal", "no salão dos bombeiros", "na biblioteca", "no mercado",
    "junto ao rio", "no pátio da escola", "no castelo", "na praça velha", "no coreto",
)  # fmt: skip
_ENTRIES = (
    "Entrada livre", "Entrada: {n} €", "Inscrições na junta de freguesia", "Traga um amigo", "Há petiscos e música",
    "Crianças não pagam", "Lugares limitados", "Em caso de chuva, no pavilhão",
)  # fmt: skip


def newspaper(desk: Desk) -> Sheet:
    """A page: its name, a headline, a lead, then two or three columns, each read to its foot."""
    rng, look = desk.rng, desk.body(18, 19)
    count = rng.choice((2, 2, 3))
    sheet, margin, gap = Sheet(rng.randint(760, 840) if count == 2 else rng.randint(880, 980), desk.paper), 36, 30
    width = sheet.width - 2 * margin
    top = sheet.write(rng.choice(_PAPERS), Look(desk.bold, 40, desk.ink), 22, margin, width, "center")
    top = sheet.write(f"{rng.choice(words.PLACES)}, {date(rng, year=True)}", look, top, margin, width, "center")
    sheet.rule(top + 2, margin, margin + width, desk.ink, 2)
    topics = ("notícias locais", "desporto", "cultura", "opinião", "tempo")
    articles = [desk.write(*topics) for _ in range(count)]
    if articles[0].title:
        top = sheet.write(articles[0].title, Look(desk.bold, 34, desk.ink), top + 14, margin, width, leading=1.2)
    if desk.chance(0.5):
        top = sheet.write(f"Por {woman_or_man(rng)}", look._replace(face=desk.bold), top, margin, width)
    column, foot = (width - (count - 1) * gap) // count, top
    for number, article in enumerate(articles):
        sheet.next_region()
        left, start = margin + number * (column + gap), top + 12
        if number and article.title:
            start = sheet.write(article.title, Look(desk.bold, 23, desk.ink), start, left, column, leading=1.2)
        foot = max(foot, sheet.write(article.text, look, start, left, column, leading=1.32))
        if number and desk.chance(0.6):
            sheet.canvas.line((left - gap // 2, top + 16, left - gap // 2, foot), fill=(150, 150, 150))
    sheet.cut(foot + 26)
    return sheet


def leaflet(desk: Desk) -> Sheet:
    """A leaflet: two texts side by side, each under its title."""
    rng, look = desk.rng, desk.body(18, 21)
    sheet, margin, gap = Sheet(rng.randint(740, 880), desk.paper), 34, 36
    column, foot = (sheet.width - 2 * margin - gap) // 2, 0
    topics = ("saúde", "natureza", "ciência", "história", "dinheiro", "tecnologia", "comércio", "administração")
    titles = ("Saúde", "Natureza", "Ciência", "História", "Contas", "Tecnologia", "Comércio", "Serviços")
    for number, chosen in enumerate(rng.sample(range(len(topics)), 2)):
        left = margin + number * (column + gap)
        title = Look(desk.bold, 30, desk.accent)
        top = sheet.write(titles[chosen], fit(titles[chosen], title, column), 30, left, column)
        foot = max(foot, sheet.write(desk.write(topics[chosen]).text, look, top + 8, left, column))
        sheet.next_region()
    sheet.cut(foot + 30)
    return sheet


def slide(desk: Desk) -> Sheet:
    """A slide: a title, three to six points."""
    rng = desk.rng
    dark = desk.chance(0.35)
    sheet = Sheet(rng.randint(800, 920), desk.accent if dark else desk.paper)
    ink, margin = WHITE if dark else desk.ink, 56
    width, (title, points) = sheet.width - 2 * margin, rng.choice(_slides())
    look = Look(desk.bold, 44, WHITE if dark else desk.accent)
    top = sheet.write(title, fit(title, look, width), 40, margin, width) + 20
    for point in sorted(rng.sample(points, rng.randint(3, len(points))), key=points.index):
        top = sheet.write(f"– {fill(point, rng)}", Look(desk.face, 27, ink), top + 8, margin, width)
    small = Look(desk.face, 18, ink)
    if desk.chance(0.5):
        top = sheet.write(f"{woman_or_man(rng)}, {rng.randint(2019, 2027)}", small, top + 24, margin, width, "right")
    sheet.cut(max(top + 36, round(sheet.width * 0.56)))
    return sheet


@lru_cache
def _slides() -> list[tuple[str, list[str]]]:
    """Read the titles of slides with their points."""
    lines = SLIDES.read_text(encoding="utf-8").splitlines()
    return [(title, points.split("; ")) for title, _, points in (line.partition(": ") for line in lines)]


def poster(desk: Desk) -> Sheet:
    """A poster of an event, all in the middle, on a coloured ground as a rule."""
    rng = desk.rng
    dark = desk.chance(0.6)
    sheet = Sheet(rng.randint(520, 660), desk.accent if dark else desk.paper)
    ink, margin = WHITE if dark else desk.ink, 40
    width, event = sheet.width - 2 * margin, rng.choice(list(_EVENTS))
    top = sheet.write(
        f"{event} de {rng.choice(words.PLACES)}", Look(desk.bold, 52, ink), 50, margin, width, "center", 1.2
    )
    lines = [f"{date(rng, months=_EVENTS[event])}, {clock(rng.randint(20, 43) * 30)}", rng.choice(_SPOTS)]
    lines += [line.format(n=rng.randint(2, 12)) for line in rng.sample(_ENTRIES, rng.randint(1, 2))]
    for line in lines:
        look = Look(desk.face, 28, ink)
        top = sheet.write(line, fit(line, look, width), top + 14, margin, width, "center")
    sheet.cut(top + 50)
    sheet.frame(ink, rng.randint(2, 6))
    return sheet


def book_page(desk: Desk) -> Sheet:
    """A page of a book: a chapter's title, paragraphs, the page's number at the foot."""
    rng, look = desk.rng, desk.body(19, 22)
    sheet, margin = Sheet(rng.randint(560, 660), desk.paper), 62
    width, top = sheet.width - 2 * margin, 60
    chapter, paragraphs = desk.write.story()
    if chapter and desk.chance(0.7):
        top = sheet.write(chapter, look._replace(size=30), top, margin, width, "center") + 16
    for paragraph in paragraphs:
        top = sheet.write(paragraph, look, top + 8, margin, width, leading=1.42)
    top = sheet.write(str(rng.randint(7, 320)), look, top + 24, margin, width, "center")
    sheet.cut(top + 30)
    return sheet
