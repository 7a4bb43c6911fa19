import gettext
import io
import struct
import zipfile

import pytest

from amalia_vl_hf.variety.corpus import (
    Pair,
    paired,
    plain,
    read_fluent,
    read_help,
    read_manual,
    read_mo,
    read_pairs,
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
