"""Dual encoders by id: a tiny SigLIP and a tiny CLIP, made here."""

import numpy as np
import pytest
from PIL import Image

from amalia_vl_hf.data.photos import embeddings
from amalia_vl_hf.data.photos.embeddings import DualEncoder, encoded_concepts, open_pictures


def save_encoder(folder, kind):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        PreTrainedTokenizerFast,
        SiglipConfig,
        SiglipImageProcessor,
        SiglipModel,
    )

    words = ["<pad>", "<unk>", "</s>", "a", "photo", "of", "bird", "cat", "the", "in"]
    plain = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    text = {
        "vocab_size": len(words),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "bos_token_id": 2,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    }
    torch.manual_seed(0)
    if kind == "siglip":
        model = SiglipModel(SiglipConfig(text_config={**text, "projection_size": 16}, vision_config=vision))
        images = SiglipImageProcessor(size={"height": 32, "width": 32})
    else:
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
        images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)
    model.save_pretrained(folder)
    images.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["siglip", "clip"])
def encoder(request, tmp_path_factory):
    return DualEncoder(str(save_encoder(tmp_path_factory.mktemp(request.param), request.param)))


def pictures(count=5):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(255, size=(40 + n, 60, 3), dtype=np.uint8)) for n in range(count)]


def test_batches_of_any_size_give_the_same_unit_vectors(encoder, monkeypatch):
    whole = encoder.embed_images(pictures())
    texts = encoder.embed_texts(["a photo of a bird", "cat", "the cat in the photo " * 50])
    assert np.allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    assert whole.shape[1] == texts.shape[1]
    assert not np.allclose(whole[0], whole[1])
    assert not np.allclose(texts[0], texts[1])
    monkeypatch.setattr(embeddings, "BATCH", 2)
    np.testing.assert_allclose(encoder.embed_images(pictures()), whole, atol=1e-5)
    np.testing.assert_allclose(encoder.embed_texts(["a photo of a bird"])[0], texts[0], atol=1e-5)
    assert encoder.embed_images([]).shape == (0, 0)


def test_there_is_one_vector_a_concept(tmp_path):
    vectors = encoded_concepts(str(save_encoder(tmp_path, "siglip")))
    assert vectors.shape == (60, 16)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_another_model_is_refused(tmp_path):
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=9
    )
    LlamaModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a llama, no dual encoder of images and texts"):
        DualEncoder(str(tmp_path))


def test_a_damaged_picture_costs_no_other(tmp_path):
    pictures(1)[0].save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    bad, good, lost = open_pictures([tmp_path / name for name in ("bad.png", "good.png", "lost.png")])
    assert isinstance(bad, ValueError)
    assert isinstance(lost, ValueError)
    assert good.size == (60, 40)
