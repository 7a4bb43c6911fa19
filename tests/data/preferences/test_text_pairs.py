"""AMALIA's text recipes: a reward model by id, the original against the own answer, a strong model against a weak."""

import json
import re

import pyarrow.parquet as pq
import pytest
import yaml

from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.preferences import preferences_contrast, preferences_original
from amalia_vl_hf.data.preferences.reward import RewardModel
from amalia_vl_hf.samples.loading import load_samples

from ..role_servers import roles_of, serving

TEMPLATE = "{% for turn in messages %}{{ turn['role'] }} {{ turn['content'] }} {% endfor %}"


STORY = "Era uma vez o autocarro {}, que andava devagar."


def save_reward_model(folder, labels=1, template=TEMPLATE):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "user", "assistant", "um", "dois", "três", "quatro", "cinco", "texto"]
    plain = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(**sizes, vocab_size=10, num_labels=labels, pad_token_id=0)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", unk_token="<unk>")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return str(folder)


def write_samples(folder, rows):
    folder.mkdir()
    turns = [[{"role": "user", "content": asked}, {"role": "assistant", "content": said}] for asked, said in rows]
    lines = [json.dumps({"messages": messages, "language": "pt"}) for messages in turns]
    (folder / "samples.jsonl").write_text("".join(f"{line}\n" for line in lines))


def recipe_of(tmp_path, dataset, servers, **settings):
    written = {
        "dataset": dataset,
        "samples": str(tmp_path / "data/samples.jsonl"),
        "images": str(tmp_path / "prompts/images.parquet"),
        "roles": roles_of(servers),
        "settings": settings,
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(written))
    return load_build(path)


def rows_of(out):
    return pq.read_table(out / "data").to_pylist()


def test_a_reward_model_gives_the_same_in_any_batch(tmp_path):
    model = RewardModel(save_reward_model(tmp_path))
    prompt = [{"role": "user", "content": "um texto"}]
    answers = ["um", "dois três quatro", "cinco", *(["um dois três"] * 9)]
    scores = model.score(prompt, answers)
    assert len({round(score, 4) for score in scores[:4]}) == 4
    assert scores[3:] == pytest.approx([scores[3]] * 9, abs=1e-5)
    assert model.score(prompt, answers[1:2]) == pytest.approx(scores[1:2], abs=1e-5)


def test_what_is_no_reward_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="gives 3 numbers an answer"):
        RewardModel(save_reward_model(tmp_path / "three", 3)).score([{"role": "user", "content": "um"}], ["um"])
    with pytest.raises(ValueError, match="has no chat template"):
        RewardModel(save_reward_model(tmp_path / "none", template=None))


def test_the_best_of_32_by_a_reward_model(tmp_path):
    write_samples(tmp_path / "data", [(f"Escreve um texto {n}.", "Um texto qualquer.") for n in range(6)])
    name = save_reward_model(tmp_path / "reward")
    words = ["um", "dois", "três", "quatro", "cinco", "texto"]

    def say(asked):
        seed = asked.body["seed"]
        return " ".join(words[(seed // 6**place) % 6] for place in range(3))

    with serving(policy=say) as servers:
        numbers = {"own": 32, "edits": 0, "margin": 0.0001, "least_ratio": 0.1, "most_ratio": 9.0}
        families = {"policy": "amalia"}
        recipe = recipe_of(tmp_path, "preferences", servers, **numbers, reward_model=name, families=families)
        tally = build(recipe, tmp_path / "out")
    assert tally.made == 6
    assert servers["policy"].requests == 6 * 32
    model = RewardModel(name)
    for row in rows_of(tmp_path / "out"):
        truth = json.loads(row["truth"])
        chosen, rejected = (row[side][0]["content"] for side in ("chosen", "rejected"))
        assert model.score(row["prompt"], [chosen, rejected]) == pytest.approx(
            [truth[side]["score"] for side in ("chosen", "rejected")], abs=1e-4
        )
        assert truth["chosen"]["score"] > truth["rejected"]["score"]
        assert row["images"] == []
    assert len(load_samples(tmp_path / "out/data", "dpo")) == 6


def test_the_original_against_the_own_answer(tmp_path):
    asked = [
        (f"Conta uma história sobre o autocarro {n}.", f"Era uma vez o autocarro {n}, que andava devagar.")
        for n in range(4)
    ]
    asked += [("Quantos são dois e dois?", "4"), ("Quantos são três e três?", "6")]
    asked += [("Onde está o comboio?", "O trem está chegando na estação, e o pessoal está esperando o ônibus.")]
    write_samples(tmp_path / "data", asked)

    def say(asked):
        if match := re.search(r"autocarro (\d)", asked.text):
            number = int(match[1])
            return (
                f"Era uma vez o autocarro {number}, que andava devagar." if number == 3 else f"O autocarro {number}."
            )
        return "4"

    with serving(policy=say) as servers:
        tally = build(recipe_of(tmp_path, "preferences-original", servers), tmp_path / "out")
    assert tally.made == 4
    assert tally.rejected == {
        "the policy's own answer is the original": 1,
        "the policy's own answer is right": 1,
        "judged Brazilian Portuguese": 1,
    }
    rows = rows_of(tmp_path / "out")
    pairs = {(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows}
    assert ("6", "4") in pairs
    assert (STORY.format(2), "O autocarro 2.") in pairs
    assert all(preferences_original.faults(row) == [] for row in rows)
    assert preferences_original.faults({**rows[0], "rejected": rows[0]["chosen"]})


@pytest.mark.parametrize("original", [False, True])
def test_a_strong_model_against_a_weak_one(tmp_path, original):
    write_samples(
        tmp_path / "data", [(f"Quantos são {n} e 1?", f"Somam-se os dois.\nResposta: {n + 1}") for n in range(8)]
    )

    def strong(asked):
        number = int(re.search(r"são (\d)", asked.text)[1])
        return f"São {number} mais 1.\nResposta: {number + 1 if number != 2 else 9}"

    def weak(asked):
        number = int(re.search(r"são (\d)", asked.text)[1])
        return f"Deve ser isto.\nResposta: {number + 1 if number == 5 else 0}"

    roles = {"weak": weak} if original else {"strong": strong, "weak": weak}
    with serving(**roles) as servers:
        tally = build(recipe_of(tmp_path, "preferences-contrast", servers, original=original), tmp_path / "out")
    left = {"the weak model is right": 1} | ({} if original else {"the strong model is not right": 1})
    assert tally.rejected == left
    rows = rows_of(tmp_path / "out")
    assert len(rows) == tally.made == (7 if original else 6)
    for row in rows:
        number = int(re.search(r"são (\d)", row["prompt"][0]["content"])[1])
        steps = "Somam-se os dois." if original else f"São {number} mais 1."
        assert row["chosen"][0]["content"] == f"{steps}\nResposta: {number + 1}"
        assert preferences_contrast.faults(row) == []
        assert preferences_contrast.faults({**row, "chosen": row["rejected"], "rejected": row["chosen"]})
