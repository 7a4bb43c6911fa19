"""Samples are translated by a real build against servers on loopback: three roles, every format, nothing lost."""

import io
import json
import re

import pyarrow.parquet as pq
import pytest
from PIL import Image

from amalia_vl_hf import cli
from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.samples.loading import load_samples
from tests.asking.model_server import Fault, ModelServer, completion

WORDS = {
    "What colour is the car?": "De que cor é o carro?",
    "Red": "Vermelho",
    "Dark blue": "Azul-escuro",
    "The car is red.": "O carro é vermelho.",
    "What does the sign say?": "O que diz o sinal?",
    "The sign says [1].": "O sinal diz [1].",
    "Where is the dog?": "Onde está o cão?",
    "The dog is at [1], near [2] trees.": "O cão está em [1], perto de [2] árvores.",
    "Describe the image.": "Descreve a imagem.",
    "A boy is waiting for the bus.": "Um rapaz está à espera do autocarro.",
    "First line.\nSecond line.": "Primeira linha.\nSegunda linha.",
    "A white cat.": "Um gato branco.",
    "A black cat.": "Um gato preto.",
}
BACK = {after: before for before, after in WORDS.items()}


def said_of(text):
    """Find what is to be translated at the end of a prompt."""
    return re.split(r"\nTEXTO:\n|\nORIGINAL:\n|\nTRADUÇÃO:\n", text)[-1]


def translator(text, _count):
    body = said_of(text)
    wrong = {
        "The dog is at [1], near [2] trees.": "O cão está em [1], perto de árvores.",  # a place is lost
        "A boy is waiting for the bus.": "Um menino está esperando o ônibus.",  # Brazilian
        "First line.\nSecond line.": "Primeira linha. Segunda linha.",  # a line break is lost
    }
    return Fault(body=completion(wrong.get(body, WORDS.get(body, body))))


def repairer(text, _count):
    return Fault(body=completion(WORDS.get(said_of(text), "")))


def back(text, _count):
    return Fault(body=completion(BACK.get(said_of(text), "Something else entirely.")))


def judge(text, _count):
    return Fault(body=completion("ERRADA: o gato não é preto" if "gato preto" in text else "CERTA"))


SCRIPTS = {"translator": translator, "repairer": repairer, "back_translator": back, "judge": judge}


@pytest.fixture
def servers():
    made = {name: ModelServer(models=(name,), script=script) for name, script in SCRIPTS.items()}
    for server in made.values():
        server.__enter__()
    yield made
    for server in made.values():
        server.__exit__()


def recipe_file(folder, servers, roles=("translator", "repairer"), more=""):
    lines = [f"  {name}: {{url: {servers[name].url}, model: {name}, temperature: 0, attempts: 2}}" for name in roles]
    path = folder / "recipe.yaml"
    path.write_text("\n".join(["dataset: translation", "shard_size: 2", more, "roles:", *lines]), encoding="utf-8")
    return str(path)


def llava(question, answer, **more):
    return {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}], **more}


def write(folder, rows):
    Image.new("RGB", (8, 6), (200, 10, 10)).save(folder / "x.png")
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(folder / "in.jsonl")


def read(out):
    """Read the output as training does."""
    return list(load_samples(out / "data", "sft"))


def texts(sample):
    return [
        turn["content"] if isinstance(turn["content"], str) else "".join(p.get("text") or "|" for p in turn["content"])
        for turn in sample["messages"]
    ]


QUESTION = "<image>\nWhat colour is the car?\n\nA. Red\nB. Dark blue\nC. No"
ROWS = [
    llava(QUESTION, "A. Red", image="x.png"),
    llava("<image>\nWhat does the sign say?", "Boat", image="x.png"),
    llava("What does the sign say?", 'The sign says "STOP".'),
    llava("Where is the dog?", "The dog is at [0.1, 0.2, 0.3, 0.4], near 3 trees."),
    llava("Describe the image.", "A boy is waiting for the bus."),
    llava("Describe the image.", "First line.\nSecond line."),
]


