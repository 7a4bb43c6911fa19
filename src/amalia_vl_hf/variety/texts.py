"""Texts of one variety: folders of plain text, dialogues, treebanks, web pages, help pages, manuals and man pages.

A paragraph is a text. Of a web or help page only what stands in paragraphs, lists, tables and titles is read.
"""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

from .corpus import plain
from .text import is_portuguese

FEWEST_WORDS = 5  # of a paragraph: what is shorter is a title, a name or a command

_BLOCK = re.compile(r"<(p|para|li|td|dd|title|desc|h\d)\b[^>]*>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_UNREAD = re.compile(
    r"<!--.*?-->|<(script|style|pre|screen|programlisting|code|info|bookinfo|head)\b.*?</\1>",
    re.DOTALL | re.IGNORECASE,
)
_MACRO = re.compile(r"^[.'].*$", re.MULTILINE)
_FONT = re.compile(r"\\f(?:\[\w*\]|\(\w\w|\w)|\\[&/|^%:]|\\s[+-]?\d")
_PARAGRAPHS = re.compile(r"\n\s*\n|\n%\n")
_SENTENCE = re.compile(r"^# text = (.*)$", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]{2,}")


def read_texts(folder: Path) -> list[str]:
    """Read every text of a folder and what is below it, each once, in the order of the files' names.

    Known: `.txt` and `.md` (a text a paragraph), `.jsonl` (a text a row: `text`, or a conversation as training reads
    it), `.conllu` (a text a sentence), `.html`, `.htm`, `.xml`, `.page`, `.docbook`, and man pages (`.1` to `.8`,
    gzipped or not). Paragraphs of fewer than five words and those that are not Portuguese are left out.

    Raises:
        ValueError: There is no such folder, it has no such text, or a file is damaged (named).
    """
    if not folder.is_dir():
        raise ValueError(f"no such folder of texts: {folder}")
    texts: dict[str, None] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink():
            texts.update(dict.fromkeys(read_file(file)))
    if not texts:
        known = ".txt, .md, .jsonl, .conllu, .html, .xml and man pages"
        raise ValueError(f"{folder}: no Portuguese text in it; known are {known}")
    return list(texts)


def read_file(file: Path) -> Iterator[str]:
    """Give the paragraphs of a file; none of a file of another kind.

    Raises:
        ValueError: It is damaged, or not UTF-8.
    """
    name = file.name.removesuffix(".gz")
    kind = name[name.rfind(".") :] if "." in name else ""
    if kind not in (".txt", ".md", ".jsonl", ".conllu", ".html", ".htm", ".xml", ".page", ".docbook", *_SECTIONS):
        return
    try:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        paragraphs = _paragraphs(data.decode("utf-8"), kind)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{file}: damaged, or not UTF-8: {error}") from error
    for paragraph in map(plain, paragraphs):
        if len(_WORD.findall(paragraph)) >= FEWEST_WORDS and is_portuguese(paragraph):
            yield paragraph


_SECTIONS = tuple(f".{number}" for number in range(1, 9))


def _paragraphs(text: str, kind: str) -> list[str]:
    from .filter import dialogue

    if kind == ".jsonl":
        return [dialogue(json.loads(line)) for line in text.splitlines() if line.strip()]
    if kind == ".conllu":
        return _SENTENCE.findall(text)
    if kind in _SECTIONS:
        return [_FONT.sub("", block).replace("\\-", "-") for block in _PARAGRAPHS.split(_MACRO.sub("\n", text))]
    if kind in (".txt", ".md"):
        return _PARAGRAPHS.split(text)
    return [html.unescape(match[2]) for match in _BLOCK.finditer(_UNREAD.sub(" ", text))]
