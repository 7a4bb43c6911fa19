"""Preference pairs, end to end: prompts of a mixture, a policy, an editor and a judge on loopback, exact survivors."""

import json
import re
from collections import Counter
from hashlib import sha256

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.preferences import preferences
from amalia_vl_hf.data.preferences.candidates import edit_share
from amalia_vl_hf.fields import RecipeError
from amalia_vl_hf.samples.loading import load_samples

from ..role_servers import roles_of, serving

QUESTIONS = 12
FAMILIES = {"policy": "amalia", "editor": "gemma", "judge": "qwen"}


def write_samples(folder, count=QUESTIONS, seed=0):
    """Write conversations about pictures: descriptions, a choice, a box, one twice, one with a lost image."""
    (folder / "pictures").mkdir(parents=True)
    rows = []
    for number in range(count):
        Image.new("RGB", (32, 32), (number * 20, 90, 40)).save(folder / f"pictures/{number}.png")
        rows.append(sample(f"O que se vê na rua {number}?", f"Vê-se o elétrico {number} a subir a rua.", number))
    options = "De que cor é o elétrico?\nA) azul\nB) amarelo\nResponde apenas com a letra da opção correta."
    rows.append(sample(options, "B", 0))
    rows.append(sample("Onde está o elétrico?", "[0.1, 0.2, 0.3, 0.4]", 1))
    rows.append(sample("o que se vê  na rua 0?", "Outra vez.", 0))
    rows.append({**sample("E agora?", "Nada.", 0), "images": ["pictures/lost.png"]})
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "samples.jsonl"


def sample(question, answer, number):
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"images": [f"pictures/{number}.png"], "messages": turns, "language": "pt"}


def say(asked):
    """Answer as a policy: eight things, by the seed; of the choice, the letter that the seed gives."""
    seed = asked.body["seed"] % 4
    if "letra da opção" in asked.text:
        return "AB"[seed % 2]
    number = re.search(r"rua (\d+)", asked.text)[1]
    return [
        f"Vê-se um elétrico amarelo a subir a rua {number}.",
        f"Na rua {number} está um elétrico a subir.",
        f"É a rua {number} com um elétrico verde.",
        f"Um ônibus está subindo a rua {number}, cara, e o pessoal está esperando.",
    ][seed]


def edit(asked):
    answer = asked.text.split("A resposta dele:\n")[1].split("\n\nMelhora")[0]
    if "verde" in answer:
        return "Uma resposta de todo diferente, que já nada tem que ver com a outra que lá estava."
    return answer.replace("elétrico", "elétrico antigo", 1)


def judge(asked):
    """Score by the words, blind to who wrote them."""
    answer = asked.text.split("A resposta a avaliar:\n")[1].split("\n\nConta")[0]
    assert not re.search("gemma|policy|editor", asked.text, re.IGNORECASE)
    score = (
        10
        if "ônibus" in answer
        else 9
        if "antigo" in answer
        else 7
        if "amarelo" in answer
        else 2
        if "verde" in answer
        else 5
    )
    return f"Falta o fundo.\nNota: {score}"


def recipe_of(tmp_path, servers, words=(), **settings):
    written = {
        "dataset": "preferences",
        "shard_size": 5,
        "samples": str(tmp_path / "data" / "samples.jsonl"),
        "images": str(tmp_path / "prompts" / "images.parquet"),
        "roles": roles_of(servers),
        "settings": {"own": 8, "edits": 8, "families": FAMILIES, "origin_gap": 1.0, "most_ratio": 2.0, **settings},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(written))
    return load_build(path, list(words))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("preferences")
    write_samples(tmp_path / "data")
    with serving(policy=say, editor=edit, judge=judge) as servers:
        tally = build(recipe_of(tmp_path, servers), tmp_path / "out", preview=13)
    return tmp_path, tally, servers, pq.read_table(tmp_path / "out/data").to_pylist()


def test_prompts_are_drawn_once_without_boxes(built):
    tmp_path, *_ = built
    lines = [json.loads(line) for line in (tmp_path / "prompts/prompts.jsonl").read_text().splitlines()]
    assert len(lines) == QUESTIONS + 1
    drawn = json.loads((tmp_path / "prompts/drawn.json").read_text())
    assert drawn["left out"] == {"boxes": 1, "a prompt that is there": 1, "a sample that cannot be read": 1}
    for line in lines:
        (image,) = line["images"]
        (path,) = (tmp_path / "prompts/images").rglob(f"{image}.png")
        assert sha256(path.read_bytes()).hexdigest() == image


