"""What is asked of a translator, of the model that repairs, and of a judge: files in European Portuguese."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from .languages import SOURCES, TARGETS
from .structure import Fault

FOLDER = Path(__file__).with_name("prompts")
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.md")))
_VERSION = "versão: "  # begins the first line, for people; the model does not get it


def translation_prompt(text: str, target: str, source: str = "en", context: str = "") -> str:
    """Ask for the translation of a masked text.

    Args:
        text: With places, as `masks.mask` leaves it.
        target: One of `TARGETS`.
        source: One of `SOURCES`.
        context: What it belongs to, the question of an option: it is not translated.
    """
    around = f"O texto pertence a isto, que não deves traduzir:\n{context}\n\n" if context else ""
    return _filled("translate", target, source, text=text, context=around)


def one_entry(text: str, target: str, source: str = "en") -> list[dict[str, Any]]:
    """Give TranslateGemma's form of a message: its template wants one entry with both languages, and writes the rest.

    Returns:
        The content of the user's message, the only one.
    """
    codes = {"source_lang_code": source, "target_lang_code": target}
    return [{"type": "text", **codes, "text": text}]


def repair_prompt(text: str, draft: str, faults: Sequence[Fault], target: str, source: str = "en") -> str:
    """Ask another model for a translation without the faults of a draft.

    Args:
        text: With places.
        draft: What the translator said, places and all; empty where it said nothing.
        faults: What is wrong with it.
        target: One of `TARGETS`.
        source: One of `SOURCES`.
    """
    listed = "\n".join(f"- {fault.rule}: {fault.detail}" for fault in faults)
    return _filled("repair", target, source, text=text, draft=draft or "(nada)", faults=listed)


def back_prompt(text: str, target: str, source: str = "en") -> str:
    """Ask for a translation back into the source's language."""
    return _filled("back", target, source, text=text)


def judge_prompt(text: str, translation: str, target: str, source: str = "en") -> str:
    """Ask whether a translation says what its source says."""
    return _filled("judge", target, source, text=text, translation=translation)


def row_prompt(text: str, target: str, source: str = "en") -> str:
    """Ask for a benchmark's row, question and options at once: JSON of masked texts."""
    return _filled("row", target, source, text=text)


def row_repair_prompt(text: str, draft: str, faults: Sequence[Fault], target: str, source: str = "en") -> str:
    """Ask for a row without the faults of a draft; both are JSON."""
    listed = "\n".join(f"- {fault.rule}: {fault.detail}" for fault in faults)
    return _filled("row_repair", target, source, text=text, draft=draft or "(nada)", faults=listed)


def read_verdict(answer: str) -> str | None:
    """Read a judge's answer: nothing is wrong (an empty text), or what is; None where it is neither.

    >>> read_verdict("CERTA"), read_verdict("ERRADA: falta o não"), read_verdict("Talvez.")
    ('', 'falta o não', None)
    """
    first, _, rest = answer.strip().strip("*").partition("\n")
    word, _, reason = first.partition(":")
    verdict = word.strip(" .*").upper()
    if verdict == "CERTA":
        return ""
    if verdict == "ERRADA":
        return (reason or rest).strip(" *") or "não diz porquê"
    return None


def prompts_digest(names: Sequence[str] = NAMES) -> str:
    """Hash prompts: another wording is another translation."""
    return hashlib.sha256(b"".join((FOLDER / f"{name}.md").read_bytes() for name in names)).hexdigest()


def _filled(name: str, target: str, source: str, **gaps: str) -> str:
    first, _, text = (FOLDER / f"{name}.md").read_text(encoding="utf-8").partition("\n")
    if not first.startswith(_VERSION):
        raise ValueError(f"{name}.md must begin with a line {_VERSION!r} and a number, not {first!r}")
    variety = _EUROPEAN if target == "pt-PT" else ""
    languages = {"source": SOURCES[source], "target": TARGETS[target].name, "variety": variety}
    return Template(text.strip()).substitute(**languages, **gaps)


_EUROPEAN = (
    " Escreve como em Portugal, com o Acordo Ortográfico de 1990: autocarro, telemóvel, ecrã, «está a correr»; nada do"
    " português do Brasil."
)
