import copy
import json

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, SiglipConfig, SiglipModel, SiglipVisionModel

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from amalia_vl_hf.conversion.compose import compose
from amalia_vl_hf.processing.processing_amalia_vl import AmaliaVLProcessor
from tests.tiny import tiny_text_config, tiny_tokenizer, tiny_vision_config

LAYERS = 3


def text_tokenizer(*, without=("<image>",), **changes):
    """The tiny tokenizer as a text model has it, without `<image>`."""
    tiny = tiny_tokenizer()
    parts = json.loads(tiny.backend_tokenizer.to_str())
    parts["added_tokens"] = [token for token in parts["added_tokens"] if token["content"] not in without]
    parts["model"]["vocab"] = {
        piece: index for piece, index in parts["model"]["vocab"].items() if piece not in without
    }
    special = {"bos_token": "<s>", "unk_token": "<unk>", "pad_token": "</s>", "eos_token": "</s>", **changes}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(parts)), **special)


def text_model(tokenizer, model_type="llama", seed=1, **changes):
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(tiny_text_config(model_type, vocab_size=len(tokenizer), **changes)).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return text_tokenizer()


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(2)
    return SiglipVisionModel(tiny_vision_config(num_hidden_layers=LAYERS)).eval()


@pytest.fixture(scope="module")
def llama(tokenizer):
    return text_model(tokenizer)


@pytest.fixture(scope="module")
def composed(tower, llama, tokenizer):
    return compose(tower, llama, tokenizer, max_tiles=4, seed=0)


def test_tower_and_decoder_are_the_sources(composed, tower, llama):
    model, _ = composed
    kept = model.model.vision_tower.state_dict()
    assert kept.keys() == {name for name in tower.state_dict() if name.startswith(("embeddings.", "encoder."))}
    assert all(torch.equal(weight, tower.state_dict()[name]) for name, weight in kept.items())
    decoder = model.model.language_model.state_dict()
    source = llama.model.state_dict()
    assert decoder.keys() == source.keys()
    same = [name for name in source if name != "embed_tokens.weight"]
    assert all(torch.equal(decoder[name], source[name]) for name in same)


def test_the_sources_stay_as_they_were_and_share_nothing(composed, tower, llama, tokenizer):
    model, processor = composed
    assert "<image>" not in tokenizer.get_vocab()
    assert "<image>" in processor.tokenizer.get_vocab()
    assert llama.config.vocab_size == len(tokenizer)
    assert tower.config.num_hidden_layers == LAYERS
    own = {weight.data_ptr() for source in (tower, llama) for weight in source.parameters()}
    assert not own & {weight.data_ptr() for weight in model.parameters()}


def test_new_rows_are_the_mean_of_the_old_ones(composed, llama, tokenizer):
    model, processor = composed
    old = len(tokenizer)
    rows = model.config.text_config.vocab_size
    assert rows % 64 == 0
    assert old < rows < old + 1 + 64
    assert model.config.image_token_id == processor.image_token_id == old
    for ours, source in (
        (model.get_input_embeddings(), llama.get_input_embeddings()),
        (model.get_output_embeddings(), llama.get_output_embeddings()),
    ):
        assert ours.weight.shape[0] == rows
        assert torch.equal(ours.weight[:old], source.weight)
        assert torch.allclose(ours.weight[old:], source.weight.mean(dim=0).expand(rows - old, -1), atol=1e-7)


@pytest.mark.parametrize(("model_type", "tied"), [("llama", False), ("llama", True), ("gemma2", True)])
def test_text_logits_are_the_text_models(tower, tokenizer, model_type, tied):
    source = text_model(tokenizer, model_type, tie_word_embeddings=tied)
    model, _ = compose(tower, source, tokenizer, max_tiles=4, seed=0)
    ids = torch.arange(5, 45)[None]
    # Both before gemma2's final soft cap, which lies outside the decoder.
    wanted = source.lm_head(source.model(input_ids=ids).last_hidden_state)
    logits = model(input_ids=ids).logits
    assert torch.equal(logits[..., : len(tokenizer)], wanted)
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == tied


def test_the_same_seed_gives_the_same_model_and_another_changes_the_new_parts_alone(tower, llama, tokenizer, composed):
    first = composed[0].state_dict()
    torch.manual_seed(99)  # what was drawn before must not matter
    again = compose(tower, llama, tokenizer, max_tiles=4, seed=0)[0].state_dict()
    other = compose(tower, llama, tokenizer, max_tiles=4, seed=1)[0].state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    new = {
        "model.image_newline.weight",
        "model.multi_modal_projector.linear_1.weight",
        "model.multi_modal_projector.linear_2.weight",
    }
    assert {name for name in first if not torch.equal(first[name], other[name])} == new


def test_dropped_layers_move_the_feature_layer_up(tower, llama, tokenizer):
    model, _ = compose(tower, llama, tokenizer, max_tiles=4, seed=0, drop_vision_layers=1)
    tiles = torch.rand(2, 3, 32, 32)
    wanted = tower(tiles, output_hidden_states=True).hidden_states[-2]
    assert torch.equal(model.model.vision_tower(tiles).last_hidden_state, wanted)


