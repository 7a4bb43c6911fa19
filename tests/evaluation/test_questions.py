"""Rows become the official suite's prompts, word for word, with the references that answers are held against."""

import base64
import io
import json

import pytest
from PIL import Image

from amalia_vl_hf.evaluation.own_tasks import read_task
from amalia_vl_hf.evaluation.questions import Questions
from amalia_vl_hf.evaluation.sources import open_tasks
from amalia_vl_hf.evaluation.tasks import TASKS
from amalia_vl_hf.fields import RecipeError


def encoded(size=(40, 20), colour=(10, 200, 10)):
    picture = io.BytesIO()
    Image.new("RGB", size, colour).save(picture, format="PNG")
    return {"bytes": picture.getvalue(), "path": None}


class ListRows(list):
    """Rows in memory."""

    def name(self, row):
        return f"row {row + 1}"


def ask(name, tmp_path, **row):
    return Questions(TASKS[name], ListRows([{"image": encoded(), **row}]), tmp_path)


def text(question):
    return "".join(part.get("text", "<image>") for turn in question.messages for part in turn["content"])


SHORT = "\nResponde à pergunta utilizando uma palavra ou frase."
SEED = {"choice_a": "um", "choice_b": "dois", "choice_c": "três", "choice_d": "quatro", "answer": "B"}
PROMPTS = {
    "mme_pt": ({"question": "Há cão? Please answer yes or no. ", "answer": "Sim"}, f"Há cão?{SHORT}", ["Sim"]),
    "pope_pt": ({"question": "Há um cão?", "answer": "não"}, f"Há um cão?{SHORT}", ["não"]),
    "docvqa_pt": ({"question": "Data?", "answers": ["1 de maio", "1/5"]}, f"Data?{SHORT}", ["1 de maio", "1/5"]),
    "realworldqa_pt": ({"question": "Q? A. x B. y", "answer": "A"}, "Q? A. x B. y", ["A"]),
    "ocrbench_pt": (
        {"question": "O que diz?", "answer": ["a"], "dataset": "FUNSD"},
        "O que diz?\nFornece uma resposta curta e direta.",
        ["a"],
    ),
    "textvqa_pt": (
        {"question": "que marca é a NOKIA?", "answers": ["nokia"] * 10},
        "Que marca é a nokia?\nQuando a informação fornecida for insuficiente, responde com 'Sem resposta'." + SHORT,
        ["nokia"] * 10,
    ),
    "ai2d_pt": (
        {"question": "Qual?", "options": ["folha", "raiz"], "answer": "1"},
        "Qual?\nA. folha\nB. raiz\nResponda diretamente com a letra da opção entre as escolhas fornecidas.",
        ["B"],
    ),
    "embspatial_pt": (
        {"question": "Onde?", "answer_options": ["perto", "longe"], "answer": 0},
        "Nota: Apenas necessita de responder com A, B, C, D sem fornecer qualquer informação adicional.\n"
        "Onde?\nA) perto\nB) longe",
        ["A"],
    ),
    "seedbench_pt": (
        {"question": "Quantos?", **SEED},
        "Quantos?\nA. um\nB. dois\nC. três\nD. quatro\n"
        "Responde diretamente com a letra da opção das opções disponíveis.",
        ["B"],
    ),
    "chartqa_pt": (
        {"question": "Valor?", "answer": "10"},
        "Valor?\nResponde à pergunta com uma única palavra.",
        ["10"],
    ),
    "coco2017_cap_pt": (
        {"answer": ["um gato", "o gato"]},
        "Apresenta uma legenda de uma frase para a imagem fornecida.",
        ["um gato", "o gato"],
    ),
    "caravela_mcq": (
        {"question": "Que torre?", **{f"options_{letter}": letter for letter in "abcd"}, "answer": "B"},
        "Que torre?\nA. a\nB. b\nC. c\nD. d\nResponde apenas com a letra da opção correta. Termina a tua resposta"
        " escrevendo 'ANSWER:' seguido da letra.",
        ["B"],
    ),
    "portexto_synthetic_pt": ({"question": "Transcreve {isto}.", "answer": "Olá"}, "Transcreve {isto}.", ["Olá"]),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_are_the_official_ones(name, tmp_path):
    row, prompt, references = PROMPTS[name]
    (question,) = ask(name, tmp_path, **row).questions
    assert text(question) == f"<image>{prompt}"
    assert question.item["references"] == references


def test_mathvision_has_options_or_not(tmp_path):
    row = {"decoded_image": encoded(), "question": "Área?", "answer": "B"}
    (chosen,) = ask("mathvision_pt", tmp_path, **row, options=["1", "2"]).questions
    (free,) = ask("mathvision_pt", tmp_path, **row, options=[]).questions
    query = "Por favor, resolve o problema passo a passo e coloca a tua resposta dentro de um '\\boxed{}'.Área?"
    assert text(free) == f"<image>{query}"
    letter = "Responde diretamente com a letra da opção das opções disponíveis."
    assert text(chosen) == f"<image>{query}\nOpções: A. 1\nB. 2\n{letter}"


def test_mmmus_images_stand_where_its_text_names_them(tmp_path):
    row = {"image_1": encoded(), "image_2": encoded((20, 40)), "answer": "A", "id": "validation_Art_Theory_3"}
    row |= {"question": "Compara <image 1> com <image 2>.", "options": "['sim', 'não']"}
    questions = ask("mmmu_pt", tmp_path, **row)
    (question,) = questions.questions
    assert text(question) == (
        "Compara<image>com<image>.\nA. sim\nB. não\n\n"
        "Responde diretamente com a letra da opção das escolhas disponíveis."
    )
    assert [image.size for image in questions.images(question)] == [(40, 20), (20, 40)]
    assert question.item["category"] == "Art_Theory"
    open_row = row | {"question": "Quanto é <image 1>?", "options": "[]", "answer": "8"}
    (question,) = ask("mmmu_pt", tmp_path, **open_row).questions
    assert text(question) == "Quanto é<image>?\n\nResponde à pergunta utilizando uma palavra ou frase."


def test_refcocos_expressions_are_a_row_each_and_its_captions_have_a_red_box(tmp_path):
    row = {"bbox": [4, 4, 20, 10], "answer": ["o cão {preto}", "cão à esquerda"], "question_id": "7"}
    boxes = ask("refcoco_bbox_rec_pt", tmp_path, **row)
    assert [
        text(question).endswith(f"descreve: {answer}")
        for question, answer in zip(boxes.questions, row["answer"], strict=True)
    ]
    assert {tuple(question.item["references"]) for question in boxes.questions} == {(0.1, 0.2, 0.6, 0.7)}
    assert len({question.key for question in boxes.questions}) == 2
    captions = ask("refcoco_bbox_pt", tmp_path, **row)
    (image,) = captions.images(captions.questions[0])
    assert image.getpixel((4, 4)) == (255, 0, 0)
    assert image.getpixel((8, 8)) == (10, 200, 10)
    assert captions.questions[0].item["references"] == row["answer"]


def test_keys_follow_row_image_and_prompt(tmp_path):
    def key(**row):
        return ask("pope_pt", tmp_path, **{"question": "Há?", "answer": "sim", **row}).questions[0].key

    assert key() == key() == key(answer="não")
    assert len({key(), key(question="Há cão?"), key(image=encoded(colour=(0, 0, 0)))}) == 3


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match="row 1: there is no 'answer', but 'image', 'question'"):
        ask("pope_pt", tmp_path, question="Há?")
    with pytest.raises(ValueError, match="no list of options: 'lixo"):
        ask("mmmu_pro_pt", tmp_path, question="Q", answer="A", options="lixo(")
    with pytest.raises(ValueError, match="there are no rows"):
        Questions(TASKS["pope_pt"], ListRows([]), tmp_path)


