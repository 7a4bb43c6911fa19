"""TRL's training step on packed rows: loss and gradients as on padded ones, and no logits of all tokens."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from amalia_vl_hf import AmaliaVLProcessor
from amalia_vl_hf.training.building import build_trainer
from tests.tiny import tiny_config, tiny_model, tiny_text_config

VOCABULARY = 8192  # large, so that logits of all tokens would be the largest tensor by far


@pytest.fixture(scope="module")
def wide(base, tmp_path_factory):
    """The tiny model with a large vocabulary."""
    folder = tmp_path_factory.mktemp("models") / "wide"
    processor = AmaliaVLProcessor.from_pretrained(base)
    text = tiny_text_config(vocab_size=VOCABULARY)
    tiny_model(tiny_config(text, image_token_id=processor.image_token_id)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def trainers(wide, recipe_for, tmp_path):
    """TRL's trainer as a recipe builds it, with a padding collator and with a packing one."""
    recipes = [recipe_for("2_instruct", f"model={wide}", "batch_size=8", f"packing={key}") for key in (False, True)]
    return [build_trainer(recipe, tmp_path / str(recipe.packing)) for recipe in recipes]


def step(trainer, rows, checkpointing=False):
    model = trainer.model
    model.zero_grad(set_to_none=True)
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    batch = trainer.data_collator(rows)
    loss = trainer.training_step(model, batch, (batch["labels"] != -100).sum())
    model.gradient_checkpointing_disable()
    return loss, {name: weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize("checkpointing", [False, True], ids=["stored", "checkpointed"])
def test_a_training_step_on_a_packed_row_is_that_on_its_padded_conversations(trainers, checkpointing):
    padded, packed = trainers
    rows = list(padded.train_dataset)[:5]
    loss, wanted = step(padded, rows)
    packed_loss, found = step(packed, rows, checkpointing)
    torch.testing.assert_close(packed_loss, loss, rtol=1e-6, atol=0)
    for name, gradient in wanted.items():
        scale = wanted[name.replace("k_proj.bias", "k_proj.weight")].norm()  # zero but for rounding
        assert (found[name] - gradient).norm() <= 1e-5 * scale, name


def test_the_metrics_of_a_packed_step_are_those_of_a_padded_one(trainers):
    for trainer in trainers:
        step(trainer, list(trainer.train_dataset)[:5])
    padded, packed = (trainer._metrics["train"] for trainer in trainers)
    assert packed["mean_token_accuracy"] == padded["mean_token_accuracy"]
    assert packed["entropy"] == pytest.approx(padded["entropy"], rel=1e-6)


class LargestTensor(TorchDispatchMode):
    """Records the largest tensor that any operation gives, backward included."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, torch.Tensor):
                self.numbers = max(self.numbers, value.numel())
        return result


def test_no_tensor_of_a_training_step_holds_the_logits_of_all_tokens(trainers):
    trainer = trainers[1]
    rows = list(trainer.train_dataset)
    batch = trainer.data_collator(rows)
    tokens, learned = batch["input_ids"].numel(), batch["scored"].numel()
    weights = max(weight.numel() for weight in trainer.model.parameters())
    with LargestTensor() as seen:
        step(trainer, rows)
    # TRL's scratch is 32,768 logits wide, however small the vocabulary.
    assert seen.numbers <= max(learned * 32768, weights) < tokens * VOCABULARY
    with LargestTensor() as control:
        trainer.model(input_ids=batch["input_ids"][:, :200].clamp(max=99))
    assert control.numbers == 200 * VOCABULARY, "the model's own head would be noticed"
