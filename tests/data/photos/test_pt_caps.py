"""PT-Caps, end to end against a loopback captioner."""

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
import yaml

from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.photos import pt_caps
from amalia_vl_hf.samples.loading import load_samples

from ..role_servers import draw_images, roles_of, serving
from .test_captions import EN, PT

WORDS = ["gato", "cão", "pato", "sapo", "lobo", "urso", "rato", "galo", "boi", "peixe", "corvo", "burro"]


def captions(language, number, stock=False):
    """Caption a picture in a way of its own."""
    texts, keys = (PT, ("curta", "média", "detalhada")) if language == "pt" else (EN, ("short", "medium", "detailed"))
    start = f"Na rua {number}, " if language == "pt" else f"In street {number}, "
    if stock:
        start = "A imagem mostra "
    return dict(zip(keys, (start + text for text in texts.values()), strict=True))


def recipe_of(tmp_path, servers, **more):
    written = {
        "dataset": "pt-caps",
        "shard_size": 5,
        "images": str(tmp_path / "images.parquet"),
        "licence": "CC0-1.0",
        "roles": roles_of(servers, attempts=2, images={}),
        **more,
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(written))
    return load_build(path)


@pytest.fixture
def captioned(tmp_path):
    """Build 12 images: of one the captions are Brazilian, of one not in order, of one no JSON the first time."""
    manifest = draw_images(tmp_path / "images", 12)
    numbers = {row["image"]: number for number, row in enumerate(manifest.read(0, 12))}
    refused = Counter()

    def caption(asked):
        from base64 import b64decode
        from hashlib import sha256

        (picture,) = asked.pictures
        number = numbers[sha256(b64decode(picture.partition(",")[2])).hexdigest()]
        language = "pt" if "português europeu" in asked.text else "en"
        said = captions(language, number)
        if number == 3 and language == "pt":
            said["média"] = "Um bonde está subindo a rua e o pessoal do ponto de ônibus está olhando para o celular."
        if number == 4 and language == "en":
            said["medium"] = said["detailed"]
        if number == 5 and not refused[asked.text]:
            refused[asked.text] += 1
            return "Claro! Aqui estão as legendas."
        return json.dumps(said, ensure_ascii=False)

    with serving(captioner=caption) as servers:
        recipe = recipe_of(tmp_path, servers)
        tally = build(recipe, tmp_path / "out", preview=5)
        yield tmp_path / "out", tally, servers["captioner"]


def test_images_are_captioned_at_three_levels_in_two_languages(captioned):
    out, tally, server = captioned
    assert tally.made == 10
    assert tally.rejected == {"judged Brazilian Portuguese": 1, "levels of captions that do not differ": 1}
    rows = [row for file in sorted((out / "data").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    assert sorted(row["index"] for row in rows) == [0, 1, 2, *range(5, 12)]
    orders = set()
    for row in rows:
        assert pt_caps.faults(row) == []
        answers = [turn["content"] for turn in row["messages"][1::2]]
        expected = [*captions("pt", row["index"]).values(), *captions("en", row["index"]).values()]
        assert sorted(answers) == sorted(expected)
        orders.add(tuple(expected.index(answer) for answer in answers))
        assert (row["language"], row["model"], row["licence"]) == ("pt+en", "model-captioner", "CC0-1.0")
    assert len(orders) > 5  # neither level nor language follows from the turn
    samples = load_samples(out / "data", "sft")
    assert len(samples) == 10
    assert {body["model"] for body in server.bodies} == {"model-captioner"}
    assert "preview.html" in {path.name for path in out.iterdir()}


def test_openings_that_too_many_have_are_left_out(tmp_path):
    draw_images(tmp_path / "images", 12)
    counter = iter(range(1_000))

    def caption(asked):
        language = "pt" if "português europeu" in asked.text else "en"
        return json.dumps(captions(language, next(counter), stock=language == "pt"), ensure_ascii=False)

    with serving(captioner=caption) as servers:
        tally = build(recipe_of(tmp_path, servers, settings={"stock_share": 0.5, "same_share": 1.0}), tmp_path / "out")
    assert tally is not None
    assert tally.rejected == {"an opening that too many captions have": 12}


def test_rows_that_were_changed_are_found(captioned):
    out, *_ = captioned
    (row, *_) = pq.read_table(next((out / "data").glob("*.parquet"))).to_pylist()
    swapped = {**row, "messages": [*row["messages"][2:], *row["messages"][:2]]}
    assert any("is not answered by" in fault for fault in pt_caps.faults(swapped))
    assert any("5 exchanges" in fault for fault in pt_caps.faults({**row, "messages": row["messages"][2:]}))
    truth = json.loads(row["truth"])
    truth["captions"]["pt"]["short"] = truth["captions"]["pt"]["detailed"]
    assert pt_caps.faults({**row, "truth": json.dumps(truth)})
