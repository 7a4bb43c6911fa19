"""Conversations whose history is the model's own answers, judged by variety; two completions, compared or chosen."""

import json
import os
import signal

import pytest
import torch
from PIL import Image

from amalia_vl_hf.asking.endpoint import Endpoint
from amalia_vl_hf.evaluation.backends import GeneratedAnswer, LocalModel, ServedModel, likelihood
from amalia_vl_hf.evaluation.recount import compare_runs, recount
from amalia_vl_hf.evaluation.report import write_report
from amalia_vl_hf.evaluation.run import MissingAnswersError, RunSettings, evaluate
from amalia_vl_hf.evaluation.sources import open_tasks
from tests.asking.model_server import Fault, ModelServer, completion, error
from tests.evaluation.scripted import Scripted
from tests.forked import forked

PROMPTS = {
    "p0": ["Como vou para o trabalho?", "E se chover?", "E de noite?"],
    "p1": ["O que há para o pequeno-almoço?", "E para o lanche?"],
}
EUROPEAN = "O autocarro está a chegar à paragem e as pessoas estão a entrar."
BRAZILIAN = "O ônibus está chegando ao ponto e as pessoas estão entrando no trem."


def write_task(folder, metric, data, **values):
    """Write a task's file, its rows in lines, or P3B3's object of lists."""
    name = "rows.json" if isinstance(data, dict) else "rows.jsonl"
    text = json.dumps(data) if isinstance(data, dict) else "".join(json.dumps(row) + "\n" for row in data)
    (folder / name).write_text(text, encoding="utf-8")
    values = {"name": "meu", "data": name, "metric": metric, "max_new_tokens": 6, **values}
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
    (folder / "meu.yaml").write_text("".join(lines), encoding="utf-8")
    return str(folder / "meu.yaml")


def answers(out):
    """Read a run's answers in order."""
    lines = (out / "meu" / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["answer"] for line in lines]


class Talking(Scripted):
    """Says how many turns it was shown, and what it said last, as a chat does that has its own words as history."""

    def answer(self, questions, missing, images, max_new_tokens, keep):
        for question in missing:
            self.before(len(self.asked))
            self.asked.append(question.place)
            said = [turn["content"][-1]["text"] for turn in question.messages]
            keep([(question, GeneratedAnswer(f"{len(said)} {said[-2:]}"))])
        return []


def test_a_turns_history_is_what_the_model_itself_said(tmp_path):
    task = write_task(tmp_path, "variety", PROMPTS, prompt="Responde em português europeu.\n{question}")
    talking = Talking(None)
    evaluate(open_tasks([], [task]), talking, RunSettings(tmp_path / "out"))
    first = "1 ['Responde em português europeu.\\nComo vou para o trabalho?']"
    assert answers(tmp_path / "out")[:2] == [first, f"3 {[first, 'E se chover?']}"]
    assert talking.asked == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]
    items = [json.loads(line) for line in (tmp_path / "out" / "meu" / "items.jsonl").read_text().splitlines()]
    assert [(item["question_id"], item["category"]) for item in items[2:4]] == [("p0", "turn 3"), ("p1", "turn 1")]
    assert items[1]["question"] == "E se chover?"


