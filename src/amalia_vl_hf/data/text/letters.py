"""Documents that people write to one another: letters, e-mails, notices, notes, messages, postcards, recipes."""

from __future__ import annotations

from . import words
from .passages import TITLED
from .sheet import WHITE, Desk, InkPiece, Look, Sheet, break_lines, fit, length, line_step
from .words import clock, date, town, woman_or_man

# Who writes about what, and what those are to them to whom they write, a woman or a man.
_OFFICES: dict[str, tuple[tuple[str, ...], tuple[str, str]]] = {
    "Marcação de entrevista": (
        ("Laboratório de Análises", "Hospital Distrital", "Adega Cooperativa", "Centro Tecnológico"),
        ("candidata", "candidato"),
    ),
    "Renovação de contrato": (
        ("Imobiliária Horizonte", "Gestão de Arrendamentos", "Imobiliária Central"),
        ("inquilina", "inquilino"),
    ),
    "Proposta de pintura": (
        ("Pinturas e Restauros", "Construções Horizonte", "Oficina de Pintura"),
        ("cliente", "cliente"),
    ),
    "Convite": (
        ("Escola Secundária", "Agrupamento de Escolas", "Escola Básica", "Conservatório de Música"),
        ("amiga da escola", "amigo da escola"),
    ),
    "Agradecimento": (
        ("Abrigo dos Animais", "Associação Zoófila", "Liga dos Animais"),
        ("amiga", "amigo"),
    ),
    "Horário da biblioteca": (("Biblioteca Municipal", "Rede de Bibliotecas"), ("leitora", "leitor")),
    "Confirmação de reserva": (
        ("Hotel Central", "Residencial Avenida", "Hospedaria do Largo", "Pousada"),
        ("cliente", "cliente"),
    ),
    "Relatório da visita": (
        ("Gabinete de Engenharia", "Peritagens e Projetos", "Serviços de Inspeção Predial"),
        ("cliente", "cliente"),
    ),
    "Obras na escada": (
        ("Administração de Condomínios", "Condomínio do Edifício Sol", "Gestão de Condomínios"),
        ("condómina", "condómino"),
    ),
    "Bolsa de estudo": (
        ("Serviços de Ação Social", "Fundação para o Ensino", "Instituto Politécnico"),
        ("estudante", "estudante"),
    ),
    "Livro por devolver": (("Biblioteca Municipal", "Rede de Bibliotecas"), ("leitora", "leitor")),
}
# Who may write what users have to say.
_ANY_OFFICE = (
    ("Junta de Freguesia", "Câmara Municipal", "Associação de Moradores", "Centro de Saúde", "Museu da Cidade"),
    ("leitora", "leitor"),
)
_GREETINGS = (
    "Exmos. Senhores,", "Exma. Senhora,", "Exmo. Senhor,", "Estimados Senhores,", "Caros Senhores,",
    "Ilustres Senhores,", "Ex.mos Senhores,", "Senhores,", "Bom dia,", "Boa tarde,",
)  # fmt: skip
# To a woman and to a man.
_ANSWERS = (
    ("Cara Senhora {surname},", "Exma. Senhora,", "Estimada {role},", "Cara {role},", "Bom dia,"),
    ("Caro Senhor {surname},", "Exmo. Senhor,", "Estimado {role},", "Caro {role},", "Boa tarde,"),
)
_CLOSINGS = (
    "Com os melhores cumprimentos,", "Atentamente,", "Cordialmente,", "Com consideração,", "Sem outro assunto,",
    "Na expectativa da vossa resposta,", "Agradecendo desde já,", "Respeitosamente,", "Com toda a consideração,",
    "Melhores cumprimentos,", "Ao dispor,", "Com elevada estima,", "Com os meus agradecimentos,",
)  # fmt: skip
_WARM = (
    ("Olá, {first}!", "Viva!", "Querida {first},", "Minha cara {first},", "{first},", "Bom dia, {first}!"),
    ("Olá, {first}!", "Viva!", "Meu caro {first},", "Caro {first},", "{first},", "Bom dia, {first}!"),
)
_KISSES = (
    "Um abraço,", "Beijinhos,", "Até logo,", "Até amanhã,", "Um abraço a todos aí,", "Com saudades,",
    "Bom fim de semana,", "Fica bem,", "Até já,",
)  # fmt: skip
_CASUAL = (
    "Olá", "Sem pressa", "Por causa de amanhã", "Novidades", "Antes que me esqueça", "Coisas de casa",
    "Tu é que sabes", "Assunto pendente", "Uma pergunta", "Para não esquecer",
)  # fmt: skip
# Of a woman and of a man who signs for an office.
_SIGNERS = (
    ("A Secretária", "A Diretora", "A Coordenadora", "A Responsável", "A Técnica Superior", "A Gerente"),
    ("O Administrativo", "O Diretor", "O Coordenador", "O Responsável", "O Técnico Superior", "O Gerente"),
)
# Of a woman and of a man who puts a notice up.
_ROLES = (
    ("A Secretária", "A Técnica Superior", "A Diretora", "A Coordenadora", "A Presidente"),
    ("O Administrador", "O Presidente", "O Responsável", "O Tesoureiro", "O Diretor"),
)
_DOMAINS = ("exemplo.pt", "correio.exemplo.pt", "freguesia.exemplo.pt", "escola.exemplo.pt", "casa.exemplo.pt")
_PLAIN = str.maketrans("áàâãéêíóôõúçÁÉÍÓÚÂÊÔÇ", "aaaaeeioooucAEIOUAEOC")
_NOTICE_TITLES = (
    "AVISO", "Aviso", "ATENÇÃO", "INFORMAÇÃO", "Comunicado", "NOTA INFORMATIVA", "Anúncio", "Aviso à população",
    "IMPORTANTE", "Esclarecimento", "A todos", "Aviso importante", "Para conhecimento", "Informa-se",
)  # fmt: skip


