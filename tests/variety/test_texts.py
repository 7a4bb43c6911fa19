import gzip
import json

import pytest

from amalia_vl_hf.variety.texts import read_texts

EUROPEAN = "O comboio parou na estação e as pessoas saíram."
OTHER = "Os miúdos estão a brincar no relvado da escola."


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", f"{EUROPEAN}\n\n{OTHER}\n"),
        ("cookies.txt", f"{EUROPEAN}\n%\n{OTHER}\n"),
        ("a.jsonl", f"{json.dumps({'text': EUROPEAN})}\n\n{json.dumps({'text': OTHER})}\n"),
        ("a.html", f"<style>p {{ margin: 0 }}</style><p class='x'>{EUROPEAN}</p><li>{OTHER}</li><p>Abrir</p>"),
        (
            "a.page",
            f"<info><desc>não se lê o que está aqui</desc></info><p>{EUROPEAN}<p/></p><p>{OTHER}</p>",
        ),
        ("news.conllu", f"# sent_id = 1\n# text = {EUROPEAN}\n1\tO\to\n\n# text = {OTHER}\n1\tOs\to\n"),
        ("ls.1", f".TH LS 1\n.PP\n{EUROPEAN}\n.SH NOME\n\\fB{OTHER}\\fR\n"),
    ],
)
def test_paragraphs_of_every_kind_are_read(name, content, tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / name).write_text(content, encoding="utf-8")
    assert read_texts(tmp_path) == [EUROPEAN, OTHER]


def test_a_gzipped_man_page_is_read(tmp_path):
    (tmp_path / "ls.1.gz").write_bytes(gzip.compress(EUROPEAN.encode()))
    assert read_texts(tmp_path) == [EUROPEAN]


def test_a_conversation_is_one_text(tmp_path):
    turns = [{"role": "user", "content": EUROPEAN}, {"role": "assistant", "content": OTHER}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": turns}), encoding="utf-8")
    assert read_texts(tmp_path) == [f"{EUROPEAN} {OTHER}"]


def test_each_text_comes_once_and_other_languages_do_not(tmp_path):
    (tmp_path / "a.txt").write_text(f"{EUROPEAN}\n\nThe train stopped at the station and they left.\n\n{EUROPEAN}")
    (tmp_path / "b.txt").write_text(f"{EUROPEAN}\n\nSim, claro.")
    (tmp_path / "c.png").write_bytes(b"\x89PNG")
    assert read_texts(tmp_path) == [EUROPEAN]


@pytest.mark.parametrize(("name", "content"), [("a.txt", b"\xff\xfe\xfa"), ("a.jsonl", b"{"), ("a.1.gz", b"no gzip")])
def test_damaged_files_are_named(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: damaged, or not UTF-8"):
        read_texts(tmp_path)


def test_folders_without_texts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder of texts"):
        read_texts(tmp_path / "absent")
    with pytest.raises(ValueError, match="no Portuguese text in it"):
        read_texts(tmp_path)