@pytest.mark.parametrize("answered", [1, 3, 4])
def test_killed_between_turns_it_goes_on_with_the_same_history(tmp_path, answered):
    task, out = write_task(tmp_path, "variety", PROMPTS), tmp_path / "out"
    evaluate(open_tasks([], [task]), Talking(None), RunSettings(tmp_path / "whole"))

    def die(count):
        if count == answered:
            with (out / "meu" / "answers.jsonl").open("ab") as file:
                file.write(b'{"key": "ab')
            os.kill(os.getpid(), signal.SIGKILL)

    dying = Talking(None, before=die)
    child = forked(lambda: evaluate(open_tasks([], [task]), dying, RunSettings(out)) and 0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    rest = Talking(None)
    evaluate(open_tasks([], [task]), rest, RunSettings(out))
    assert len(rest.asked) == 5 - answered
    for name in ("answers.jsonl", "items.jsonl", "scores.json"):
        assert (out / "meu" / name).read_bytes() == (tmp_path / "whole" / "meu" / name).read_bytes()


def test_a_turn_without_an_answer_ends_the_run_before_the_next_is_asked(tmp_path):
    task = write_task(tmp_path, "variety", PROMPTS)

    def say(content, _count):
        text = content if isinstance(content, str) else content[-1]["text"]
        return Fault(400, error("too long")) if broken and "chover" in text else Fault(200, completion(EUROPEAN))

    broken = True
    with ModelServer(script=say) as server:
        backend = ServedModel(Endpoint(server.url, "amalia", parallel=1))
        with pytest.raises(MissingAnswersError, match=r"1 of 5 questions have no answer.*too long"):
            evaluate(open_tasks([], [task]), backend, RunSettings(tmp_path / "out"))
        assert not list((tmp_path / "out").rglob("scores.json"))
        broken, before = False, server.requests
        evaluate(open_tasks([], [task]), backend, RunSettings(tmp_path / "out"))
        assert server.requests - before == 2  # the one that failed, and the turn after it
        bodies = [json.loads(body)["messages"] for body in server.asked]
    assert [turn["role"] for turn in bodies[-1]] == ["user", "assistant"] * 2 + ["user"]


def test_one_at_a_time_and_eight_at_once_say_the_same_over_several_turns(tmp_path, tiny_directory):
    task = write_task(tmp_path, "variety", PROMPTS)
    for batch in (1, 8):
        evaluate(open_tasks([], [task]), LocalModel(str(tiny_directory), batch), RunSettings(tmp_path / str(batch)))
    assert answers(tmp_path / "1") == answers(tmp_path / "8")


def test_variety_is_pooled_by_conversation_with_an_interval_and_by_turn(tmp_path):
    prompts = {f"p{number}": ["Como vou?", "E depois?"] for number in range(10)}
    task = write_task(tmp_path, "variety", prompts)
    said = [BRAZILIAN, BRAZILIAN] * 2 + [EUROPEAN, EUROPEAN] * 7 + ["No.", "Yes."]

    class Saying(Scripted):
        def answer(self, questions, missing, images, max_new_tokens, keep):
            keep([(entry, GeneratedAnswer(said[2 * entry.place[0] + entry.place[1]])) for entry in missing])
            return []

    (score,) = evaluate(open_tasks([], [task]), Saying(None), RunSettings(tmp_path / "out"))["tasks"]
    figure = score["protocols"]["corrected"]
    assert (figure["value"], score["units"], score["questions"]) == (70, 10, 20)
    low, high = figure["interval"]
    assert (low, high) == pytest.approx((39.7, 89.2), abs=0.1)  # Wilson's of 7 in 10
    assert figure["parts"]["conversations, Brazilian"] == 20
    assert figure["parts"]["turns, European"] == figure["parts"]["turn 1"] == 70
    assert figure["parts"]["conversations, nothing to judge"] == 10
    assert recount(tmp_path / "out")["tasks"][0] == score
    compared = compare_runs(tmp_path / "out", tmp_path / "out").splitlines()[1:]
    assert [line.split()[4:] for line in compared] == [["0.00", "[0.00,", "0.00]", "10"]] * 2
    assert "E depois?" in write_report(tmp_path / "out").read_text(encoding="utf-8")


PAIRS = [
    {"question": "Vou à estação de ____.", "completions": ["comboios", "trem"]},
    {"question": "Bebi um ____ de laranja.", "completions": ["sumo", "suco"]},
]


def test_a_completion_is_chosen_in_both_orders(tmp_path):
    task = write_task(tmp_path, "chooses", PAIRS, prompt="{question}\n{options}\nDiz a letra.")
    asked = []

    class Choosing(Scripted):
        def answer(self, questions, missing, images, max_new_tokens, keep):
            asked.extend(question.messages[0]["content"][-1]["text"] for question in missing)
            return super().answer(questions, missing, images, max_new_tokens, keep)

    (score,) = evaluate(open_tasks([], [task]), Choosing(lambda _item: "A"), RunSettings(tmp_path / "out"))["tasks"]
    assert asked[:2] == [
        "Vou à estação de ____.\nA. comboios\nB. trem\nDiz a letra.",
        "Vou à estação de ____.\nA. trem\nB. comboios\nDiz a letra.",
    ]
    figure = score["protocols"]["corrected"]
    assert (figure["value"], score["units"], score["questions"]) == (50, 2, 4)  # who says A always is right by half
    assert figure["parts"] == {"right one first": 100, "right one second": 0}


@pytest.mark.parametrize(("metric", "right"), [("likelier", 0), ("perplexity", 100)])
def test_completions_are_compared_whole_or_by_token(tmp_path, metric, right):
    class Weighing(Scripted):
        def weigh(self, missing, images, keep):
            for question in missing:
                assert question.item["options"][0] in ("comboios", "sumo")
                keep([(question, GeneratedAnswer("B", likelihoods=((-6.0, 4), (-4.0, 2))))])

    task = write_task(tmp_path, metric, PAIRS)
    (score,) = evaluate(open_tasks([], [task]), Weighing(None), RunSettings(tmp_path / "out"))["tasks"]
    assert score["protocols"]["published"]["value"] == right
    assert recount(tmp_path / "out")["tasks"][0] == score
    evaluate(open_tasks([], [task]), Weighing(None), RunSettings(tmp_path / "out"))  # asks nothing
    (tmp_path / "rows.jsonl").write_text(json.dumps(PAIRS[0]) + "\n" + json.dumps({**PAIRS[1], "completions": ["a"]}))
    with pytest.raises(ValueError, match="two completions are compared"):
        open_tasks([], [task])


def test_a_likelihood_is_the_sum_over_the_answers_tokens_with_the_picture_seen(tmp_path, tiny_directory):
    Image.effect_noise((40, 30), 80).convert("RGB").save(tmp_path / "a.png")
    rows = [{**pair, "images": ["a.png"]} for pair in PAIRS]
    model = LocalModel(str(tiny_directory))
    task = write_task(tmp_path, "likelier", rows)
    evaluate(open_tasks([], [task]), model, RunSettings(tmp_path / "out"))
    line = json.loads((tmp_path / "out" / "meu" / "answers.jsonl").read_text().splitlines()[0])
    content = [
        {"type": "image", "image": Image.open(tmp_path / "a.png")},
        {"type": "text", "text": PAIRS[0]["question"]},
    ]
    messages = [{"role": "user", "content": content}]
    inputs = model.processor.apply_chat_template(
        [messages], tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    for text, (total, count) in zip(PAIRS[0]["completions"], line["likelihoods"], strict=True):
        tokens = model.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        seen, sums = dict(inputs), 0.0
        for token in tokens:  # one token after the other
            with torch.inference_mode():
                scores = model.model(**seen).logits[0, -1].log_softmax(-1)
            sums += float(scores[token])
            more = {"input_ids": token, "attention_mask": 1}
            for name in seen.keys() & {"input_ids", "attention_mask", "mm_token_type_ids"}:
                seen[name] = torch.cat((seen[name], torch.tensor([[more.get(name, 0)]])), dim=1)
        assert (total, count) == (pytest.approx(sums, abs=1e-3), len(tokens))
    content[0]["image"] = Image.new("RGB", (40, 30))
    assert likelihood(model.model, model.processor, messages, "trem")[0] != line["likelihoods"][1][0]


def test_a_server_of_chats_is_not_asked_for_likelihoods(tmp_path):
    task = write_task(tmp_path, "likelier", PAIRS)
    served = ServedModel(Endpoint("http://127.0.0.1:9", "amalia"))
    with pytest.raises(ValueError, match="does not say how likely a given answer is; give the model's directory"):
        evaluate(open_tasks([], [task]), served, RunSettings(tmp_path / "out"))


@pytest.mark.parametrize("turns", ["Olá", [], [""], None, [1]])
def test_a_conversation_is_a_list_of_turns(tmp_path, turns):
    with pytest.raises(ValueError, match=r"line 1: turns is .* but a conversation is a list"):
        open_tasks([], [write_task(tmp_path, "variety", [{"turns": turns}])])


def test_options_that_are_chosen_must_be_shown(tmp_path):
    with pytest.raises(ValueError, match=r"metric chooses: the prompt must show the \{options\}"):
        open_tasks([], [write_task(tmp_path, "chooses", PAIRS)])


def test_a_checkout_of_commute_is_read_as_it_is(tmp_path):
    pair = tmp_path / "CoMMuTE" / "en-fr"
    (tmp_path / "CoMMuTE" / "images").mkdir(parents=True)
    pair.mkdir()
    for number in range(2):
        Image.new("RGB", (20, 10)).save(tmp_path / "CoMMuTE" / "images" / f"{number}.png")
    texts = {"src.en": ["the mole", "the mole"], "correct.fr": ["la taupe", "le grain"]}
    texts |= {"incorrect.fr": ["le grain", "la taupe"], "img.order": ["0.png", "1.png"]}
    for name, lines in texts.items():
        (pair / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (questions,) = open_tasks(["commute_fr"], [], tmp_path)
    first, second = questions.questions
    assert first.item["options"] == ["la taupe", "le grain"]
    assert first.messages[0]["content"][-1]["text"].endswith("to French:\nEnglish: the mole\nFrench: ")
    assert [image.size for image in questions.images(second)] == [(20, 10)]
    (pair / "img.order").write_text("0.png\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"different numbers of them: src.en 2, .*img.order 1"):
        open_tasks(["commute_fr"], [], tmp_path)
    with pytest.raises(ValueError, match="put them into --data"):
        open_tasks(["commute_fr"], [])