def test_every_row_is_translated_repaired_or_kept_in_the_pictures_language(tmp_path, servers, capsys):
    source, out = write(tmp_path, ROWS), tmp_path / "out"
    words = ["data", "translate", source, "--recipe", recipe_file(tmp_path, servers), "--out", str(out)]
    assert cli.main(words) == 0
    assert "6 of 6 samples are in" in capsys.readouterr().out
    rows = read(out)
    assert [texts(row) for row in rows] == [
        ["|De que cor é o carro?\n\nA. Vermelho\nB. Azul-escuro\nC. Não", "A. Vermelho"],
        ["|O que diz o sinal?", "Boat"],
        ["O que diz o sinal?", 'O sinal diz "STOP".'],
        ["Onde está o cão?", "O cão está em [0.1, 0.2, 0.3, 0.4], perto de 3 árvores."],
        ["Descreve a imagem.", "Um rapaz está à espera do autocarro."],
        ["Descreve a imagem.", "Primeira linha.\nSegunda linha."],
    ]
    assert {row["language"] for row in rows} == {"pt"}
    assert Image.open(io.BytesIO(rows[0]["images"][0]["bytes"])).size == (8, 6)
    assert servers["repairer"].requests == 3
    asked = [json.loads(body)["messages"][0]["content"] for body in servers["translator"].asked.elements()]
    assert not any("Boat" in text or "STOP" in text or "0.2" in text or "A. " in text for text in asked)
    assert len(asked) == 11  # "Describe the image." once, for both samples of its shard
    option = next(text for text in asked if said_of(text) == "Dark blue")
    assert "What colour is the car?" in option  # its context, which is not translated
    before = servers["translator"].requests
    assert cli.main(words) == 0
    assert servers["translator"].requests == before


def test_without_a_repairer_what_fails_is_rejected_with_its_reason(tmp_path, servers, capsys):
    source = write(tmp_path, [*ROWS, llava("Hallo?", "Ja.", language="de"), {"conversations": 5}])
    recipe = load_build(recipe_file(tmp_path, servers, ("translator",)), [f"samples={source}"])
    made = build(recipe, tmp_path / "out")
    assert made.made == 3
    assert dict(made.rejected) == {"tokens": 1, "Brazilian": 1, "lines": 1, "another language": 1, "unreadable": 1}


def test_what_got_no_answer_is_asked_again_on_request(tmp_path, servers):
    rows = [llava("Where is the dog?", "The car is red."), llava("Where is the dog?", "A white cat.")]
    source, out, dumb = write(tmp_path, rows), tmp_path / "out", [True]

    def silent(text, count):
        return Fault(body=completion(None)) if dumb[0] and "dog" in said_of(text) else translator(text, count)

    with ModelServer(models=("translator",), script=silent) as server:
        recipe = load_build(recipe_file(tmp_path, {"translator": server}, ("translator",)), [f"samples={source}"])
        assert dict(build(recipe, out).rejected) == {"the model gave no answer": 1, "no answer": 1}
        dumb[0] = False
        assert build(recipe, out, retry_failed=True).made == 2


def test_a_round_trip_and_a_judge_see_what_rules_do_not(tmp_path, servers):
    rows = [llava("Describe the image.", text) for text in ("A white cat.", "A black cat.", "The car is red.")]
    rows += [llava("Where is the dog?", "The car is red.")] * 4
    source, out = write(tmp_path, rows), tmp_path / "out"
    quality = "settings: {quality: {lost: 0.2}}"
    file = recipe_file(tmp_path, servers, tuple(SCRIPTS), quality)
    BACK["O carro é vermelho."] = "The car is red."
    made = build(load_build(file, [f"samples={source}"]), out)
    assert dict(made.rejected) == {"judged wrong": 1}
    BACK["Um gato branco."] = "Something else entirely."
    try:
        made = build(load_build(file, [f"samples={source}", "seed=1"]), tmp_path / "second")
    finally:
        BACK["Um gato branco."] = "A white cat."
    assert made.rejected["judged wrong"] == 1


def test_translategemma_gets_one_entry_with_both_languages(tmp_path):
    source = write(tmp_path, [ROWS[0]])
    with ModelServer(
        models=("gemma",), script=lambda parts, _: Fault(body=completion(WORDS[parts[0]["text"]]))
    ) as server:
        file = recipe_file(tmp_path, {"translator": server}, ("translator",))
        words = [f"samples={source}", "roles.translator.model=gemma", "roles.translator.one_entry=true"]
        assert build(load_build(file, words), tmp_path / "out").made == 1
        messages = [json.loads(body)["messages"] for body in server.asked]
    entry = {"type": "text", "source_lang_code": "en", "target_lang_code": "pt-PT"}
    texts = {"What colour is the car?", "Red", "Dark blue"}
    assert {message["content"][0]["text"] for (message,) in messages} == texts
    assert all(
        message == {"role": "user", "content": [entry | {"text": message["content"][0]["text"]}]}
        for (message,) in messages
    )


