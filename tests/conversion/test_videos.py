"""A `<video>` token, composed in or added to a model of images."""

import pytest
import torch
from transformers import SiglipVisionModel

from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLProcessor
from amalia_vl_hf.conversion.compose import compose, compose_checkpoint
from amalia_vl_hf.conversion.llava_next import export_checkpoint, import_checkpoint
from tests.conversion.checkpoints import contents, made_of, weights_of, write_amalia, write_towervision
from tests.conversion.test_compose import text_model, text_tokenizer
from tests.conversion.test_compose_checkpoint import compose_in_memory, write_parts
from tests.modeling.batches import MIXED, Batch
from tests.tiny import tiny_vision_config

EMBEDDINGS = "model.language_model.embed_tokens.weight"


def test_a_composed_model_takes_videos_where_asked_to():
    torch.manual_seed(2)
    tokenizer = text_tokenizer()
    parts = (SiglipVisionModel(tiny_vision_config()), text_model(tokenizer), tokenizer)
    plain, _ = compose(*parts, max_tiles=4, seed=0)
    model, processor = compose(*parts, max_tiles=4, seed=0, videos=True)
    images, videos = processor.tokenizer.convert_tokens_to_ids(["<image>", "<video>"])
    assert model.config.slot_ids == {"image": images, "video": videos} == {"image": images, "video": images + 1}
    assert processor.tokenizer("<video>", add_special_tokens=False).input_ids == [videos]
    assert plain.config.slot_ids == {"image": images}
    weights, others = model.state_dict(), plain.state_dict()  # the rows that pad are the same mean
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    frames = torch.randn(3, 3, 32, 32)
    ids = torch.tensor([[1, *[videos] * (2 * 4 + 1), *[videos] * (4 + 1), 7]])
    assert model(ids, pixel_values_videos=frames, video_frames=torch.tensor([2, 1])).logits.isfinite().all()


def test_what_is_composed_from_files_is_what_is_composed_in_memory(tmp_path):
    write_parts(tmp_path, text_model(text_tokenizer()))
    compose_checkpoint(tmp_path / "vision", tmp_path / "text", tmp_path / "out", max_tiles=4, seed=3, videos=True)
    compose_in_memory(tmp_path, tmp_path / "memory", videos=True)
    assert made_of(tmp_path / "out") == contents(tmp_path / "memory")


@pytest.mark.parametrize("write", [write_amalia, write_towervision])
def test_a_model_of_images_is_given_a_video_token(tmp_path, write):
    write(tmp_path / "source")
    import_checkpoint(tmp_path / "source", tmp_path / "plain")
    import_checkpoint(tmp_path / "source", tmp_path / "ours", videos=True)
    plain, model = (AmaliaVLForConditionalGeneration.from_pretrained(tmp_path / name) for name in ("plain", "ours"))
    processor = AmaliaVLProcessor.from_pretrained(tmp_path / "ours")
    rows, video = plain.config.text_config.vocab_size, model.config.video_token_id
    assert processor.tokenizer.convert_tokens_to_ids("<video>") == video == rows  # the source has no row to spare
    assert model.config.text_config.vocab_size % 64 == 0
    before, after = weights_of(tmp_path / "plain"), weights_of(tmp_path / "ours")
    assert before.keys() == after.keys()
    for name, weight in before.items():
        assert torch.equal(after[name][: len(weight)], weight)
    mean = before[EMBEDDINGS].double().mean(0).float()
    assert torch.equal(after[EMBEDDINGS][rows:], mean.expand(model.config.text_config.vocab_size - rows, -1))
    inputs = Batch(MIXED, [6, 9, 3], side=model.config.patches_per_side).ours
    inputs["input_ids"] = inputs["input_ids"].where(inputs["input_ids"] != 100, model.config.image_token_id)
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits[..., :rows], plain(**inputs).logits)


def test_a_row_to_spare_is_taken(tmp_path):
    write_amalia(tmp_path / "source")
    import_checkpoint(tmp_path / "source", tmp_path / "padded", videos=True)
    ours = AmaliaVLForConditionalGeneration.from_pretrained(tmp_path / "padded")
    ours.config.video_token_id = None
    ours.save_pretrained(tmp_path / "images", save_original_format=True)
    processor = AmaliaVLProcessor.from_pretrained(tmp_path / "source")
    processor.save_pretrained(tmp_path / "images")
    import_checkpoint(tmp_path / "images", tmp_path / "again", videos=True)
    again = weights_of(tmp_path / "again")
    assert all(torch.equal(weight, again[name]) for name, weight in weights_of(tmp_path / "padded").items())


def test_what_was_trained_on_videos_without_being_one_of_llava_onevision(tmp_path):
    """Several images of a sample are tiled here and never there: whoever exports has to know."""
    write_towervision(tmp_path / "source")
    import_checkpoint(tmp_path / "source", tmp_path / "ours", videos=True)
    with pytest.raises(ValueError, match=r"tiles several images of a sample, but llava_onevision does not.*=False"):
        export_checkpoint(tmp_path / "ours", tmp_path / "theirs")
    with pytest.raises(ValueError, match="the model takes videos, so it is written as 'llava_onevision', not as"):
        export_checkpoint(tmp_path / "ours", tmp_path / "theirs", form="llava_next")
    import_checkpoint(tmp_path / "source", tmp_path / "plain")
    with pytest.raises(ValueError, match="the model takes no videos, so it is written as 'llava_next'"):
        export_checkpoint(tmp_path / "plain", tmp_path / "theirs", form="llava_onevision")
