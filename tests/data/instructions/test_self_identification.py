"""Self identification, from a file of facts: with a model that writes questions, and without."""

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
import yaml

from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.instructions import self_identification
from amalia_vl_hf.data.instructions.facts import FactSource
from amalia_vl_hf.fields import RecipeError
from amalia_vl_hf.samples.loading import load_samples

from ..role_servers import roles_of, serving

FACT = {
    "name": "nome", "pt": "Sou o Zé, um modelo de teste.", "en": "I am Zé, a model of a test.", "says": ["Zé"],
    "questions_pt": ["Quem és tu?"], "questions_en": ["Who are you?"],
}  # fmt: skip


def build_from(tmp_path, servers=None, facts=None, **settings):
    written = {"dataset": "self-identification", "settings": settings, "roles": roles_of(servers or {}, attempts=2)}
    if facts is not None:
        (tmp_path / "facts.yaml").write_text(yaml.safe_dump({"facts": facts}))
        written["samples"] = str(tmp_path / "facts.yaml")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(written))
    tally = build(load_build(tmp_path / "recipe.yaml"), tmp_path / "out")
    return tally, pq.read_table(tmp_path / "out/data").to_pylist()


def test_our_facts_are_13_in_two_languages_and_all_sound(tmp_path):
    assert len(FactSource(self_identification.OWN_FACTS)) == 26
    tally, rows = build_from(tmp_path)
    assert (tally.made, len(rows), dict(tally.rejected)) == (52, 52, {})
    assert Counter(row["language"] for row in rows) == {"pt": 26, "en": 26}
    assert all(self_identification.faults(row) == [] for row in rows)
    assert len(load_samples(tmp_path / "out/data", "sft")) == 52


def test_a_model_adds_questions_until_there_are_enough(tmp_path):
    asked_before = Counter()

    def write(asked):
        english = "inglês" in asked.text
        asked_before[english] += 1
        pairs = [
            {
                "pergunta": f"Who speaks, number {n}?" if english else f"Quem fala, diz lá o número {n}?",
                "resposta": f"I am Zé, and that is {n}." if english else f"Eu sou o Zé, e isso é {n}.",
            }
            for n in range(2)
        ]
        if asked_before[english] == 1:
            pairs[0]["resposta"] = "I am ChatGPT." if english else "Sou o ChatGPT."  # not what the fact says
        return json.dumps([{"pergunta": "Quem és tu?", "resposta": FACT["pt"]}, *pairs])

    with serving(writer=write) as servers:
        tally, rows = build_from(tmp_path, servers, [FACT], questions=3)
        assert servers["writer"].requests == 4  # each language was asked again
    assert tally.made == 6
    assert all("Zé" in row["messages"][1]["content"] for row in rows)
    assert len({row["messages"][0]["content"] for row in rows}) == 6


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"says": ["Maria"]}, r"facts\[nome\].pt does not say Maria"),
        ({"questions_en": []}, r"facts\[nome\].questions_en: one question at least"),
        ({"quote": "x"}, "quote"),
    ],
)
def test_facts_that_do_not_hold_are_refused(tmp_path, changes, fault):
    with pytest.raises(RecipeError, match=fault):
        build_from(tmp_path, facts=[{**FACT, **changes}])
    with pytest.raises(RecipeError, match="each needs a name of its own"):
        build_from(tmp_path, facts=[FACT, FACT])


def test_a_changed_row_is_found(tmp_path):
    _, rows = build_from(tmp_path, facts=[FACT])
    row = next(row for row in rows if row["language"] == "pt")
    for said, fault in (
        ("Sou o ChatGPT.", "does not say"),
        ("I am Zé and this is what they made of me.", "another language"),
    ):
        changed = {**row, "messages": [row["messages"][0], {"role": "assistant", "content": said}]}
        assert any(fault in one for one in self_identification.faults(changed))
