import copy

import pytest
import torch
from peft import LoraConfig
from PIL import Image

from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.training.batches.collation import Encoder, PreferenceCollator
from amalia_vl_hf.training.batches.shared_prompt import SharedPromptCollator, pack_pairs, pair_row, share_prompts
from tests.tiny import tiny_config, tiny_model, tiny_text_config
from tests.training.batches.preference import DECODERS, MPO, assistant, pair, policy, spread, trainer_for, user

OPTIONS = (4, 512)  # tiles, tokens


@pytest.fixture(scope="module")
def rows(samples, pictures):
    """Pairs of one and of several turns, of one image, of two and of none, with answers that begin alike or not."""
    names = ("sample", "prompt", "chosen", "rejected", "images")
    pairs = [{name: row[name] for name in names} for row in load_samples(samples["dpo"], "dpo")]
    turns = [user("E hoje?"), assistant("Hoje também."), user("Sim?")]
    pairs.append(pair([user("Olá?")], "Olá!", "Oi, tudo bem?"))
    pairs.append(pair(turns, "Sim, sim.", "Sim, não.", [pictures / "1.png", pictures / "3.png"]))
    return pairs


CASES = {"images": [0, 1], "several turns": [1, 3], "text only": [8], "all in one row": [2, 8, 9, 5]}


def answers_of(batch):
    """Each answer's scored ids, chosen ones first."""
    return [ids[mask == 1].tolist() for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)]


def test_a_row_holds_what_the_whole_conversations_hold(parts, rows):
    _, processor = policy(parts)
    for row in rows:
        whole = PreferenceCollator(Encoder(processor, *OPTIONS))([row])
        shared = SharedPromptCollator(Encoder(processor, *OPTIONS))([row])
        chosen, rejected = (
            ids[mask == 1] for ids, mask in zip(whole["input_ids"], whole["attention_mask"], strict=True)
        )
        tokens, positions = shared["row_ids"][0], shared["position_ids"][0]
        first, rest = shared["segments"]
        assert torch.equal(tokens[: first.stop], chosen)
        assert torch.equal(torch.cat((tokens[: rest.prefix_stop], tokens[rest.start :])), rejected)
        assert positions.tolist() == [*range(len(chosen)), *range(rest.prefix_stop, len(rejected))]
        assert answers_of(shared) == answers_of(whole)
        scored = shared["completion_mask"] == 1
        assert torch.equal(tokens[shared["answer_places"][scored]], shared["input_ids"][scored])
        assert len(shared.get("pixel_values", ())) * 2 == len(whole.get("pixel_values", ()))