def test_a_siglip_model_gives_its_vision_part(tower, llama, tokenizer):
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2}
    whole = SiglipModel(SiglipConfig(vision_config=tower.config.to_dict(), text_config=text))
    whole.vision_model.load_state_dict(tower.state_dict())
    model, _ = compose(whole, llama, tokenizer, max_tiles=4, seed=0)
    tiles = torch.rand(1, 3, 32, 32)
    wanted = tower(tiles, output_hidden_states=True).hidden_states[-1]
    assert torch.equal(model.model.vision_tower(tiles).last_hidden_state, wanted)


def test_generation_ends_at_the_turns_end_and_batches_pad_left(composed):
    model, processor = composed
    end = processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
    config = model.generation_config
    assert (config.eos_token_id, config.pad_token_id, config.bos_token_id) == (end, 2, 1)
    assert model.config.text_config.eos_token_id == end
    assert processor.tokenizer.padding_side == "left"


def test_saved_batches_pad_left_whatever_the_tokenizer_was_made_with(tower, llama, tokenizer, tmp_path):
    untold = copy.deepcopy(tokenizer)
    untold.init_kwargs.pop("padding_side", None)
    untold.padding_side = "right"
    _, processor = compose(tower, llama, untold, max_tiles=2, seed=0)
    processor.save_pretrained(tmp_path)
    assert AmaliaVLProcessor.from_pretrained(tmp_path).tokenizer.padding_side == "left"


def test_the_processor_tiles_for_this_tower(composed, tower):
    _, processor = composed
    images = processor.image_processor
    assert (images.size, images.patch_size, images.max_tiles) == ({"height": 32, "width": 32}, 8, 4)


def test_what_is_saved_loads_and_answers_as_composed(composed, tmp_path):
    model, processor = composed
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = AmaliaVLForConditionalGeneration.from_pretrained(tmp_path)
    again = AmaliaVLProcessor.from_pretrained(tmp_path)
    picture = torch.randint(0, 256, (50, 40, 3), dtype=torch.uint8).numpy()
    chat = [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "que cor?"}]}]
    asked = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    tokens = [
        one.generate(**reader.apply_chat_template(chat, **asked), max_new_tokens=5, do_sample=False)
        for one, reader in ((model, processor), (loaded, again))
    ]
    assert torch.equal(*tokens)
    assert loaded.generation_config.eos_token_id == 4


def test_half_precision_stays_as_it_is(tower, tokenizer):
    half = text_model(tokenizer).to(torch.bfloat16)
    model, _ = compose(tower, half, tokenizer, max_tiles=4, seed=0)
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


def test_a_tokenizer_larger_than_the_text_model_is_refused(tower, tokenizer):
    small = AutoModelForCausalLM.from_config(tiny_text_config(vocab_size=len(tokenizer) - 1))
    message = f"the tokenizer has {len(tokenizer)} tokens but the text model {len(tokenizer) - 1} embedding rows"
    with pytest.raises(ValueError, match=message):
        compose(tower, small, tokenizer, max_tiles=4, seed=0)


def test_a_tokenizer_without_chatml_is_refused(tower, llama):
    bare = text_tokenizer(without=("<image>", "<|im_end|>"))
    with pytest.raises(ValueError, match=r"lack <\|im_end\|>, which ends a ChatML turn"):
        compose(tower, llama, bare, max_tiles=4, seed=0)


def test_a_tokenizer_without_padding_is_refused(tower, llama):
    with pytest.raises(ValueError, match="the tokenizer has no padding token"):
        compose(tower, llama, text_tokenizer(pad_token=None), max_tiles=4, seed=0)


@pytest.mark.parametrize("dropped", [-1, LAYERS])
def test_dropping_more_layers_than_there_are_is_refused(tower, llama, tokenizer, dropped):
    with pytest.raises(ValueError, match=f"drop_vision_layers={dropped} does not fit a tower of 3 layers; 0 to 2 can"):
        compose(tower, llama, tokenizer, max_tiles=4, seed=0, drop_vision_layers=dropped)


def test_an_image_longer_than_the_decoder_reads_is_refused(tower, tokenizer):
    short = text_model(tokenizer, max_position_embeddings=96)
    with pytest.raises(ValueError, match="an image of 4 tiles is 96 tokens but the text model has 96 positions"):
        compose(tower, short, tokenizer, max_tiles=4, seed=0)
    assert compose(tower, short, tokenizer, max_tiles=3, seed=0)


def test_embeddings_of_another_size_than_the_config_says_are_refused(tower, tokenizer):
    source = text_model(tokenizer)
    source.config.vocab_size += 5
    message = rf"embeddings of shape \[{len(tokenizer)}, 32\] for a vocabulary of {len(tokenizer) + 5}"
    with pytest.raises(ValueError, match=message):
        compose(tower, source, tokenizer, max_tiles=4, seed=0)


def test_weights_the_model_has_no_place_for_are_refused(tower, tokenizer):
    source = text_model(tokenizer)
    source.lm_head = torch.nn.Linear(32, len(tokenizer), bias=True)
    with pytest.raises(ValueError, match=r"text:lm_head\.bias \(0 rules\): a tensor must match exactly one rule"):
        compose(tower, source, tokenizer, max_tiles=4, seed=0)
