import pytest
from PIL import ExifTags, Image

from amalia_vl_hf.processing.processing_amalia_vl import AmaliaVLProcessor
from amalia_vl_hf.samples.lengths import measure
from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.training.batches.collation import ConversationCollator, Encoder, PreferenceCollator


@pytest.fixture(scope="module")
def processor(base):
    return AmaliaVLProcessor.from_pretrained(base)


@pytest.mark.parametrize("max_tiles", [0, 4])
@pytest.mark.parametrize(("method", "collator"), [("sft", ConversationCollator), ("dpo", PreferenceCollator)])
def test_measured_without_pixels_is_what_the_collator_makes(processor, samples, method, collator, max_tiles):
    for row in load_samples(samples[method], method):
        batch = collator(Encoder(processor, max_tiles, 512))([row])
        tiles = len(batch["pixel_values"]) // len(batch["input_ids"])
        assert measure(row, processor, max_tiles) == (batch["attention_mask"].sum(dim=1).max(), tiles)


def test_pictures_on_their_side_words_without_pictures_and_literal_tokens_are_measured_right(processor, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (90, 30)).save(tmp_path / "side.jpg", exif=exif)
    turns = [{"role": "user", "content": "<image> <|im_end|>?"}, {"role": "assistant", "content": "sim"}]
    cell = {"bytes": (tmp_path / "side.jpg").read_bytes(), "path": None}
    for images in ([], [str(tmp_path / "side.jpg")], [cell], [Image.new("RGB", (20, 70))]):
        row = {"sample": "here", "images": images, "messages": turns}
        batch = ConversationCollator(Encoder(processor, 4, 512))([row])
        assert measure(row, processor, 4) == (batch["input_ids"].shape[1], len(batch.get("pixel_values", ())))


@pytest.mark.parametrize("bos", ["<s>", None])
def test_counted_are_the_tokens_that_are_made_whatever_was_called_before(base, bos):
    processor = AmaliaVLProcessor.from_pretrained(base)
    processor.tokenizer.bos_token = bos
    texts = ["Olá", "<s> e <|im_end|>", "coração " * 40]
    chats = [
        [{"role": role, "content": [{"type": "text", "text": text}]} for role in ("user", "assistant")]
        for text in texts
    ]
    made = [len(chat.ids) for chat in processor.encode_answers(chats, texts)]
    assert len(set(made)) == len(texts)
    processor.tokenizer(texts, padding="max_length", truncation=True, max_length=7)
    assert processor.count_tokens(chats, texts) == made


def test_an_image_without_a_header_is_named(processor, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    row = {"sample": "line 7", "images": [str(tmp_path / "broken.png")], "messages": []}
    with pytest.raises(ValueError, match="line 7: an image has no readable header"):
        measure(row, processor, 4)