def losses_and_gradients(parts, decoder, rows, folder, checkpointing=False):
    """Run one batch through TRL's loss, as whole conversations and with shared prompts."""
    model, processor = policy(parts, decoder)
    for shared, kind in ((False, PreferenceCollator), (True, SharedPromptCollator)):
        collator = kind(Encoder(processor, *OPTIONS))
        trainer = trainer_for(model, processor, rows, collator, folder, shared=shared, **MPO)
        if shared and checkpointing:
            trainer.model.gradient_checkpointing_enable({"use_reentrant": False})
        batch = trainer._prepare_inputs(collator(rows))
        trainer.model.train()
        trainer.compute_loss(trainer.model, batch).backward()
        with torch.no_grad():
            frozen = torch.stack(trainer.compute_ref_log_probs(trainer.ref_model, batch))
            trained = torch.stack(trainer.compute_ref_log_probs(trainer.model, batch))
        yield torch.stack((frozen, trained)), trainer.model, trainer._metrics["train"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("decoder", DECODERS)
def test_log_probabilities_gradients_and_metrics_are_those_of_whole_conversations(
    parts, rows, tmp_path, decoder, case
):
    chosen = [rows[index] for index in CASES[case]]
    checkpointing = case == "all in one row"
    whole, shared = losses_and_gradients(parts, decoder, chosen, tmp_path, checkpointing)
    torch.testing.assert_close(shared[0], whole[0], atol=1e-4, rtol=0)
    assert_same_gradients(shared[1], whole[1])
    metrics = {name: values for name, values in whole[2].items() if name != "num_tokens"}
    assert {name: shared[2][name] for name in metrics} == {
        name: pytest.approx(values, rel=1e-4, abs=1e-5) for name, values in metrics.items()
    }
    assert {"rewards/accuracies", "rewards/margins", "logps/chosen", "entropy"} <= metrics.keys()
    assert shared[2]["num_tokens"] < whole[2]["num_tokens"]


def assert_same_gradients(ours, stock):
    for (name, parameter), other in zip(ours.named_parameters(), stock.parameters(), strict=True):
        difference, scale = (parameter.grad - other.grad).norm(), other.grad.norm()
        if name.endswith("k_proj.bias"):  # a constant added to all scores: no gradient but rounding
            assert max(difference, scale) < 1e-6, name
        else:
            assert difference <= 1e-5 * scale, name


def conversation_log_probs(model, ids, scored):
    """Log-probability of a conversation's scored tokens, alone."""
    logs = model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
    return logs.gather(1, ids[1:, None])[scored[1:]].sum()


ANSWERS = {
    "as short as can be": ([7], [[8], [9]]),
    "after one token": ([7], [[8, 9, 10], [11, 12]]),
    "that begin alike": ([5, 6, 7], [[8, 9, 10, 4], [8, 9, 11, 12, 4]]),
    "one of which is the other's beginning": ([5, 6, 7], [[8, 9], [8, 9, 10, 11]]),
    "one of which goes on from the other": ([5, 6, 7], [[8, 9, 10, 11], [8, 9]]),
    "that are equal": ([5, 6], [[8, 9], [8, 9]]),
}


@pytest.mark.parametrize("decoder", DECODERS)
def test_answers_are_as_likely_as_alone_in_double_precision(decoder):
    text = tiny_text_config(decoder, **{**DECODERS[decoder], **({"sliding_window": 3} if decoder == "gemma2" else {})})
    model = spread(tiny_model(tiny_config(text))).double()
    pairs, alone = [], []
    for prompt, answers in ANSWERS.values():
        ids = [torch.tensor([*prompt, *answer]) for answer in answers]
        scored = [torch.arange(len(conversation)) >= len(prompt) for conversation in ids]
        pairs.append(pair_row(*ids, *scored))
        with torch.no_grad():
            alone.append([conversation_log_probs(model, *both) for both in zip(ids, scored, strict=True)])
    batch = pack_pairs(pairs)
    shared = copy.deepcopy(model)
    share_prompts(shared)
    with torch.no_grad():
        inputs = {name: batch[name] for name in ("row_ids", "position_ids", "segments", "answer_places")}
        states = shared.base_model(**inputs).last_hidden_state[:, :-1]
        logits = shared.lm_head(states)  # (answers, longest answer, vocab)
    logs = logits.log_softmax(-1).gather(2, batch["input_ids"][:, 1:, None]).squeeze(2)
    sums = (logs * batch["completion_mask"][:, 1:]).sum(1)
    torch.testing.assert_close(sums, torch.tensor(alone, dtype=torch.float64).T.flatten(), atol=1e-7, rtol=0)


def test_an_answer_of_several_turns_leaves_the_users_words_out():
    ids = torch.arange(10)
    scored = torch.tensor([0, 0, 0, 1, 1, 0, 0, 1, 1, 0]).bool()
    answer = pair_row(ids, ids[:5], scored, scored[:5]).chosen
    assert answer.tokens.tolist() == [2, 3, 4, 5, 6, 7, 8]
    assert answer.scored.tolist() == [False, True, True, False, False, True, True]


def test_conversations_that_share_nothing_are_refused():
    scored = torch.tensor([False, True])
    with pytest.raises(ValueError, match="differ from their first token on"):
        pair_row(torch.tensor([1, 2]), torch.tensor([3, 2]), scored, scored)


def test_an_empty_answer_is_refused():
    scored = torch.tensor([False, True])
    with pytest.raises(ValueError, match="no token of an answer is scored"):
        pair_row(torch.tensor([1, 2]), torch.tensor([1, 2]), scored, ~scored)


def test_each_model_encodes_a_pairs_tiles_once_and_scores_its_answers_alone(parts, tmp_path):
    model, processor = policy(parts, max_tiles=12)
    noise = torch.randint(0, 256, (96, 128, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    Image.fromarray(noise.numpy()).save(tmp_path / "12 tiles.png")
    rows = [pair([user("Qual é?")], "um sol", "uma lua cheia", [tmp_path / "12 tiles.png"])]
    tiles, scored = {}, {}
    for shared, kind in ((False, PreferenceCollator), (True, SharedPromptCollator)):
        collator = kind(Encoder(processor, 12, 512))
        trainer = trainer_for(model, processor, rows, collator, tmp_path, shared=shared)
        for name, part in (("policy", trainer.model), ("reference", trainer.ref_model)):
            part.base_model.vision_tower.register_forward_pre_hook(
                lambda module, args, key=(shared, name): tiles.update({key: len(args[0])})
            )
            part.base_model.register_forward_hook(
                lambda module, args, output, key=(shared, name): scored.update({key: output[0].shape[:2]})
            )
        trainer.train()
        longest = max(len(answer) for answer in answers_of(collator(rows)))
    assert tiles == {(False, "policy"): 26, (False, "reference"): 26, (True, "policy"): 13, (True, "reference"): 13}
    assert scored[True, "policy"] == scored[True, "reference"] == (2, 1 + longest)
    assert scored[False, "policy"][1] > 10 * longest, "stock keeps every position"


def test_adapters_are_trained_against_the_model_without_them(parts, rows, tmp_path):
    model, processor = policy(parts)
    adapters = LoraConfig(r=2, target_modules=["q_proj", "linear_1"], init_lora_weights=False)
    results = []
    for shared, kind in ((False, PreferenceCollator), (True, SharedPromptCollator)):
        collator = kind(Encoder(processor, *OPTIONS))
        trainer = trainer_for(model, processor, rows[:2], collator, tmp_path, shared=shared, adapters=adapters)
        assert trainer.ref_model is None
        trainer.train()
        results.append({name: value for name, value in trainer.state.log_history[0].items() if name != "num_tokens"})
    whole, shared = results
    assert shared == pytest.approx(whole, rel=1e-4, abs=1e-5)
    assert abs(shared["rewards/chosen"]) > 0.1, "the adapters change nothing"


def test_other_batches_go_through_a_model_as_before(parts, rows):
    model, processor = policy(parts)
    batch = PreferenceCollator(Encoder(processor, *OPTIONS))(rows[:2])
    mask = batch.pop("completion_mask").bool()
    before = model(**batch).logits[mask]
    share_prompts(model)
    torch.testing.assert_close(model(**batch).logits[mask], before, atol=1e-5, rtol=1e-5)


def test_the_rejected_conversation_has_the_same_limit(parts, pictures):
    _, processor = policy(parts)
    row = pair([user("Qual é?")], "um sol", "uma lua cheia de letras", [pictures / "0.png"])
    chosen, rejected = (
        int(mask.sum()) for mask in PreferenceCollator(Encoder(processor, *OPTIONS))([row])["attention_mask"]
    )
    assert SharedPromptCollator(Encoder(processor, 4, rejected))([row])["row_ids"].shape[1] > rejected > chosen
    with pytest.raises(ValueError, match=f"um sol / uma .*, rejected: {rejected} tokens exceed max_length={chosen}"):
        SharedPromptCollator(Encoder(processor, 4, chosen))([row])


def test_an_image_in_an_answer_is_refused(parts, pictures):
    _, processor = policy(parts)
    row = pair([user("Qual é?")], "um sol", "uma lua", [pictures / "0.png"])
    pictured = {**row, "chosen": [{"role": "assistant", "content": [{"type": "image"}]}]}
    with pytest.raises(ValueError, match="2 image slots in the conversation but 1 images"):
        SharedPromptCollator(Encoder(processor, *OPTIONS))([pictured])


def test_a_template_whose_answers_depend_on_images_is_refused(parts, pictures):
    _, processor = policy(parts)
    pictured = "{%- if messages[0]['content'][0]['type'] == 'image' -%}Vejo: {%- endif -%}"
    processor.chat_template = processor.chat_template.replace("{%- generation -%}", "{%- generation -%}" + pictured)
    with pytest.raises(
        ValueError, match="um sol / uma lua: the chosen answer's tokens change with the prompt's images"
    ):
        SharedPromptCollator(Encoder(processor, *OPTIONS))(
            [pair([user("Qual?")], "um sol", "uma lua", [pictures / "0.png"])]
        )


def test_an_answer_without_an_assistant_turn_is_refused(parts, pictures):
    _, processor = policy(parts)
    row = pair([user("Olá?"), assistant("Sim."), user("E?")], "um sol", "uma lua", [pictures / "0.png"])
    with pytest.raises(ValueError, match="um sol / uma lua: the chosen or the rejected answer has no assistant turn"):
        SharedPromptCollator(Encoder(processor, *OPTIONS))([{**row, "rejected": [user("Nada.")]}])