def test_the_best_is_paired_with_the_worst(built):
    _, tally, _, rows = built
    assert tally.made == len(rows) == QUESTIONS + 1
    for row in rows:
        assert preferences.faults(row) == []
        chosen, rejected = row["chosen"][0]["content"], row["rejected"][0]["content"]
        truth = json.loads(row["truth"])
        if truth["rule"] == "letter":
            assert (chosen, rejected, truth["chosen"]["score"], truth["rejected"]["score"]) == ("B", "A", 10, 1)
            continue
        assert ("antigo" in chosen, "verde" in rejected, "ônibus" in chosen) == (True, True, False)
        assert (truth["chosen"], truth["rejected"]) == (
            {"origin": "edit", "score": 9},
            {"origin": "policy", "score": 2},
        )
    assert Counter(row["task"] for row in rows) == {"edit over policy": QUESTIONS, "policy over policy": 1}


def test_each_model_is_asked_blind_with_the_image_and_no_more_than_needed(built):
    _, _, servers, _ = built
    policy = servers["policy"].asked_texts
    assert len(policy) == 8 * (QUESTIONS + 1)
    assert len({asked.body["seed"] for asked in policy}) >= 8
    for role in ("policy", "editor", "judge"):
        assert all(len(asked.pictures) == 1 for asked in servers[role].asked_texts)
        assert {asked.body["model"] for asked in servers[role].asked_texts} == {f"model-{role}"}
    assert not any("letra da opção" in asked.text for asked in servers["judge"].asked_texts)  # the rule has settled it
    edits = Counter(asked.text for asked in servers["editor"].asked_texts)
    assert len(servers["editor"].asked_texts) == 8 * (QUESTIONS + 1)
    assert max(edits.values()) <= 4
    judged = {
        asked.text.split("A resposta a avaliar:\n")[1].split("\n\nConta")[0] for asked in servers["judge"].asked_texts
    }
    own = {text for text in judged if "antigo" not in text}
    assert all(min(edit_share(before, after) for before in own) <= 0.3 for after in judged - own)
    assert not any("de todo diferente" in text for text in judged)


def test_pairs_are_read_and_a_changed_one_is_found(built):
    tmp_path, _, _, rows = built
    samples = load_samples(tmp_path / "out/data", "dpo")
    assert len(samples) == len(rows)
    assert samples[0]["chosen"][0]["role"] == "assistant"
    row = rows[0]
    swapped = {**row, "chosen": row["rejected"], "rejected": row["chosen"]}
    (letter,) = (row for row in rows if json.loads(row["truth"])["rule"])
    wrong = {**letter, "chosen": letter["rejected"], "rejected": letter["chosen"]}
    assert any("by the rule" in fault for fault in preferences.faults(wrong))
    brazilian = [
        {"role": "assistant", "content": "Um ônibus está subindo a rua e o pessoal está esperando o trem no ponto."}
    ]
    assert "the chosen is Brazilian" in preferences.faults({**row, "chosen": brazilian})
    assert "chosen and rejected are the same" in preferences.faults({**row, "chosen": row["rejected"]})
    assert swapped["chosen"] != row["chosen"]


def test_the_sheet_shows_what_was_asked_and_both_answers(built):
    tmp_path, *_ = built
    page = (tmp_path / "out/preview.html").read_text(encoding="utf-8")
    assert page.count('<pre>chosen</pre><pre class="answer">') == QUESTIONS + 1
    assert "<pre>O que se vê na rua 3?</pre>" in page
    assert "{'role'" not in page


def test_origins_and_lengths_are_balanced(tmp_path):
    write_samples(tmp_path / "data")
    with serving(policy=say, editor=edit, judge=judge) as servers:
        tally = build(recipe_of(tmp_path, servers, origin_gap=0.5), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out/data").to_pylist()
    assert Counter(row["task"] for row in rows) == {"policy over policy": 1, "edit over policy": 1}
    assert tally.rejected["a pair whose length or origin gives it away, or too many"] == QUESTIONS - 1


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["settings.families.judge=gemma"], "roles.editor and roles.judge are both gemma"),
        (["settings.families.editor=amalia"], "roles.policy and roles.editor are both amalia"),
        (["settings.own=0"], "needed are 2, one of its own"),
        (["settings.most_ratio=0.95"], "holds no 1"),
        (["samples=null"], "needs samples"),
        (["settings.edits=0"], "there is no role editor"),
        (["settings.reward_model=m"], "there is no role judge"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(tmp_path, words, fault):
    write_samples(tmp_path / "data", 2)
    with serving(policy=say, editor=edit, judge=judge) as servers, pytest.raises(RecipeError, match=fault):
        recipe_of(tmp_path, servers, words)


def test_a_folder_of_another_draw_is_not_taken(tmp_path):
    write_samples(tmp_path / "data", 3)
    with serving(policy=say, editor=edit, judge=judge) as servers:
        recipe_of(tmp_path, servers, prompts=2)
        with pytest.raises(ValueError, match=r"holds another draw of prompts \(wanted\)"):
            recipe_of(tmp_path, servers, prompts=3)
