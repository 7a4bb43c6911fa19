"""Questions about videos: ViMUL-Bench's form, multiple choice and open, as a task of one's own."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, SiglipVisionModel

from amalia_vl_hf.conversion.compose import compose
from amalia_vl_hf.evaluation.backends import LocalModel, ServedModel
from amalia_vl_hf.evaluation.counting.scoring import score_item
from amalia_vl_hf.evaluation.run import PICTURES, RunSettings, evaluate
from amalia_vl_hf.evaluation.sources import open_tasks
from tests.processing.clips import write_clip
from tests.tiny import tiny_text_config, tiny_tokenizer, tiny_vision_config

TASK = """
name: vimul_pt
data: vimul.jsonl
metric: letter_or_words
options: options
prompt: "{question}\\n{options}\\nResponde apenas com a letra."
open_prompt: "{question}"
category: language
max_new_tokens: 3
"""


@pytest.fixture
def task(tmp_path):
    write_clip(tmp_path / "festa.mp4", frames=5)
    rows = [
        {"video": "festa.mp4", "question": "Que festa é?", "options": ["Natal", "São João"], "answer": "B"},
        {"video": "festa.mp4", "question": "O que se vê?", "options": None, "answer": "Uma fogueira na rua."},
        {"question": "E sem vídeo?", "options": None, "answer": "nada"},
    ]
    lines = [json.dumps({**row, "language": "pt"}, ensure_ascii=False) for row in rows]
    (tmp_path / "vimul.jsonl").write_text("\n".join(lines))
    (tmp_path / "vimul.yaml").write_text(TASK)
    return tmp_path / "vimul.yaml"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    text = AutoModelForCausalLM.from_config(tiny_text_config(vocab_size=len(tokenizer)))
    parts = SiglipVisionModel(tiny_vision_config()), text, tokenizer
    composed, processor = compose(*parts, max_tiles=4, seed=0, videos=True)
    folder = tmp_path_factory.mktemp("model")
    composed.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def test_choices_and_open_questions_are_asked_as_they_are_written(task):
    [questions] = open_tasks([], [str(task)])
    choice, open_one, text = questions.questions
    assert choice.messages[0]["content"] == [
        {"type": "video"},
        {"type": "text", "text": "Que festa é?\nA. Natal\nB. São João\nResponde apenas com a letra."},
    ]
    assert open_one.messages[0]["content"][1]["text"] == "O que se vê?"
    assert [part["type"] for part in text.messages[0]["content"]] == ["text"]
    assert questions.images(choice) == [str(task.parent / "festa.mp4")]
    assert (choice.sizes, choice.item["category"]) == ([], "pt")
    assert questions.picture(choice).size == (64, 48)


def test_letters_and_words_are_counted(task):
    [questions] = open_tasks([], [str(task)])
    choice, open_one, _ = (question.item for question in questions.questions)
    for protocol in ("published", "corrected"):
        assert score_item(questions.task, "B", choice, protocol) == 1
        assert score_item(questions.task, "São João", choice, protocol) == 1
        assert score_item(questions.task, "A", choice, protocol) == 0
        assert score_item(questions.task, "Uma fogueira na rua.", open_one, protocol) == 1
        assert 0 < score_item(questions.task, "uma fogueira", open_one, protocol) < 1


def test_a_run_answers_keeps_a_frame_and_goes_on(task, model, tmp_path):
    out = tmp_path / "out"
    for _ in range(2):
        results = evaluate(open_tasks([], [str(task)]), LocalModel(model, 2, device="cpu"), RunSettings(out))
    assert "vimul_pt" in json.dumps(results, default=str)
    items = [json.loads(line) for line in (out / "vimul_pt" / "items.jsonl").read_text().splitlines()]
    assert len(items) == 3
    assert len(list((out / "vimul_pt" / PICTURES).iterdir())) == 2


def test_another_clip_is_another_question(task):
    [before] = open_tasks([], [str(task)])
    write_clip(task.parent / "festa.mp4", frames=6)
    [after] = open_tasks([], [str(task)])
    assert before.questions[0].key != after.questions[0].key
    assert before.questions[2].key == after.questions[2].key


def test_a_missing_clip_is_named(task):
    (task.parent / "festa.mp4").unlink()
    with pytest.raises(ValueError, match=r"vimul\.jsonl, line 1: no such video"):
        open_tasks([], [str(task)])


def test_servers_are_asked_about_images(task):
    from amalia_vl_hf.asking.endpoint import Endpoint

    [questions] = open_tasks([], [str(task)])
    served = ServedModel(Endpoint(url="http://127.0.0.1:9", model="m"))
    with pytest.raises(ValueError, match="questions about videos need a model here"):
        served.answer(questions.questions[:1], questions.questions[:1], questions.images, 3, lambda pairs: None)
