"""Multi-PixMo, end to end: regenerated in English, translated, one row an image and language."""

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
import yaml

from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.photos import multi_pixmo
from amalia_vl_hf.fields import RecipeError
from amalia_vl_hf.samples.loading import load_samples

from ..role_servers import draw_images, roles_of, serving
from .test_captions import EN

QUESTION = {
    "question": "What is the colour of the tram in the street?",
    "answer": "It is yellow, and the roof is white.",
}
LINES = {
    "pt-PT": (
        "Um elétrico amarelo e branco sobe uma rua estreita e íngreme, cujos carris brilham ao sol. De "
        "ambos os lados há prédios de três andares com azulejos azuis, varandas de ferro e roupa nas "
        "janelas. Duas pessoas atravessam a rua à frente do elétrico, e uma mulher de vestido vermelho "
        "está à porta de uma pequena loja.",
        "De que cor é o elétrico que está na rua?",
        "É amarelo, e o tejadilho é branco.",
    ),
    "fr": (
        "Un tramway jaune et blanc monte une rue étroite et raide, dont les rails brillent au soleil. "
        "Des deux côtés il y a des immeubles de trois étages avec des carreaux bleus, des balcons de fer"
        " et du linge aux fenêtres. Deux personnes traversent la rue devant le tramway, et une femme en "
        "robe rouge est à la porte d'un petit magasin.",
        "Quelle est la couleur du tramway dans la rue ?",
        "Il est jaune, et le toit est blanc.",
    ),
}


def caption(asked):
    return json.dumps(QUESTION) if asked.text.startswith("Ask one question") else EN["detailed"]


def translate(asked):
    assert not asked.pictures
    part = 0 if EN["detailed"] in asked.text else 1 if QUESTION["question"] in asked.text else 2
    target = next(
        name
        for name, word in (("pt-PT", "português europeu"), ("fr", "francês"), ("de", "alemão"))
        if word in asked.text
    )
    if target == "de":
        return (EN["detailed"], QUESTION["question"], QUESTION["answer"])[part]  # not translated at all
    return LINES[target][part]


def recipe_of(tmp_path, servers, **settings):
    written = {
        "dataset": "multi-pixmo", "images": str(tmp_path / "images.parquet"), "licence": "CC0-1.0",
        "roles": roles_of(servers), "settings": {"languages": ["en", "pt-PT", "fr", "de"], **settings},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(written))
    return load_build(tmp_path / "recipe.yaml")


def test_rows_are_in_each_language_whose_translation_holds(tmp_path):
    draw_images(tmp_path / "images", 3)
    with serving(captioner=caption, translator=translate) as servers:
        tally = build(recipe_of(tmp_path, servers), tmp_path / "out")
        assert servers["captioner"].requests == 6
        assert servers["translator"].requests == 3 * 3 * 3
    rows = pq.read_table(tmp_path / "out/data").to_pylist()
    assert Counter(row["task"] for row in rows) == {"en": 3, "pt-PT": 3, "fr": 3}
    assert sum(tally.rejected.values()) == 3
    assert all("that a rule refuses" in reason for reason in tally.rejected)
    for row in rows:
        assert multi_pixmo.faults(row) == []
        if row["task"] in LINES:
            assert tuple(turn["content"] for turn in row["messages"][1:]) == LINES[row["task"]]
    assert len(load_samples(tmp_path / "out/data", "sft")) == 9
    changed = {**rows[0], "messages": [*rows[0]["messages"][:3], {"role": "assistant", "content": "Red."}]}
    assert "other texts than were checked" in multi_pixmo.faults(changed)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"languages": ["pt-BR"]}, "unknown language 'pt-BR'"),
        ({"languages": []}, "none"),
        ({"languages": ["fr", "fr"]}, "each once"),
    ],
)
def test_other_languages_are_refused(tmp_path, settings, fault):
    draw_images(tmp_path / "images", 1)
    with serving(captioner=caption, translator=translate) as servers, pytest.raises(RecipeError, match=fault):
        recipe_of(tmp_path, servers, **settings)
