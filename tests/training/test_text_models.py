"""Text alone: AMALIA's own post-training, of a plain language model and of the decoder of an AMALIA-VL."""

import copy
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from amalia_vl_hf.samples.text_processor import TextProcessor
from amalia_vl_hf.training.estimate import describe_training
from amalia_vl_hf.training.recipe import RecipeError, load_recipe
from amalia_vl_hf.training.run import train
from amalia_vl_hf.training.stages import MODULES, module_of
from tests.training.tiny_run import ANSWERS, assistant, user

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] }}"
    "{{ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)  # as EuroLLM's: the tokenizer, not the template, writes <s>


@pytest.fixture(scope="module")
def plain(parts, tmp_path_factory):
    """A plain language model, as AMALIA-9B is one."""
    folder = tmp_path_factory.mktemp("plain") / "model"
    _, text, tokenizer = parts
    text.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    set_template(folder, CHATML)
    return folder


def set_template(folder, template):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A JSONL file without images for each training method."""
    folder = tmp_path_factory.mktemp("texts")
    rows = {"sft": [], "dpo": []}
    for index in range(8):
        question, answer = user(f"Quantos são {index} e um?"), assistant(ANSWERS[index % 4])
        rows["sft"].append({"messages": [question, answer, user("E mais?"), assistant(f"mais {index}.")]})
        other = assistant(ANSWERS[(index + 1) % 4] + " errado")
        rows["dpo"].append({"prompt": [question], "chosen": [answer], "rejected": [other]})
    for method, lines in rows.items():
        (folder / f"{method}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return {method: folder / f"{method}.jsonl" for method in rows}


@pytest.fixture
def text_recipe(texts, tmp_path):
    def make(method, model, *overrides):
        here = [f"model={model}", f"data={texts[method]}", f"output={tmp_path / method}", "workers=0", "warmup=0"]
        alone = ["processes=null", "accelerate=null", "global_batch=null", "batch_size=2", "accumulation=1"]
        return load_recipe(
            f"amalia/{method}", [*here, *alone, "epochs=null", "steps=2", "log_steps=1", "precision=fp32", *overrides]
        )

    return make


def test_the_papers_values_are_in_the_recipes():
    sft, dpo = load_recipe("amalia/sft"), load_recipe("amalia/dpo")
    assert sft.training_stage.learning_rates == {"decoder": 1e-5}
    assert (sft.training_stage.schedule, sft.warmup, sft.weight_decay, sft.steps) == ("cosine", 0.03, 0.01, 14000)
    assert dpo.training_stage.learning_rates == {"decoder": 1e-6}
    assert (dpo.training_stage.schedule, dpo.beta, dpo.global_batch, dpo.epochs) == ("linear", 0.1, 128, 1)
    assert sft.processes == dpo.processes == 64
    assert sft.precision == dpo.precision == "bf16"


@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize("lora", [(), ("lora={rank: 4, alpha: 8, targets: [decoder]}",)], ids=["whole", "lora"])
def test_a_plain_language_model_trains_and_is_still_one(method, lora, plain, text_recipe):
    output = train(text_recipe(method, plain, *lora))
    before, after = load_file(plain / "model.safetensors"), load_file(output / "model.safetensors")
    assert before.keys() == after.keys()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(moved) >= (len(before) - 1 if not lora else 14)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(output), AutoTokenizer.from_pretrained(output)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert tokenizer.chat_template == CHATML
    assert len(tokenizer) == len(AutoTokenizer.from_pretrained(plain)), "no token of ours was added"
    losses = [entry for entry in json.loads((output / "training.json").read_text())["log_history"] if "loss" in entry]
    assert [entry["step"] for entry in losses] == [1, 2]


@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize("lora", [(), ("lora={rank: 4, alpha: 8, targets: [decoder]}",)], ids=["whole", "lora"])
def test_the_decoder_of_an_amalia_vl_learns_and_the_rest_stays_byte_for_byte(method, lora, base, text_recipe):
    output = train(text_recipe(method, base, *lora))
    before, after = load_file(base / "model.safetensors"), load_file(output / "model.safetensors")
    assert before.keys() == after.keys()
    for name in before:
        if module_of(name) != "decoder":
            assert before[name].numpy().tobytes() == after[name].numpy().tobytes(), name
    assert any(not torch.equal(before[name], after[name]) for name in before if name.startswith(MODULES["decoder"]))
    AmaliaVLForConditionalGeneration.from_pretrained(output)


def test_text_trains_a_decoder_as_it_trains_the_same_decoder_alone(plain, base, parts, text_recipe, tmp_path):
    """The two have the same weights, the same tokens and the same losses."""
    alone = tmp_path / "alone"
    shutil.copytree(plain, alone)
    vl = AmaliaVLForConditionalGeneration.from_pretrained(base)
    model = AutoModelForCausalLM.from_config(vl.config.text_config)
    model.model.load_state_dict(vl.model.language_model.state_dict())
    model.lm_head.load_state_dict(vl.lm_head.state_dict())
    model.save_pretrained(alone)
    set_template(alone, "{{ bos_token }}" + CHATML)
    losses = []
    for name, folder in (("alone", alone), ("vl", base)):
        log = json.loads(
            (train(text_recipe("sft", folder, f"output={tmp_path / name}_out")) / "training.json").read_text()
        )
        losses.append([entry["loss"] for entry in log["log_history"] if "loss" in entry])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_packed_texts_are_learned_as_unpacked_ones(plain, text_recipe, tmp_path):
    losses = []
    for packing in ("true", "false"):
        changes = (f"packing={packing}", f"output={tmp_path / packing}", "batch_size=8", "max_length=512")
        log = json.loads((train(text_recipe("sft", plain, *changes)) / "training.json").read_text())["log_history"]
        losses.append([entry["loss"] for entry in log if "loss" in entry])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5), "all eight texts in each step"


@pytest.mark.parametrize("template", [CHATML, "{{ bos_token }}" + CHATML, None])
def test_its_tokens_are_those_of_its_own_template(template, parts):
    tokenizer = copy.deepcopy(parts[2])
    tokenizer.chat_template = template
    processor = TextProcessor.of(tokenizer)
    chat = [user("olá"), assistant("sim"), user("e o <image>?"), assistant("não")]
    typed = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in chat]
    (row,) = processor.encode_answers([typed], ["a"])
    plain_chat = [turn for turn in chat if "<image>" not in turn["content"]]
    (bare,) = processor.encode_answers([plain_chat], ["a"])
    own = tokenizer.apply_chat_template(plain_chat, tokenize=True, return_dict=True)["input_ids"]
    assert bare.ids.tolist() == own
    assert tokenizer.decode(bare.ids[bare.answers.astype(bool)]).replace(" ", "") == "sim<|im_end|>não<|im_end|>"
    assert processor.image_token_id not in row.ids, "written by the user, it is a word"
    rendered = processor.apply_chat_template(typed)
    assert processor._tokenised([rendered])["input_ids"][0] == row.ids.tolist()


def test_a_template_that_hides_the_answers_is_refused(parts):
    tokenizer = copy.deepcopy(parts[2])
    tokenizer.chat_template = "{% for message in messages %}[{{ message['content'] }}]{% endfor %}"
    with pytest.raises(ValueError, match="does not mark the assistant's words"):
        TextProcessor.of(tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}[{% if m['role'] == 'assistant' %}"
        "{% generation %}{{ m['content'] }}{% endgeneration %}"
        "{% else %}{{ m['content'] }}{% endif %}]{% endfor %}"
    )
    (row,) = TextProcessor.of(tokenizer).encode_answers([[user("olá"), assistant("sim")]], ["a"])
    assert tokenizer.decode(row.ids[row.answers.astype(bool)]).strip() == "sim"


def test_images_and_stages_that_see_are_refused_by_a_language_model(plain, samples, text_recipe):
    with pytest.raises(ValueError, match="it has an image, but the model reads text alone"):
        train(text_recipe("sft", plain, f"data={samples['sft']}", "max_bad_share=0", "packing=false"))
    recipe = load_recipe("tiny/2_instruct", [f"model={plain}", f"data={samples['sft']}"])
    with pytest.raises(RecipeError, match=r"stage instruct trains tower, connector, but .* is a language model alone"):
        describe_training(recipe)


def test_a_dry_run_says_what_text_takes(plain, text_recipe):
    text = describe_training(text_recipe("sft", plain))
    assert "stage      text_instruct (sft), text" in text
    assert "tower" not in text
    assert "tokens     at most " in text
    assert "shared" not in text


def test_a_task_is_put_to_a_language_model_while_it_trains(plain, texts, text_recipe, tmp_path):
    task = tmp_path / "task.yaml"
    task.write_text(f"name: tarefa\ndata: {texts['sft']}\nmetric: exact\nmax_new_tokens: 1\n", encoding="utf-8")
    output = train(text_recipe("sft", plain, "save_steps=1", f"validation={task}"))
    log = json.loads((output / "training.json").read_text())["log_history"]
    assert [entry["step"] for entry in log if "validation/tarefa" in entry] == [1, 2]
