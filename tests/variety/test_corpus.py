import gettext
import gzip
import io
import json
import struct
import zipfile

import pytest

from amalia_vl_hf.variety.corpus import (
    Pair,
    paired,
    plain,
    read_fluent,
    read_help,
    read_json,
    read_manual,
    read_mo,
    read_pairs,
    read_pak,
    read_properties,
    versions,
)

EUROPEAN, BRAZILIAN = "Guarde o ficheiro antes de sair.", "Salve o arquivo antes de sair."


def compiled(messages, order="<"):
    """Write a gettext catalogue: header, two tables of lengths and offsets, the texts."""
    texts = [
        text.encode() for side in (sorted(messages), [messages[key] for key in sorted(messages)]) for text in side
    ]
    count, start = len(messages), 28 + 16 * len(messages)
    tables = b""
    for text in texts:
        tables += struct.pack(f"{order}2I", len(text), start)
        start += len(text) + 1
    header = struct.pack(f"{order}7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0)
    return header + tables + b"".join(text + b"\0" for text in texts)


def pak(messages):
    """Write a file of Chromium's resources: header, numbers and places, the texts."""
    data = b"".join(messages.values())
    place, entries = 12 + 6 * (len(messages) + 1), b""
    for number, text in [*messages.items(), (0, b"")]:
        entries += struct.pack("<HI", number, place)
        place += len(text)
    return struct.pack("<IB3xHH", 5, 1, len(messages), 0) + entries + data


def catalogue(packages, package, locale, messages):
    folder = packages / package / "usr/share/locale" / locale / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "program.mo").write_bytes(compiled(messages))


def page(text):
    return f'<html><body><h1 id="hd_id1" dir="auto">{text}</h1><p class="x">x</p></body></html>'


def test_a_catalogue_is_read_as_gettext_reads_it():
    messages = {"": "Content-Type: text/plain; charset=UTF-8\n", "Save": "Guardar", "menu\4File": "Ficheiro"}
    data = compiled(messages)
    standard = gettext.GNUTranslations(io.BytesIO(data))
    assert read_mo(data) == {"Save": standard.gettext("Save"), "menu\4File": standard.pgettext("menu", "File")}
    assert read_mo(compiled(messages, ">")) == read_mo(data)


def test_plural_forms_are_entries():
    plural = {"one file\0%d files": "um ficheiro\0%d ficheiros"}
    assert sorted(read_mo(compiled(plural)).values()) == ["%d ficheiros", "um ficheiro"]


def test_a_help_page_is_read_by_paragraph():
    source = page("Guardar <b>tudo</b>") + '<p id="par_idN1" class="y">linha\ndois</p>'
    assert read_help(source) == {"hd_id1": "Guardar <b>tudo</b>", "par_idN1": "linha\ndois"}


def test_a_manual_is_read_by_place_and_joined_only_where_paragraphs_are_as_many(tmp_path):
    page = "<page><info><desc>de quem é</desc></info><title>Guardar</title><p>Guarde <b>o</b> ficheiro</p></page>"
    assert read_manual(page) == {"0/2": "Guardar", "1/2": "Guarde <b>o</b> ficheiro"}
    for locale, texts in (("pt", (EUROPEAN, EUROPEAN)), ("pt_BR", (BRAZILIAN, BRAZILIAN + " Já."))):
        folder = tmp_path / "docs" / "help" / locale / "app"
        folder.mkdir(parents=True)
        (folder / "save.page").write_text("".join(f"<p>{text}</p>" for text in texts), encoding="utf-8")
        (folder / "open.page").write_text("<p>Abra o que quer.</p>" * len(locale), encoding="utf-8")
    assert [pair.brazilian for pair in read_pairs(tmp_path)] == [BRAZILIAN, f"{BRAZILIAN} Já."]


def test_fluent_entries_attributes_and_variants():
    source = """
# comment
save-button =
    .label = Guardar
    .accesskey = G
title = Página
    seguinte
found =
    { $count ->
        [one] Uma página
       *[other] { $count } páginas
    }
"""
    assert read_fluent(source) == {
        "save-button.label": "Guardar",
        "title": "Página seguinte",
        "found*": "Uma página",
        "found**": "{ $count } páginas",
    }


def test_properties():
    source = "# comment\nsave.label = Guardar = já\nsave.accesskey = G\nempty=\n"
    assert read_properties(source) == {"save.label": "Guardar = já"}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("<b>Guardar</b> &amp; sair", "Guardar & sair"),
        ("_Guardar %s em {0}", "Guardar em"),
        ("~Abrir o &ficheiro", "Abrir o ficheiro"),
        ("Abra https://exemplo.pt agora", "Abra agora"),
        ("Abra { $name }\\nagora", "Abra agora"),
    ],
)
def test_messages_become_plain(message, text):
    assert plain(message) == text


def test_pairs_that_tell_nothing_are_left_out():
    european = {
        "Save it": "Guardar o ficheiro",
        "Same": "A mesma coisa",
        "Case": "Outra Coisa",
        "Old": "Uma acção nova",
        "Not done": "Not done",
        "One": "Ficheiro",
        "Alone": "Só de um lado",
        "Left in English": "This is what the file was for.",
    }
    brazilian = {
        "Save it": "Salvar o arquivo",
        "Same": "A mesma coisa",
        "Case": "outra coisa.",
        "Old": "Uma ação nova",
        "Not done": "Não feito ainda",
        "One": "Arquivo",
        "Left in English": "Para que o arquivo serviu.",
    }
    assert list(paired(european, brazilian)) == [("Guardar o ficheiro", "Salvar o arquivo")]


