"""PT-VQA-Gen, end to end: scripted models decide by a code in each question, so that survivors are known exactly."""

import json
import re
from base64 import b64decode
from collections import Counter
from hashlib import sha256

import pyarrow.parquet as pq
import pytest
import yaml

from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.choices import final_answer
from amalia_vl_hf.data.photos import pt_vqa_gen
from amalia_vl_hf.data.photos.dialogues import form_counts
from amalia_vl_hf.data.photos.personas import personas_of, read_personas
from amalia_vl_hf.samples.loading import load_samples

from ..role_servers import draw_images, roles_of, serving
from .test_embeddings import save_encoder

IMAGES, DRAWN, SEED = 26, 22, 3
PERSONAS = {text: name for name, text in read_personas().items()}


def code(*names):
    return int(sha256(" ".join(map(str, names)).encode()).hexdigest()[:8], 16)


def is_brazilian(image, persona):
    return code("brazilian", image, persona) % 4 == 0


def question(image, persona, number):
    """Ask with a code, by which the others decide."""
    mark = code(image, persona, number)
    if is_brazilian(image, persona):
        return f"Quantas pessoas estão esperando o ônibus {mark} no ponto, olhando o celular?"
    return f"Quantas pessoas estão à espera do autocarro {mark} na paragem?"


def agrees(mark):
    return mark % 3 != 0 and mark % 11 != 0


def is_easy(mark):
    return mark % 5 < 2


def mark_in(text):
    return int(re.search(r"(?:ônibus|autocarro) (\d+)", text)[1])


def ask(asked):
    image = sha256(b64decode(asked.pictures[0].partition(",")[2])).hexdigest()
    if asked.text.startswith("Pergunta sobre a imagem"):
        mark = mark_in(asked.text)
        # One is the answer in other words, one means the same to the verifier; three are wrong.
        return json.dumps([f"RESPOSTA {mark}!", f"igual a resposta {mark}", "nenhuma", "duas", f"mais de {mark}"])
    persona = next(name for text, name in PERSONAS.items() if asked.text.startswith(text))
    count = 6 if code(image, persona) % 2 else 3
    return json.dumps([
        {"pergunta": question(image, persona, number), "resposta": f"resposta {code(image, persona, number)}"}
        for number in range(count)
    ])  # fmt: skip


def answer(asked):
    mark = mark_in(asked.text)
    if mark % 11 == 0:
        return f"O pessoal está esperando o ônibus no ponto e olhando o celular.\nResposta: resposta {mark}"
    said = f"resposta {mark}" if mark % 2 else f"igual a resposta {mark}"
    return f"Vê-se bem a paragem e contam-se as pessoas.\nResposta: {said if agrees(mark) else 'outra'}"


def verify(asked):
    assert not asked.pictures
    one, other = (re.search(rf"Resposta {name}: (.*)", asked.text)[1] for name in "AB")
    return "Sim" if other == f"igual a {one}" else "Não."


def attempt(asked):
    mark = mark_in(asked.text)
    return (f"Resposta {mark}." if mark % 2 else f"igual a resposta {mark}") if is_easy(mark) else "não sei"


