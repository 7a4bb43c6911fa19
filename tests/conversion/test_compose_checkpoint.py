"""What is composed from files is what is composed in memory."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, SiglipConfig, SiglipModel, SiglipVisionModel

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from amalia_vl_hf.conversion.compose import compose, compose_checkpoint
from tests.conversion.checkpoints import (
    contents,
    edit_json,
    edit_weights,
    made_of,
    weights_of,
)
from tests.conversion.test_compose import text_model, text_tokenizer
from tests.tiny import tiny_vision_config

CLEAN = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set(), "error_msgs": []}


@pytest.fixture
def parts(tmp_path):
    """Directories `vision` and `text`, whose weights are in several files."""
    return write_parts(tmp_path, text_model(text_tokenizer()))


def write_parts(folder, text, vision=None):
    torch.manual_seed(2)
    (vision or SiglipVisionModel(tiny_vision_config())).save_pretrained(folder / "vision")
    text.save_pretrained(folder / "text", max_shard_size="20KB")
    text_tokenizer().save_pretrained(folder / "text")
    return folder


def compose_in_memory(folder, out, dtype=None, **options):
    vision = SiglipVisionModel.from_pretrained(folder / "vision")
    text = AutoModelForCausalLM.from_pretrained(folder / "text", dtype=dtype or "auto")
    tokenizer = AutoTokenizer.from_pretrained(folder / "text")
    model, processor = compose(vision, text, tokenizer, max_tiles=4, seed=3, **options)
    model.save_pretrained(out)
    processor.save_pretrained(out)


@pytest.mark.parametrize(
    ("model_type", "tied", "dtype", "dropped"),
    [("llama", False, torch.float32, 0), ("llama", True, torch.bfloat16, 1), ("gemma2", True, torch.float32, 0)],
)
def test_files_give_the_bytes_that_memory_gives(tmp_path, model_type, tied, dtype, dropped):
    write_parts(tmp_path, text_model(text_tokenizer(), model_type, tie_word_embeddings=tied).to(dtype))
    compose_in_memory(tmp_path, tmp_path / "memory", drop_vision_layers=dropped)
    options = {"max_tiles": 4, "seed": 3, "drop_vision_layers": dropped}
    done = compose_checkpoint(tmp_path / "vision", tmp_path / "text", tmp_path / "files", **options)
    assert made_of(tmp_path / "files") == contents(tmp_path / "memory")
    assert not any(str(tmp_path).encode() in data for data in made_of(tmp_path / "files").values())
    assert set(done.dropped.values()) == {"past the feature layer"}
    assert "model.image_newline.weight" in done.added
    _, info = AmaliaVLForConditionalGeneration.from_pretrained(tmp_path / "files", output_loading_info=True)
    assert info == CLEAN


def test_weights_are_cast(parts):
    compose_in_memory(parts, parts / "memory", dtype=torch.bfloat16)
    compose_checkpoint(parts / "vision", parts / "text", parts / "files", max_tiles=4, seed=3, dtype="bf16")
    written, expected = weights_of(parts / "files"), weights_of(parts / "memory")
    assert written.keys() == expected.keys()
    old = len(text_tokenizer())  # a new row is the mean of what was stored, in memory that of what was cast
    assert all(torch.equal(written[name][:old], expected[name][:old]) for name in expected)


def test_a_siglip_model_gives_its_vision_part(tmp_path):
    side = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    side |= {"vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2}
    whole = SiglipModel(SiglipConfig(vision_config=tiny_vision_config().to_dict(), text_config=side))
    write_parts(tmp_path, text_model(text_tokenizer()), whole)
    done = compose_checkpoint(tmp_path / "vision", tmp_path / "text", tmp_path / "files", max_tiles=4, seed=3)
    assert "SigLIP's text side" in done.dropped.values()
    written = weights_of(tmp_path / "files")
    tower = whole.vision_model.state_dict()
    kept = {name for name in tower if name.startswith(("embeddings.", "encoder."))}
    assert all(torch.equal(written[f"model.vision_tower.{name}"], tower[name]) for name in kept)


def test_a_text_model_of_another_make_is_refused(tmp_path):
    text = text_model(text_tokenizer())
    SiglipVisionModel(tiny_vision_config()).save_pretrained(tmp_path / "vision")
    text.save_pretrained(tmp_path / "text")
    text_tokenizer().save_pretrained(tmp_path / "text")
    edit_weights(tmp_path / "text", lambda weights: {"model.norm.weight": weights["model.norm.weight"]})
    with pytest.raises(ValueError, match=r"the text checkpoint has no model\.embed_tokens\.weight"):
        compose_checkpoint(tmp_path / "vision", tmp_path / "text", tmp_path / "files", max_tiles=4, seed=0)


def test_code_in_a_checkpoint_is_not_run(parts):
    (parts / "text" / "code.py").write_text("raise SystemExit('run')")
    edit_json(parts / "text" / "config.json", model_type="unheard", auto_map={"AutoConfig": "code.Config"})
    with pytest.raises(ValueError, match=r"text gives no AutoConfig: .* contains custom code"):
        compose_checkpoint(parts / "vision", parts / "text", parts / "files", max_tiles=4, seed=0)
