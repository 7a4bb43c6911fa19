import pytest

from amalia_vl_hf.variety.corpus import Pair
from amalia_vl_hf.variety.lexicon import change, main, mined, read_forms, spellings
from amalia_vl_hf.variety.rules import read_lexicon
from tests.variety.test_corpus import catalogue

AFFIXES = "SET UTF-8\n\nSFX X Y 3\nSFX X r mos ar\nSFX X r va ar\nSFX X 0 -se r\nPFX R Y 1\nPFX R 0 re .\n"


def dictionary(folder, name, lines, affixes=AFFIXES):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.aff").write_text(affixes, encoding="utf-8")
    (folder / f"{name}.dic").write_text(f"{len(lines)}\n" + "\n".join(lines) + "\n", encoding="utf-8")


def test_every_inflection_is_formed(tmp_path):
    dictionary(tmp_path, "pt_BR", ["registrar/XR", "casa", "Lisboa/X", "ver/X\t[CAT=v]"])
    assert read_forms(tmp_path, "pt_BR") == {"registrar", "registramos", "registrava", "casa", "ver"}
    with pytest.raises(ValueError, match=r"no pt_PT\.dic; unpack hunspell-pt-pt"):
        read_forms(tmp_path, "pt_PT")


@pytest.mark.parametrize(
    ("brazilian", "european", "letters"),
    [
        ("registro", "registo", ("regist", "r", "")),
        ("planejar", "planear", ("plane", "j", "")),
        ("econômico", "económico", ("econ", "ô", "ó")),
        ("todos", "todas", None),
        ("arquivo", "ficheiro", None),
        ("salvar", "salvas", None),
        ("gravação", "gravada", None),
    ],
)
def test_the_change_between_two_words(brazilian, european, letters):
    assert change(brazilian, european) == letters


def test_pairs_show_words_by_package():
    pairs = [
        Pair("a", "o registo azul", "o registro azul"),
        Pair("b", "um registo", "um registro"),
        Pair("b", "x", "y"),
    ]
    assert mined(pairs) == {("registro", "registo"): {"a", "b"}}


def test_a_change_brings_in_the_whole_paradigm_and_an_accent_every_word():
    european = {"registar", "registava", "económico", "gémeo", "casa", "planear", "aspeto"}
    brazilian = {"registrar", "registrava", "econômico", "gêmeo", "casa", "planejar", "planear", "aspecto", "aspeto"}
    words = [("registrar", "registar"), ("econômico", "económico"), ("planejar", "planear"), ("aspecto", "aspeto")]
    assert spellings(words, european, brazilian) == {
        "registrar": "registar",
        "registrava": "registava",
        "econômico": "económico",
        "planejar": "",  # Brazil's dictionary has planear, too
    }
    accent = [*words, ("polêmica", "polémica")]
    assert spellings(accent, european | {"polémica"}, brazilian | {"polêmica"})["gêmeo"] == "gémeo"


def test_the_command_writes_the_table(tmp_path, capsys):
    for package in ("one", "two"):
        for locale, text in (("pt", "Abrir o registo agora"), ("pt_BR", "Abra o registro agora")):
            catalogue(tmp_path / "packages" / package, "usr", locale, {package: f"{text} {package}"})
    dictionary(tmp_path / "packages" / "hunspell", "pt_PT", ["registo"])
    dictionary(tmp_path / "packages" / "hunspell", "pt_BR", ["registro"])
    out = tmp_path / "lexicon.tsv"
    main([str(tmp_path / "packages"), "--out", str(out)])
    assert out.read_text(encoding="utf-8") == "registro\tregisto\n"
    assert "1 forms" in capsys.readouterr().out


def test_the_shipped_lexicon_has_no_word_on_both_sides_and_no_old_spelling():
    brazilian, european = read_lexicon()
    assert len(brazilian) > 500
    assert len(european) > 500
    assert not brazilian & european
    assert not {"detectar", "aspecto", "perspectiva", "recepção"} & brazilian
    assert {"registrávamos", "planejaria"} <= brazilian
    assert {"receção", "gémeos"} <= european