def recipe_of(tmp_path, servers, **settings):
    written = {
        "dataset": "pt-vqa-gen",
        "shard_size": 13,
        "seed": SEED,
        "images": str(tmp_path / "images.parquet"),
        "licence": "CC0-1.0",
        "roles": roles_of(servers),
        "settings": {"drawn": DRAWN, "near": 1.1, **settings},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(written))
    return load_build(path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("pt-vqa-gen")
    manifest = draw_images(tmp_path / "images", IMAGES)
    encoder = str(save_encoder(tmp_path / "encoder", "siglip"))
    with serving(questioner=ask, answerer=answer, verifier=verify, weak_solver=attempt) as servers:
        tally = build(recipe_of(tmp_path, servers, encoder=encoder), tmp_path / "out", preview=3)
    rows = [
        row for file in sorted((tmp_path / "out/data").glob("*.parquet")) for row in pq.read_table(file).to_pylist()
    ]
    return tmp_path / "out", tally, servers, rows, [row["image"] for row in manifest.read(0, IMAGES)]


def drawn_images(servers):
    """Give the images that were asked about."""
    return {
        sha256(b64decode(asked.pictures[0].partition(",")[2])).hexdigest()
        for asked in servers["questioner"].asked_texts
        if not asked.text.startswith("Pergunta sobre")
    }


def survivors(images):
    """Say, by the scripts alone, which questions must stay: their codes, by image."""
    kept = {}
    for image in images:
        for persona in personas_of(image, list(PERSONAS.values()), SEED):
            count = 5 if code(image, persona) % 2 else 3
            marks = [code(image, persona, number) for number in range(count)]
            good = [mark for mark in marks if agrees(mark) and not is_easy(mark)]
            if good and not is_brazilian(image, persona):
                kept.setdefault(image, []).extend(good)
    return kept


def test_exactly_those_survive_that_must(built):
    _, tally, servers, rows, images = built
    drawn = drawn_images(servers)
    assert len(drawn) == DRAWN < len(images)
    expected = survivors(drawn)
    found = {images[row["index"]]: [mark_in(text["content"]) for text in row["messages"][::2]] for row in rows}
    assert {image: sorted(marks) for image, marks in found.items()} == {
        image: sorted(marks) for image, marks in expected.items()
    }
    assert len(rows) == tally.made > 10
    reasons = dict(tally.rejected)
    assert reasons["an image that was not drawn"] == IMAGES - DRAWN
    assert {"judged Brazilian Portuguese", "two answers that differ", "a question that a weak model answers"} < set(
        reasons
    )


def test_forms_are_exact_letters_alike_and_distractors_wrong(built):
    *_, rows, _ = built
    turns = [turn for row in rows for turn in json.loads(row["truth"])["turns"]]
    counts = form_counts(len(turns))
    forms = Counter(turn["form"] for turn in turns)
    assert (forms["choices"], forms["short"], forms["reasoned"]) == tuple(counts)
    assert counts.choices >= 5
    letters = Counter(turn["letter"] for turn in turns if turn["form"] == "choices")
    assert max(letters.values()) - min(letters[place] for place in range(4)) <= 1
    for row in rows:
        assert pt_vqa_gen.faults(row) == []
        for turn in json.loads(row["truth"])["turns"]:
            mark = mark_in(turn["question"])
            if turn["distractors"]:
                assert turn["distractors"] == ["nenhuma", "duas", f"mais de {mark}"]
        for asked, said in zip(row["messages"][::2], row["messages"][1::2], strict=True):
            mark = mark_in(asked["content"])
            right = final_answer(said["content"], "pt") or said["content"]
            listed = dict(re.findall(r"^([A-D])\) (.*)$", asked["content"], re.MULTILINE))
            assert listed.get(right, right) == f"resposta {mark}"


def test_each_model_was_asked_what_is_its_own(built):
    _, _, servers, *_ = built
    for role, server in servers.items():
        assert {body["model"] for body in server.bodies} == {f"model-{role}"}
    assert not any(asked.pictures for asked in servers["verifier"].asked_texts)
    seeing = [asked for role in ("questioner", "answerer", "weak_solver") for asked in servers[role].asked_texts]
    assert all(asked.pictures for asked in seeing)
    # The answerer and the weak one are never told the answer; equal words cost the verifier nothing.
    solving = [asked.text for role in ("answerer", "weak_solver") for asked in servers[role].asked_texts]
    assert not any(f"resposta {mark_in(text)}" in text for text in solving)
    judged = [re.search(r"Resposta B: (.*)", asked.text)[1] for asked in servers["verifier"].asked_texts]
    assert not any(re.fullmatch(r"resposta \d+", text, re.IGNORECASE) for text in judged)


def test_rows_train_and_a_changed_one_is_found(built):
    out, _, _, rows, _ = built
    samples = load_samples(out / "data", "sft")
    assert len(samples) == len(rows)
    row = next(row for row in rows if any(turn["form"] == "choices" for turn in json.loads(row["truth"])["turns"]))
    place = [turn["form"] for turn in json.loads(row["truth"])["turns"]].index("choices")
    other = {"A": "B", "B": "C", "C": "D", "D": "A"}[row["messages"][2 * place + 1]["content"]]
    messages = [dict(turn) for turn in row["messages"]]
    messages[2 * place + 1]["content"] = other
    assert any("is not the choices question" in fault for fault in pt_vqa_gen.faults({**row, "messages": messages}))
    assert any("exchanges for" in fault for fault in pt_vqa_gen.faults({**row, "messages": row["messages"][2:]}))
