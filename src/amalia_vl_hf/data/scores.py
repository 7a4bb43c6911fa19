"""Scores that a judge gives: the last line of its answer, `Nota: 7`, from 1 to 10."""

LOWEST, HIGHEST = 1, 10


def read_score(answer: str) -> int | None:
    r"""Read a score strictly; None where the last line is another, or no whole number from 1 to 10.

    >>> read_score("Falta o fundo.\nNota: 7"), read_score("**Nota: 10/10**"), read_score("Nota: 7 ou 8")
    (7, 10, None)
    """
    lines = [line for text in answer.splitlines() if (line := text.strip(" *_`."))]
    label, colon, value = lines[-1].partition(":") if lines else ("", "", "")
    value = value.strip(" *_`").removesuffix("/10").strip()
    if label.strip(" *_`").lower() != "nota" or not colon or not value.isdecimal():
        return None
    return int(value) if LOWEST <= int(value) <= HIGHEST else None
