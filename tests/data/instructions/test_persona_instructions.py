"""Persona instructions: one of each, in European Portuguese, answered."""

import json
import re

import pyarrow.parquet as pq
import pytest
import yaml

from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.instructions import persona_instructions
from amalia_vl_hf.fields import RecipeError
from amalia_vl_hf.samples.loading import load_samples

from ..role_servers import roles_of, serving


def instruct(asked):
    number = re.search(r"pessoa número (\d+)", asked.text)[1]
    return {
        "3": "Escreve um aviso de 20 palavras sobre o autocarro número 2.",  # the same as 2
        "4": "Escreva um recado para o pessoal do trem avisando que o ônibus está chegando no ponto agora.",
        "5": "Write a short notice about the bus of the village and who is driving it.",
    }.get(number, f"Escreve um aviso de 20 palavras sobre o autocarro número {number}.")


def answer(asked):
    return f"Aviso: {asked.text.split('sobre ')[1]} Obrigado a todos."


def test_each_persona_asks_once_in_european_portuguese(tmp_path):
    personas = [{"persona": f"A pessoa número {number}, motorista."} for number in range(6)] + [
        {"other": "x"},
        {"persona": 7},
    ]
    (tmp_path / "personas.jsonl").write_text("".join(json.dumps(persona) + "\n" for persona in personas))
    written = {"dataset": "persona-instructions", "samples": str(tmp_path / "personas.jsonl"), "shard_size": 3}
    with serving(questioner=instruct, answerer=answer) as servers:
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**written, "roles": roles_of(servers)}))
        tally = build(load_build(tmp_path / "recipe.yaml"), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out/data").to_pylist()
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert tally.rejected == {
        "an instruction that is there": 1,
        "judged Brazilian Portuguese": 1,
        "a text in another language": 1,
        "a row without a persona": 2,
    }
    assert rows[1]["messages"][1]["content"] == "Aviso: o autocarro número 1. Obrigado a todos."
    assert all(persona_instructions.faults(row) == [] for row in rows)
    assert len(load_samples(tmp_path / "out/data", "sft")) == 3
    english = [rows[0]["messages"][0], {"role": "assistant", "content": "This is what the answer of the model was."}]
    assert "another language" in persona_instructions.faults({**rows[0], "messages": english})[0]


def test_without_personas_there_is_nothing_to_ask(tmp_path):
    with serving(questioner=instruct, answerer=answer) as servers:
        (tmp_path / "recipe.yaml").write_text(
            yaml.safe_dump({"dataset": "persona-instructions", "roles": roles_of(servers)})
        )
        with pytest.raises(RecipeError, match="needs samples, a file of personas"):
            load_build(tmp_path / "recipe.yaml")