def test_a_video_stays_in_its_slot(tmp_path, servers):
    row = llava("<video>\nDescribe the image.", "A white cat.", video="x.mp4")
    source = write(tmp_path, [row, llava("Describe the image.", "A black cat.", image="lost.png")])
    (tmp_path / "x.mp4").write_bytes(b"film")
    out = tmp_path / "out"
    made = build(load_build(recipe_file(tmp_path, servers, ("translator",)), [f"samples={source}"]), out)
    assert dict(made.rejected) == {"an image or a video": 1}
    (sample,) = read(out)
    assert sample["videos"] == [{"bytes": b"film", "path": "x.mp4"}]
    assert [part["type"] for part in sample["messages"][0]["content"]] == ["video", "text"]


def test_preference_pairs_are_translated_and_stay_two_answers(tmp_path, servers):
    rows = [{"prompt": "Describe the image.", "chosen": "A white cat.", "rejected": "A black cat."}]
    source = write(tmp_path, rows)
    file = recipe_file(tmp_path, servers, ("translator",))
    build(load_build(file, [f"samples={source}", "settings.method=dpo"]), tmp_path / "out")
    (sample,) = load_samples(tmp_path / "out" / "data", "dpo")
    assert [sample[name][0]["content"][0]["text"] for name in ("prompt", "chosen", "rejected")] == [
        "Descreve a imagem.",
        "Um gato branco.",
        "Um gato preto.",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["settings.to=pt"], "unknown settings.to 'pt'"),
        (["settings.method=grpo"], "unknown settings.method"),
        (["settings.quality.lost=0.9"], "quality.lost is 0.9"),
        (["settings.quality.scorer=nothing"], "module:function"),
        (["roles.judge={url: 'http://localhost:1', model: translator}"], "of the translator's family"),
        (
            [
                "roles.translator.model=org/translategemma-4b-it",
                "roles.back_translator={url: 'http://localhost:1', model: gemma-3-27b-it}",
            ],
            "roles.back_translator: gemma-3-27b-it is of the translator's family",
        ),
        (["roles.writer={url: 'http://localhost:1', model: x}"], "no step that asks writer"),
    ],
)
def test_a_recipe_that_cannot_be_followed_says_why(tmp_path, servers, words, said):
    file = recipe_file(tmp_path, servers)
    source = write(tmp_path, ROWS[:1])
    with pytest.raises(ValueError, match=said):
        load_build(file, [f"samples={source}", *words])


def test_the_recipe_of_the_package_can_be_followed(tmp_path):
    recipe = load_build("data/translate", [f"samples={write(tmp_path, ROWS)}"])
    assert recipe.roles["translator"].one_entry
    assert [step.name for step in recipe.written.steps(recipe)] == [
        *("cut", "translate", "repair", "assemble", "back", "measure", "select", "judge"),
    ]


def test_a_dry_run_shows_the_prompts_and_asks_nobody(tmp_path, servers, capsys):
    source = write(tmp_path, ROWS)
    words = ["data", "translate", source, "--recipe", recipe_file(tmp_path, servers), "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--dry-run"]) == 0
    assert "translate" in capsys.readouterr().out
    assert servers["translator"].requests == 0


def test_rows_are_held_to_their_originals(tmp_path, servers):
    from amalia_vl_hf.data.translated.translation import faults

    source, out = write(tmp_path, ROWS[:1]), tmp_path / "out"
    build(load_build(recipe_file(tmp_path, servers), [f"samples={source}"]), out)
    (file,) = (out / "data").glob("*.parquet")
    (row,) = pq.read_table(file).to_pylist()
    assert faults(row) == []
    row["messages"][0]["content"][1]["text"] = "De que cor é o carro?\n\nA. Vermelho\nC. Não"
    assert [fault.partition(":")[0] for fault in faults(row)] == ["options", "lines"]