def test_packages_are_joined_over_their_languages(tmp_path):
    catalogue(tmp_path, "okular_22_amd64", "pt", {"Save": EUROPEAN})
    catalogue(tmp_path, "okular-br", "pt_BR", {"Save": "another package"})
    catalogue(tmp_path, "tuxpaint-data", "pt_PT", {"Open": "Abrir o ecrã agora"})
    catalogue(tmp_path / "tuxpaint-data", "nested", "pt_BR", {"Open": "Abrir a tela agora"})
    for package, locale, text in (("office-help-pt_7", "pt", EUROPEAN), ("office-help-pt-br_7", "pt-BR", BRAZILIAN)):
        folder = tmp_path / package / "help" / locale / "text"
        folder.mkdir(parents=True)
        (folder / "save.html").write_text(page(text), encoding="utf-8")
    for package, locale, text in (("fox-l10n-pt-pt_1", "pt-PT", EUROPEAN), ("fox-l10n-pt-br_1", "pt-BR", BRAZILIAN)):
        (tmp_path / package).mkdir()
        with zipfile.ZipFile(tmp_path / package / f"langpack-{locale}@fox.xpi", "w") as pack:
            pack.writestr(f"localization/{locale}/app.ftl", f"save = {text} Já.\n")
    assert sorted(read_pairs(tmp_path)) == [
        Pair("fox-l10n", f"{EUROPEAN} Já.", f"{BRAZILIAN} Já."),
        Pair("office-help", EUROPEAN, BRAZILIAN),
        Pair("tuxpaint-data", "Abrir o ecrã agora", "Abrir a tela agora"),
    ]


def test_resources_are_strings_by_number_and_pages_are_left_out():
    assert read_pak(pak({7: "Guardar já".encode(), 9: gzip.compress(b"<html>"), 300: b""})) == {
        "7": "Guardar já",
        "300": "",
    }


def test_json_is_read_by_place_without_the_locale_at_its_top():
    content = {"menu": {"save": "Guardar", "more": ["um", "dois"]}, "count": 3, "none": None}
    messages = {"/menu/save": "Guardar", "/menu/more/0": "um", "/menu/more/1": "dois"}
    assert read_json(json.dumps(content)) == messages
    european, brazilian = (read_json(json.dumps({locale: content})) for locale in ("pt", "pt-BR"))
    assert european.keys() == brazilian.keys()
    assert list(european.values()) == list(messages.values())


def test_files_named_after_their_locale_are_joined(tmp_path):
    hexes = "0123456789abcdef" * 2
    names = {
        "scratch-l10n_3/editor/{}.json": ("pt", "pt-br"),
        "frontend_1/translations/page/{}-" + hexes + ".json": ("pt", "pt-BR"),
        "chromium-l10n_156/locales/{}.pak": ("pt-PT", "pt-BR"),
    }
    for name, locales in names.items():
        for locale, text in zip(locales, (EUROPEAN, BRAZILIAN), strict=True):
            file = tmp_path / name.format(locale)
            file.parent.mkdir(parents=True, exist_ok=True)
            text = f"{file.suffix} {file.parent.name}: {text}"
            file.write_bytes(pak({4: text.encode()}) if file.suffix == ".pak" else json.dumps({"save": text}).encode())
    (tmp_path / "frontend_1/translations/page/other.json").write_text(json.dumps({"save": "Outro texto aqui"}))
    assert sorted(pair.package for pair in read_pairs(tmp_path)) == ["chromium-l10n", "frontend", "scratch-l10n"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("pt.json", b"{"),
        ("pt-PT.pak", b"no"),
        ("pt-PT.pak", struct.pack("<IB3xHH", 4, 1, 0, 0)),
        ("pt-PT.pak", struct.pack("<IB3xHH", 5, 2, 0, 0)),
        ("pt-PT.pak", pak({4: b"Guardar"})[:-2]),
        ("pt-PT.pak", pak({4: b"Guardar\xff"})),
    ],
)
def test_damaged_files_of_strings_are_named(name, data, tmp_path):
    (tmp_path / "chromium-l10n").mkdir()
    (tmp_path / "chromium-l10n" / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"{name}: damaged"):
        read_pairs(tmp_path)


def test_versions_are_in_the_names_of_folders(tmp_path):
    for name in ("fox-l10n-pt-pt_1%3a153.7.0esr-1_all", "okular"):
        (tmp_path / name).mkdir()
    assert versions(tmp_path) == {"fox-l10n-pt-pt": "1:153.7.0esr-1", "okular": "unknown"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text, not a catalogue at all, whatever",
        compiled({"Save": "Guardar"})[:40],
        compiled({"Save": "Guardar tudo"})[:-9],
        compiled({"Save": "Guardar"}).replace(b"Guardar", b"\xff\xfe\xff\xfe\xff\xfe\xff"),
        struct.pack("<7I", 0x950412DE, 0, 2**31, 28, 28, 0, 0),
    ],
)
def test_damaged_catalogues_are_named(tmp_path, data):
    catalogue(tmp_path, "okular", "pt", {"Save": EUROPEAN})
    next(tmp_path.rglob("program.mo")).write_bytes(data)
    with pytest.raises(ValueError, match=r"program\.mo: damaged"):
        read_pairs(tmp_path)


def test_a_damaged_language_pack_is_named(tmp_path):
    (tmp_path / "fox-l10n-pt-pt").mkdir()
    (tmp_path / "fox-l10n-pt-pt" / "langpack-pt-PT@fox.xpi").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"fox\.xpi: damaged"):
        read_pairs(tmp_path)


def test_no_packages_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no such folder of unpacked packages: .*absent"):
        read_pairs(tmp_path / "absent")
    with pytest.raises(ValueError, match="no string in both varieties; is each package unpacked"):
        read_pairs(tmp_path)
