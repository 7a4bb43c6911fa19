"""Laws of the model: nothing dead, checkpointing changes nothing, saving is stable, graphs compile."""

import inspect

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import StaticCache

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from amalia_vl_hf.modeling.modeling_amalia_vl import split_tile_layouts
from amalia_vl_hf.modeling.visual_packing_amalia_vl import pack_image
from amalia_vl_hf.processing.tiling_amalia_vl import (
    generate_pinpoints,
    layout_for,
    num_visual_tokens,
    select_grid,
)
from tests.modeling.batches import EXTREME, MIXED, Batch
from tests.tiny import (
    tiny_config,
    tiny_model,
    tiny_text_config,
    tiny_vision_config,
)

LENGTHS = [6, 9, 3]


def loss_of(model, batch):
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
    return model(**batch.ours, labels=labels).loss


@pytest.mark.parametrize("text", [tiny_text_config(), tiny_text_config("gemma2")], ids=["llama", "gemma2"])
def test_every_parameter_has_a_gradient(text):
    model = tiny_model(tiny_config(text=text)).train()
    loss_of(model, Batch(MIXED, LENGTHS)).backward()
    dead = [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    # Only a bias of the keys may have none: softmax does not see what it adds to all of a row's scores.
    assert all(name.endswith("k_proj.bias") for name in dead)
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_parameter_count_is_what_the_forward_uses():
    vision, text, connector = 32, 32, (32 + 1) * 32 * 2
    layer = 4 * (vision + 1) * vision + 2 * vision * 64 + vision + 64 + 4 * vision
    tower = 3 * layer + (3 * 8 * 8 + 1) * vision + 16 * vision
    attention = 2 * text * text + 2 * text * 16  # queries and outputs; one head of keys and values
    decoder = 2 * (attention + 3 * text * 64 + 2 * text) + text + 128 * text
    head, newline = 128 * text, text
    assert sum(parameter.numel() for parameter in tiny_model().parameters()) == (
        tower + connector + newline + decoder + head
    )


def test_a_text_only_training_step_touches_every_module():
    model = tiny_model().train()
    loss = loss_of(model, Batch([[], []], [6, 9]))
    loss.backward()
    vision = [parameter for name, parameter in model.named_parameters() if "language_model" not in name]
    assert all(parameter.grad is not None for parameter in vision)
    assert not any(parameter.grad.any() for name, parameter in model.named_parameters() if "vision_tower" in name)
    with torch.no_grad():
        assert torch.equal(loss, loss_of(model.eval(), Batch([[], []], [6, 9])))


@pytest.mark.parametrize("samples", [MIXED, [[], [], []]], ids=["images", "text only"])
def test_modules_run_in_one_order(samples):
    """Ranks with and without images must meet in each module: embeddings, tower, connector, decoder."""
    model, order = tiny_model().train(), []
    parts = {
        "embeddings": model.get_input_embeddings(),
        "tower": model.model.vision_tower,
        "connector": model.model.multi_modal_projector,
        "decoder": model.model.language_model.layers[0],
    }
    for name, module in parts.items():
        module.register_forward_pre_hook(lambda *_, name=name: order.append(name))
    model(**Batch(samples, LENGTHS).ours)
    assert order == list(parts)


def test_gradient_checkpointing_changes_nothing():
    batch, gradients = Batch(MIXED, LENGTHS), {}
    for checkpointing in (False, True):
        model = tiny_model().train()
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert model.is_gradient_checkpointing
        loss_of(model, batch).backward()
        gradients[checkpointing] = [parameter.grad for parameter in model.parameters()]
    assert all(torch.equal(off, on) for off, on in zip(*gradients.values(), strict=True))


@pytest.mark.parametrize("tied", [False, True])
def test_save_load_save_is_byte_identical(tmp_path, tied):
    config = tiny_config(text=tiny_text_config(tie_word_embeddings=tied), tie_word_embeddings=tied)
    tiny_model(config).save_pretrained(tmp_path / "a")
    AmaliaVLForConditionalGeneration.from_pretrained(tmp_path / "a").save_pretrained(tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    assert "model.safetensors" in names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_attention_flags():
    flags = ("_supports_flash_attn", "_supports_sdpa", "_supports_flex_attn", "_supports_attention_backend")
    assert all(getattr(AmaliaVLForConditionalGeneration, flag) for flag in flags)


@pytest.mark.parametrize("attention", ["sdpa", "flex_attention"])
def test_attention_implementations_agree_with_eager(attention):
    batch, model = Batch(MIXED, LENGTHS), tiny_model()
    model.set_attn_implementation("eager")
    # Flex would compile for seconds; its arithmetic is the same without.
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        expected = model(**batch.ours).logits
        model.set_attn_implementation(attention)
        actual = model(**batch.ours).logits
    assert model.model.language_model.config._attn_implementation == attention
    real = batch.attention_mask.bool()
    torch.testing.assert_close(actual[real], expected[real], atol=1e-5, rtol=0)


def test_tower_and_connector_compile_as_one_graph():
    model = tiny_model().model
    tiles = torch.randn(3, 3, 32, 32)
    compiled = torch.compile(model.encode_tiles, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(tiles), model.encode_tiles(tiles), atol=1e-6, rtol=0)


def test_the_decode_step_compiles_as_one_graph():
    model, batch = tiny_model(), Batch(MIXED, LENGTHS)
    length = batch.input_ids.shape[1]
    step = {"input_ids": torch.tensor([[9], [11], [13]]), "position_ids": torch.full((3, 1), length)}
    step["attention_mask"] = torch.cat((batch.attention_mask, torch.ones(3, 1).long()), 1)
    logits = []
    for run in (model, torch.compile(model, fullgraph=True, backend="eager")):
        cache = StaticCache(config=model.config.text_config, max_cache_len=length + 4)
        with torch.no_grad():
            model(**batch.ours, past_key_values=cache, use_cache=True)
            logits.append(run(**step, past_key_values=cache, use_cache=True).logits)
    torch.testing.assert_close(logits[1], logits[0], atol=1e-6, rtol=0)


class HostReads(TorchDispatchMode):
    """Counts what would make the host wait for a device: a tensor's value read, or a shape that depends on values."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "_unique2")

    def __init__(self, decoder):
        super().__init__()
        self.seen, self.in_decoder = [], False
        decoder.register_forward_pre_hook(lambda *_: setattr(self, "in_decoder", True))
        decoder.register_forward_hook(lambda *_: setattr(self, "in_decoder", False))

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in self.WAITS and not self.in_decoder:  # the decoder's masks are transformers' own affair
            self.seen.append(name)
        return function(*args, **(kwargs or {}))


def test_the_forward_waits_for_the_device_once_beyond_the_layouts():
    """The token count is read; everything else keeps shapes known beforehand (layouts are one copy, `tolist`)."""
    model, batch = tiny_model(), Batch(MIXED, LENGTHS)
    with HostReads(model.model.language_model) as reads:
        model(**batch.ours)
    assert reads.seen == ["_local_scalar_dense"]


def test_layouts_are_read_before_the_tower_runs():
    source = inspect.getsource(type(tiny_model().model).get_image_features)
    assert source.index("split_tile_layouts(") < source.index("encode_tiles(")
    assert inspect.getsource(inspect.getmodule(split_tile_layouts)).count(".tolist()") == 1


@pytest.mark.parametrize(
    ("tile", "patch", "max_tiles"), [(384, 16, 12), (384, 14, 6)], ids=["AMALIA-VL", "TowerVision"]
)
def test_features_are_as_many_as_the_processor_counts(tile, patch, max_tiles):
    """Shapes only, at the real geometry: 300 random sizes and the extreme ones."""
    config = tiny_config(vision=tiny_vision_config(image_size=tile, patch_size=patch))
    side, pinpoints = config.patches_per_side, generate_pinpoints(max_tiles, tile)
    generator = torch.Generator().manual_seed(0)
    sizes = torch.exp2(torch.rand(300, 2, generator=generator) * 10 + 2).int().tolist()
    sizes += [(10, 4044), (4044, 10), (1, 1), (1, 5000), (5000, 1)]
    layouts = [layout_for(*size, select_grid(*size, pinpoints, tile), side) for size in sizes]
    rows = torch.tensor([layout for layout in layouts for _ in range(layout.num_tiles)])
    read = split_tile_layouts(rows, len(rows), side)
    with torch.device("meta"):
        newline = torch.empty(32)
        for layout, own in zip(layouts, read, strict=True):
            packed = pack_image(torch.empty(own.tiles, side**2, 32), own, newline, side)
            assert packed.shape == (num_visual_tokens(layout, side), 32)


@pytest.mark.parametrize("tied", [False, True])
def test_the_vocabulary_grows(tied):
    model = tiny_model(tiny_config(text=tiny_text_config(tie_word_embeddings=tied), tie_word_embeddings=tied))
    batch = Batch(MIXED, LENGTHS)
    with torch.no_grad():
        before = model(**batch.ours).logits
        model.resize_token_embeddings(192)
        after = model(**batch.ours).logits
    assert model.config.text_config.vocab_size == after.shape[-1] == 192
    torch.testing.assert_close(after[..., :128], before, atol=1e-6, rtol=0)


def test_extreme_images_run():
    batch = Batch(EXTREME, LENGTHS)
    assert tiny_model()(**batch.ours).logits.isfinite().all()