def letter(desk: Desk) -> Sheet:
    """A formal letter: who writes, to whom, where and when, about what, the text, who signs."""
    rng, body = desk.rng, desk.body(18, 21)
    sheet, margin = Sheet(rng.randint(700, 840), desk.paper), rng.randint(50, 80)
    width, top = sheet.width - 2 * margin, margin
    from_office, writer, home = desk.chance(0.5), woman_or_man(rng), town(rng)
    place = rng.choice(words.PLACES) if from_office else home.partition(" ")[2]
    subject, text = desk.write("cartas de serviços" if from_office else "cartas de particulares")
    offices, roles = _OFFICES.get(subject, _ANY_OFFICE)
    if from_office:
        name = f"{rng.choice(offices)} de {place}"
        top = sheet.write(name, fit(name, desk.heading(28), width), top, margin, width, rng.choice(("left", "center")))
        sheet.rule(top + 4, margin, margin + width, desk.accent, 2)
        top += 20
    reader = woman_or_man(rng) if from_office else ""  # whoever writes to an office puts their own address first
    address = f"{reader or writer}\n{rng.choice(words.STREETS)}, {rng.randint(2, 180)}\n{home}"
    left = rng.choice((margin, margin + width // 2))
    for line in address.split("\n"):
        top = sheet.write(line, body, top, left, width // 2)
    top = sheet.write(f"{place}, {date(rng, year=True)}", body, top + 16, margin, width, "right")
    if subject and desk.chance(0.7):
        top = sheet.write(f"Assunto: {subject}", body._replace(face=desk.bold), top + 14, margin, width)
    greeting = _greet(desk, reader, _ANSWERS, roles) if from_office else rng.choice(_GREETINGS)
    top = sheet.write(greeting, body, top + 12, margin, width)
    top = sheet.write(text, body, top + 10, margin, width, leading=1.4)
    top = sheet.write(rng.choice(_CLOSINGS), body, top + 14, margin, width)
    top = sheet.write(writer, desk.pen(26, 34), top + 8, margin, width)
    if from_office:
        top = sheet.write(rng.choice(_SIGNERS[_is_man(writer)]), body, top, margin, width)
    sheet.cut(top + margin // 2)
    return sheet


def email(desk: Desk) -> Sheet:
    """An e-mail on a screen: its header, then the text."""
    rng, look = desk.rng, desk.body(18, 20)
    sheet, margin = Sheet(rng.randint(660, 800), WHITE), 28
    width, top, who, reader = sheet.width - 2 * margin, 62, woman_or_man(rng), woman_or_man(rng)
    sheet.canvas.rectangle((0, 0, sheet.width, 44), fill=desk.accent)
    formal = desk.chance(0.5)
    title, text = desk.write("cartas de particulares" if formal else "mensagens")
    subject = f"{rng.choice(('', 'Re: ', 'Fwd: '))}{title or rng.choice(_CASUAL)}"
    sheet.write(subject, fit(subject, Look(desk.bold, 20, WHITE), width), 8, margin, width)
    names = ("De", "Para", "Data")
    values = (f"{who} <{_mail(desk, who)}>", _mail(desk, reader), f"{date(rng, year=True)}, {_time(desk)}")
    for name, value in zip(names, values, strict=True):
        label = look._replace(face=desk.bold)
        pieces = [InkPiece(f"{name}:", label, margin), InkPiece(value, fit(value, look, width - 84), margin + 80)]
        top = sheet.row(pieces, top, glue=" ")
    sheet.rule(top + 6, margin, margin + width, (200, 200, 200))
    greeting = rng.choice(_GREETINGS) if formal else _greet(desk, reader, _WARM)
    top = sheet.write(greeting, look, top + 20, margin, width)
    top = sheet.write(text, look, top + 8, margin, width)
    top = sheet.write(rng.choice(_CLOSINGS if formal else _KISSES), look, top + 12, margin, width)
    top = sheet.write(who, look, top, margin, width)
    sheet.cut(top + 24)
    return sheet


def notice(desk: Desk) -> Sheet:
    """A notice on a door: a title in large letters, what is to be known, who says so."""
    rng = desk.rng
    paper, dark = (desk.paper, False) if desk.chance(0.8) else (desk.accent, True)
    sheet, margin = Sheet(rng.randint(560, 760), paper), rng.randint(40, 60)
    width, top, ink = sheet.width - 2 * margin, margin, WHITE if dark else desk.ink
    title = Look(desk.bold, rng.randint(40, 58), WHITE if dark else rng.choice((desk.ink, desk.accent)))
    text = rng.choice(_NOTICE_TITLES)
    top = sheet.write(text, fit(text, title, width), top, margin, width, "center") + 16
    look = Look(desk.face, rng.randint(22, 28), ink)
    top = sheet.write(desk.write("avisos").text, look, top, margin, width, rng.choice(("left", "left", "center")))
    if desk.chance(0.7):
        role = rng.choice(("A Direção", *_ROLES[0], *_ROLES[1]))
        top = sheet.write(role, look, top + 20, margin, width, rng.choice(("left", "center", "right")))
    if desk.chance(0.5):
        small = look._replace(size=18)
        top = sheet.write(f"{rng.choice(words.PLACES)}, {date(rng, year=True)}", small, top + 8, margin, width)
    sheet.cut(top + margin)
    if desk.chance(0.6):
        sheet.frame(ink, 4)
    return sheet


def note(desk: Desk) -> Sheet:
    """A note by hand, on ruled paper, squared paper or a yellow slip."""
    rng, pen = desk.rng, desk.pen(26, 34)
    slip = desk.chance(0.4)
    sheet = Sheet(rng.randint(480, 680), (255, 245, 157) if slip else desk.paper)
    margin = rng.randint(34, 60)
    text = desk.write("mensagens", "casa e jardim", "bairro", "animais", "cozinha").text
    step, width = line_step(pen, 1.5), sheet.width - 2 * margin
    if not slip:
        count = len(break_lines(text, pen, width)) + 3
        for line in range(1, count):
            sheet.rule(24 + line * step + 6, 0, sheet.width, (186, 206, 228))
        sheet.canvas.line((margin - 10, 0, margin - 10, 1500), fill=(232, 160, 160))
    top = sheet.write(text, pen, 30, margin, width, leading=1.5)
    if desk.chance(0.6):
        top = sheet.write(rng.choice((*words.WOMEN, *words.MEN)), pen, top, margin, width, "right", leading=1.5)
    sheet.cut(top + 30)
    return sheet


def chat(desk: Desk) -> Sheet:
    """Messages on a telephone, one below the other, those of one person on the right."""
    rng, look = desk.rng, desk.body(19, 22)
    sheet = Sheet(rng.randint(440, 540), (236, 240, 243))
    sheet.canvas.rectangle((0, 0, sheet.width, 52), fill=desk.accent)
    bar = fit(name := woman_or_man(rng), Look(desk.bold, 22, WHITE), sheet.width - 60)
    sheet.write(name, bar, 10, 30, sheet.width - 60)
    top, width, first = 70, round(sheet.width * 0.66), rng.randint(0, 1)
    for number, text in enumerate(desk.write.conversation()):
        mine = number % 2 == first
        lines = break_lines(text, look, width)
        right = max(length(line, look) for line in lines)
        left = sheet.width - 36 - right if mine else 36
        foot = top + line_step(look, 1.3) * len(lines) + 8
        if foot > 1300:
            break
        fill = (214, 240, 210) if mine else WHITE
        sheet.canvas.rounded_rectangle((left - 14, top - 6, left + right + 14, foot), 14, fill=fill)
        sheet.write(text, look, top, left, right + 2, leading=1.3)
        top = foot + 22
    sheet.cut(top)
    return sheet


def postcard(desk: Desk) -> Sheet:
    """A postcard's back: greetings on the left, the address on the right."""
    rng = desk.rng
    sheet, pen = Sheet(rng.randint(780, 900), desk.paper), desk.pen(26, 30)
    middle = sheet.width // 2
    foot = sheet.write(desk.write("mensagens").text, pen, 36, 30, middle - 60)
    foot = sheet.write(rng.choice((*words.WOMEN, *words.MEN)), pen, foot + 8, 30, middle - 60, "right")
    sheet.next_region()
    sheet.canvas.rectangle((sheet.width - 110, 24, sheet.width - 28, 124), outline=desk.accent, width=3)
    top = 190
    for line in (woman_or_man(rng), f"{rng.choice(words.STREETS)}, {rng.randint(2, 180)}", *town(rng).split("\n")):
        top = sheet.write(line, fit(line, pen, middle - 60), top, middle + 30, middle - 50, leading=1.6)
        sheet.rule(top - 2, middle + 30, sheet.width - 30, (170, 170, 170))
    sheet.canvas.line((middle, 30, middle, max(foot, top)), fill=(150, 150, 150), width=2)
    sheet.cut(max(foot, top) + 30)
    return sheet


def recipe(desk: Desk) -> Sheet:
    """A recipe: a title, what it takes in one column, how it is done below."""
    rng = desk.rng
    look = desk.body(20, 23) if desk.chance(0.6) else desk.pen(26, 30)
    sheet, margin = Sheet(rng.randint(560, 720), desk.paper), 44
    width = sheet.width - 2 * margin
    title, text = desk.write("receitas")
    dish, _, listed = title.partition(TITLED)
    if dish:
        top = sheet.write(dish, fit(dish, Look(desk.bold, 38, desk.accent), width), margin, margin, width)
    else:
        top = margin
    for line in listed.split("; ") if listed else ():
        top = sheet.write(f"– {line}", look, top, margin, width)
    top = sheet.write(text, look, top + 16, margin, width)
    sheet.cut(top + margin)
    return sheet


def _greet(
    desk: Desk, name: str, wordings: tuple[tuple[str, ...], tuple[str, ...]], roles: tuple[str, str] = ("", "")
) -> str:
    """Greet whoever reads, by wordings, and by what they are to whoever writes, for women and for men."""
    man, (first, *_, last) = _is_man(name), name.split()
    return desk.rng.choice(wordings[man]).format(first=first, surname=last, role=roles[man])


def _is_man(name: str) -> bool:
    return name.split()[0] in words.MEN


def _mail(desk: Desk, name: str) -> str:
    first, *_, last = name.lower().translate(_PLAIN).split()
    return f"{first}.{last}@{desk.rng.choice(_DOMAINS)}"


def _time(desk: Desk) -> str:
    return clock(desk.rng.randint(7 * 60, 23 * 60), ":")
