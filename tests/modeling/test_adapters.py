"""Adapters of stock LLaVA-NeXT run here as they are, and ours run there."""

import logging
import re
import warnings
from contextlib import contextmanager

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlavaNextForConditionalGeneration

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from tests.modeling.batches import MIXED, Batch
from tests.tiny import tiny_llava_next, tiny_model

TARGETS = {
    "a list": ["q_proj", "linear_1", "linear_2"],
    "all-linear": "all-linear",
    "an expression": r"(.*\.)?(multi_modal_projector\.linear_[12]|language_model\..*\.(q|v)_proj)",
}
LENGTHS = [6, 9, 3]


@contextmanager
def no_warnings():
    """Neither a warning nor a line of transformers' log, whatever the log is written to."""
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    log = logging.getLogger("transformers")
    log.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", FutureWarning)  # transformers' names that PEFT calls still
            yield
    finally:
        log.removeHandler(handler)
    assert records == []


@pytest.fixture(scope="module", params=[-1, -2], ids=["whole tower", "a layer left out"])
def base(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("base")
    tiny_llava_next(request.param).save_pretrained(directory)
    return directory


def adapted(kind, directory, targets):
    """A model with an adapter whose every value is random, as if trained."""
    model = get_peft_model(kind.from_pretrained(directory), LoraConfig(r=4, target_modules=targets)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.1, generator=generator)
    return model


def logits(model, inputs):
    with torch.no_grad():
        return model(**inputs).logits[Batch(MIXED, LENGTHS).attention_mask.bool()]


def by_peft(kind, directory, adapter):
    return PeftModel.from_pretrained(kind.from_pretrained(directory), adapter)


def by_a_second_name(kind, directory, adapter):
    model = by_peft(kind, directory, adapter)
    model.load_adapter(adapter, "second")
    model.set_adapter("second")
    return model


def by_transformers(kind, directory, adapter):
    model = kind.from_pretrained(directory)
    model.load_adapter(adapter)
    return model


@pytest.mark.parametrize("load", [by_peft, by_a_second_name, by_transformers])
@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_an_adapter_of_stock_computes_the_same_here(base, tmp_path, targets, load):
    stock, batch = adapted(LlavaNextForConditionalGeneration, base, targets), Batch(MIXED, LENGTHS)
    stock.save_pretrained(tmp_path)
    with no_warnings():
        ours = load(AmaliaVLForConditionalGeneration, base, tmp_path).eval()
    expected = logits(stock, batch.stock)
    torch.testing.assert_close(logits(ours, batch.ours), expected, atol=1e-5, rtol=0)
    bare = logits(AmaliaVLForConditionalGeneration.from_pretrained(base), batch.ours)
    assert (bare - expected).abs().max() > 1e-2  # the adapter does something


@pytest.mark.parametrize("load", [by_peft, by_a_second_name, by_transformers])
@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_an_adapter_of_ours_computes_the_same_on_stock(base, tmp_path, targets, load):
    ours, batch = adapted(AmaliaVLForConditionalGeneration, base, targets), Batch(MIXED, LENGTHS)
    ours.save_pretrained(tmp_path)
    stock = load(LlavaNextForConditionalGeneration, base, tmp_path).eval()
    torch.testing.assert_close(logits(stock, batch.stock), logits(ours, batch.ours), atol=1e-5, rtol=0)


def test_an_adapter_with_the_names_of_transformers_4_loads(tmp_path):
    """PEFT looks renamings up by the model type."""
    model = tiny_model()
    model.save_pretrained(tmp_path / "base")
    ours = adapted(AmaliaVLForConditionalGeneration, tmp_path / "base", ["q_proj"])
    ours.save_pretrained(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    prefix = "base_model.model."
    renamed = {
        key.replace(f"{prefix}model.language_model.", f"{prefix}language_model.model.").replace(
            f"{prefix}model.vision_tower.", f"{prefix}vision_tower.vision_model."
        ): value
        for key, value in load_file(path).items()
    }
    assert not any(key.startswith(f"{prefix}model.") for key in renamed)
    save_file(renamed, path)
    with no_warnings():
        again = by_peft(AmaliaVLForConditionalGeneration, tmp_path / "base", tmp_path / "adapter").eval()
    batch = Batch(MIXED, LENGTHS)
    assert torch.equal(logits(again, batch.ours), logits(ours, batch.ours))


def test_the_newline_can_be_trained_whole_beside_adapters(tmp_path):
    tiny_model().save_pretrained(tmp_path / "base")
    base = AmaliaVLForConditionalGeneration.from_pretrained(tmp_path / "base")
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["image_newline"]))
    batch = Batch(MIXED, LENGTHS)
    before = logits(model, batch.ours)
    optimizer = torch.optim.SGD(
        [p for name, p in model.named_parameters() if "newline" in name and p.requires_grad], 1
    )
    model(**batch.ours, labels=batch.input_ids).loss.backward()
    optimizer.step()
    after = logits(model, batch.ours)
    assert not torch.equal(after, before)
    model.save_pretrained(tmp_path / "adapter")
    again = by_peft(AmaliaVLForConditionalGeneration, tmp_path / "base", tmp_path / "adapter")
    assert torch.equal(logits(again, batch.ours), after)


@pytest.mark.parametrize(
    ("targets", "idle"),
    [
        (["q_proj", "linear_9"], "linear_9"),
        (r"model\.(connector|language_model\..*)\.(linear_1|[qv]_proj)", r"model\.(connector)\.(linear_1|[qv]_proj)"),
        (r".*\.q_proj|.*(?P<layer>query|v_proj)", " .*(?P<layer>query);"),
        (r"(?:.*\.)?(?:[q|]_proj|wqkv)", r"(?:.*\.)?(?:wqkv)"),
        ("nothing", "nothing"),
    ],
)
def test_a_target_that_matches_nothing_is_an_error(targets, idle):
    with pytest.raises(ValueError, match=re.escape(idle)):
        get_peft_model(tiny_model(), LoraConfig(target_modules=targets))


def test_a_module_to_save_that_does_not_exist_is_an_error():
    config = LoraConfig(target_modules=["q_proj"], modules_to_save=["connector"])
    with pytest.raises(ValueError, match=r"connector \(modules_to_save\).*model\.multi_modal_projector"):
        get_peft_model(tiny_model(), config)