def write_task(tmp_path, rows, **values):
    """Write a task's file with its rows."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    path = tmp_path / "meu.yaml"
    lines = {"name": "meu", "data": "rows.jsonl", "metric": "exact", **values}
    path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in lines.items() if value is not None))
    return str(path)


@pytest.mark.parametrize(
    "row",
    [
        {"image": "a.png", "question": "De que cor?", "answer": "verde"},
        {"images": ["a.png"], "question": "De que cor?", "answers": ["verde"]},
        {"images": ["a.png"], "prompt": "De que cor?", "completion": "verde"},
        {
            "image": "a.png",
            "conversations": [{"from": "human", "value": "<image>\nDe que cor?"}, {"from": "gpt", "value": "verde"}],
        },
        {"images": ["a.png"], "texts": [{"user": "De que cor?", "assistant": "verde"}]},
        {"image_url": "a.png", "question": "De que cor?", "answer": "verde"},
    ],
    ids=["plain", "answers", "trl", "llava", "finevision", "multi-pixmo"],
)
def test_own_rows_are_read_in_any_known_format(tmp_path, row):
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    (questions,) = open_tasks([], [write_task(tmp_path, [row])])
    (question,) = questions.questions
    assert text(question) == "<image>De que cor?"
    assert question.item["references"] == ["verde"]
    assert [image.size for image in questions.images(question)] == [(20, 10)]


def test_own_images_may_lie_in_another_folder_that_the_task_names(tmp_path):
    (tmp_path / "fotos").mkdir()
    Image.new("RGB", (20, 10)).save(tmp_path / "fotos" / "a.png")
    row = {"image": "a.png", "question": "De que cor?", "answer": "verde"}
    (questions,) = open_tasks([], [write_task(tmp_path, [row], images="fotos")])
    assert [image.size for image in questions.images(questions.questions[0])] == [(20, 10)]
    with pytest.raises(ValueError, match="no such image"):
        open_tasks([], [write_task(tmp_path, [row])])


def test_own_tasks_with_columns_options_and_boxes(tmp_path):
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    row = {"foto": "a.png", "pergunta": "Qual?", "answer": "B", "escolhas": ["x", "y"], "tema": "cor"}
    file = write_task(
        tmp_path, [row], metric="letter", prompt="{question}\n{options}", options="escolhas", category="tema",
        columns={"pergunta": "question", "foto": "images"},
    )  # fmt: skip
    (question,) = open_tasks([], [file])[0].questions
    assert text(question) == "<image>Qual?\nA. x\nB. y"
    assert (question.item["options"], question.item["category"]) == (["x", "y"], "cor")
    row = {"image": "a.png", "question": "Onde?", "answer": [100, 200, 300, 400]}
    file = write_task(tmp_path, [row], metric="box", box_form="xywh", box_scale=1000)
    (question,) = open_tasks([], [file])[0].questions
    assert question.item["references"] == pytest.approx([0.1, 0.2, 0.4, 0.6])
    file = write_task(tmp_path, [row | {"answer": "ali"}], metric="box")
    with pytest.raises(ValueError, match="'ali' is no box of xyxy"):
        open_tasks([], [file])


def test_images_are_files_beside_the_data_or_bytes_and_nothing_is_fetched(tmp_path):
    Image.new("RGB", (40, 20), (10, 200, 10)).save(tmp_path / "a.png")
    picture = Image.open(tmp_path / "a.png")
    for cell in ("a.png", {"path": "a.png"}, encoded(), encoded()["bytes"], picture):
        questions = ask("pope_pt", tmp_path, question="Há?", answer="sim", image=cell)
        (image,) = questions.images(questions.questions[0])
        assert (image.size, questions.questions[0].sizes) == ((40, 20), [(20, 40)])
    for cell, words in (
        ("b.png", r"row 1: no such image: .*b\.png"),
        ("http://127.0.0.1/a.png", "row 1: 'http://127.0.0.1/a.png' is not fetched yet"),
        ("../a.png", r"row 1: \.\./a\.png is outside"),
        (7, "row 1: an image must be a path"),
        ({"bytes": b"GIF8"}, "image 0 .* cannot be used"),
    ):
        with pytest.raises(ValueError, match=words):
            ask("pope_pt", tmp_path, question="Há?", answer="sim", image=cell)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"metric": "exat"}, "metric is 'exat', but must be one of exact, anls"),
        ({"data": None}, "in data or on the hub"),
        ({"hub": "a/b"}, "in data or on the hub"),
        ({"name": "a/b"}, "becomes the name of a folder"),
        ({"max_new_tokens": 0}, "an answer has 1 or more"),
        ({"prompt": "{pergunta}"}, "it may hold {question} and {options}"),
        ({"unit": "video"}, "unit is 'video'"),
        ({"metrics": "exact"}, "unknown key 'metrics' (did you mean 'metric'?)"),
        ({"box_form": "cxcywh", "box_scale": 100}, "box_scale is 100.0, but must be one of 1, 1000"),
    ],
)
def test_a_task_that_cannot_be_followed_is_refused(tmp_path, values, words):
    with pytest.raises(RecipeError) as error:
        read_task(write_task(tmp_path, [], **values))
    assert words in str(error.value)
    assert str(error.value).startswith(str(tmp_path))


def test_benchmarks_rows_from_a_folder_need_no_hub(tmp_path):
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    row = {"image": "a.png", "question": "Is there a dog?", "answer": "yes", "question_id": 1}
    (tmp_path / "pope_fr.jsonl").write_text(json.dumps(row) + "\n")
    (questions,) = open_tasks(["pope_fr"], [], tmp_path)
    assert questions.task.revision.startswith("files ")
    assert len(questions) == 1


def test_hints_stand_before_questions_and_options_may_be_two(tmp_path):
    row = {"question": "Is it?", "hint": "It rains.", "A": "yes", "B": "no", "C": "nan", "D": None, "answer": "B"}
    (question,) = ask("mmbench_en", tmp_path, **row).questions
    wanted = "It rains. Is it? There are several options:\nA. yes\nB. no\n\nAnswer with the option's letter from the"
    assert text(question).removeprefix("<image>").startswith(wanted)
    assert question.item["options"] == ["yes", "no"]
    row = {"question": "Which?", "hint": "", "choices": ["a", "b", "c"], "answer": 2}
    (question,) = ask("scienceqa_en", tmp_path, **row).questions
    assert text(question).removeprefix("<image>").startswith("Which?\nA. a\nB. b\nC. c\nAnswer with")
    assert question.item["references"] == ["C"]
    (question,) = ask("scienceqa_en", tmp_path, **{**row, "hint": "Rain."}).questions
    assert text(question).removeprefix("<image>").startswith("Context: Rain.\nWhich?\nA. a")


def test_images_may_be_the_text_of_their_files(tmp_path):
    stored = base64.b64encode(encoded((20, 10))["bytes"]).decode()
    row = {"question": "Read.", "answer": "olá", "split": "Portuguese", "image_name": "a.png"}
    questions = ask("cc_ocr_multilingual", tmp_path, **{**row, "image": stored})
    assert questions.images(questions.questions[0])[0].size == (20, 10)
    with pytest.raises(ValueError, match="image is no base64: 'uma imagem'"):
        ask("cc_ocr_multilingual", tmp_path, **{**row, "image": "uma imagem"})
