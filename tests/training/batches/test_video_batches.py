"""Videos in every kind of training batch: the tokens generation sees, and the losses of samples alone."""

import copy

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image
from transformers import AutoModelForCausalLM

from amalia_vl_hf.conversion.compose import compose
from amalia_vl_hf.processing.video_processing_amalia_vl import AmaliaVLVideoProcessor
from amalia_vl_hf.training.batches.bad_samples import BadSamples, ReplacingCollator
from amalia_vl_hf.training.batches.collation import ConversationCollator, Encoder, PreferenceCollator
from amalia_vl_hf.training.batches.packing import PackedConversationCollator, take_packed_rows
from amalia_vl_hf.training.batches.shared_prompt import SharedPromptCollator
from tests.tiny import tiny_text_config
from tests.training.batches.preference import DECODERS, MPO, assistant, spread, trainer_for, user
from tests.training.batches.test_shared_prompt import answers_of, assert_same_gradients

SHOWN = ("pixel_values", "tile_layouts", "pixel_values_videos", "video_frames")
OPTIONS = (4, 512)  # tiles, tokens


def clip(frames, seed=0, size=(40, 52)):
    """A video as a list of its frames."""
    levels = np.random.default_rng(seed).integers(0, 256, (frames, *size, 3), np.uint8)
    return [Image.fromarray(frame) for frame in levels]


def picture(seed=0):
    return clip(1, seed, (70, 30))[0]


def video_policy(parts, decoder="llama"):
    """A tiny model that takes videos, every token of which matters, and its processor."""
    tower, _, tokenizer = parts
    text = AutoModelForCausalLM.from_config(tiny_text_config(decoder, vocab_size=len(tokenizer), **DECODERS[decoder]))
    model, processor = compose(tower, text, tokenizer, max_tiles=4, seed=0, videos=True)
    return spread(model), processor


@pytest.fixture(scope="module")
def policies(parts):
    return {decoder: video_policy(parts, decoder) for decoder in DECODERS}


def sample(name, messages, images=(), videos=()):
    return {"sample": name, "messages": messages, "images": list(images), "videos": list(videos)}


def typed(text, *kinds):
    return {"role": "user", "content": [*({"type": kind} for kind in kinds), {"type": "text", "text": text}]}


CONVERSATIONS = [
    sample("a video", [user("O que acontece?"), assistant("Um sol move-se.")], videos=[clip(3)]),
    sample(
        "both",
        [typed("Qual?", "image", "video"), assistant("A primeira."), typed("E agora?", "video"), assistant("Nada.")],
        [picture()],
        [clip(2, 1), clip(5, 2)],
    ),
    sample("text", [user("Olá!"), assistant("Olá.")]),
    sample("an image", [user("Que cor?"), assistant("Azul.")], [picture(1)]),
]


def test_training_starts_from_the_tokens_that_generation_sees(policies):
    _, processor = policies["llama"]
    row = CONVERSATIONS[1]
    chat = copy.deepcopy(row["messages"])
    cells = {"image": iter(row["images"]), "video": iter(row["videos"])}
    for part in (part for turn in chat if isinstance(turn["content"], list) for part in turn["content"]):
        if part["type"] in cells:
            part[part["type"]] = next(cells[part["type"]])
    whole = processor.apply_chat_template(chat, tokenize=True, return_dict=True, return_tensors="pt")
    batch = ConversationCollator(Encoder(processor, *OPTIONS))([row])
    for name in ("input_ids", *SHOWN):
        assert torch.equal(batch[name], whole[name]), name
    learned = batch["labels"] != -100
    assert learned.any()
    assert not torch.isin(batch["labels"], torch.tensor([processor.image_token_id, processor.video_token_id])).any()


def test_a_batch_holds_what_its_samples_hold_alone(policies):
    _, processor = policies["llama"]
    collator = ConversationCollator(Encoder(processor, *OPTIONS))
    together, alone = collator(CONVERSATIONS), [collator([row]) for row in CONVERSATIONS]
    assert together["video_frames"].tolist() == [3, 2, 5]
    for row, one in enumerate(alone):
        length = one["input_ids"].shape[1]
        for name in ("input_ids", "labels"):
            assert torch.equal(together[name][row, :length], one[name][0])
    for name in SHOWN:
        assert torch.equal(together[name], torch.cat([one[name] for one in alone if name in one])), name
    assert not {"pixel_values_videos", "video_frames"} & alone[3].keys()


def test_raw_frames_give_the_same_features(policies):
    model, processor = policies["llama"]
    batches = [ConversationCollator(Encoder(processor, *OPTIONS, kind))(CONVERSATIONS) for kind in ("float", "uint8")]
    assert batches[1]["pixel_values_videos"].dtype == torch.uint8
    with torch.no_grad():
        one, other = (model(**batch).loss for batch in batches)
    assert torch.equal(one, other)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_packed_row_has_the_loss_and_gradients_of_its_conversations(policies, decoder):
    model, processor = policies[decoder]
    padded = ConversationCollator(Encoder(processor, *OPTIONS))(CONVERSATIONS)
    packed = PackedConversationCollator(Encoder(processor, *OPTIONS))(CONVERSATIONS)
    for name in SHOWN:
        assert torch.equal(packed[name], padded[name])
    plain, segmented = (copy.deepcopy(model).train() for _ in range(2))
    loss = plain(**padded).loss
    loss.backward()
    take_packed_rows(segmented)
    scored = packed.pop("scored")
    labels = packed.pop("labels")
    packed.pop("shift_labels")
    packed_loss = segmented(**packed, labels=labels).loss
    packed_loss.backward()
    torch.testing.assert_close(packed_loss, loss, rtol=1e-5, atol=0)
    assert len(scored) == int((labels[0, 1:] != -100).sum())
    assert_same_gradients(segmented, plain)


def pair(name, prompt, chosen, rejected, images=(), videos=()):
    answers = {"chosen": [assistant(chosen)], "rejected": [assistant(rejected)]}
    return {"sample": name, "prompt": prompt, **answers, "images": list(images), "videos": list(videos)}


PAIRS = [
    pair("a video", [user("O que acontece?")], "Um sol sobe.", "Um sol desce.", videos=[clip(3)]),
    pair(
        "both",
        [typed("Qual?", "video", "image"), assistant("Esta."), typed("E agora?", "video")],
        "Sim, agora.",
        "Sim, nunca.",
        [picture()],
        [clip(2, 1), clip(4, 2)],
    ),
    pair("text", [user("Olá?")], "Olá!", "Oi."),
]


def test_the_clips_of_a_pair_are_decoded_once(policies, monkeypatch):
    _, processor = policies["llama"]
    taken, real = [], AmaliaVLVideoProcessor.__call__

    def counted(self, cells, **options):
        taken.append(len(cells))
        return real(self, cells, **options)

    monkeypatch.setattr(AmaliaVLVideoProcessor, "__call__", counted)
    batch = PreferenceCollator(Encoder(processor, *OPTIONS))(PAIRS)
    assert taken == [1, 2], "once for both answers; text has none"
    for name in SHOWN:
        assert torch.equal(*batch[name].chunk(2))


def test_a_shared_row_holds_what_the_whole_conversations_hold(policies):
    _, processor = policies["llama"]
    for row in PAIRS:
        whole = PreferenceCollator(Encoder(processor, *OPTIONS))([row])
        shared = SharedPromptCollator(Encoder(processor, *OPTIONS))([row])
        assert answers_of(shared) == answers_of(whole)
        for name in SHOWN:  # once, instead of once for each answer
            assert (name in shared) == (name in whole)
            if name in whole:
                assert torch.equal(torch.cat((shared[name], shared[name])), whole[name])


@pytest.mark.parametrize("decoder", DECODERS)
def test_shared_prompts_have_the_losses_and_gradients_of_whole_conversations(policies, tmp_path, decoder):
    model, processor = policies[decoder]
    results = []
    for shared, kind in ((False, PreferenceCollator), (True, SharedPromptCollator)):
        collator = kind(Encoder(processor, *OPTIONS))
        trainer = trainer_for(model, processor, PAIRS[2:], collator, tmp_path, shared=shared, **MPO)
        batch = trainer._prepare_inputs(collator(PAIRS))
        trainer.model.train()
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        results.append((loss.detach(), trainer.model))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-5, atol=1e-6)
    assert_same_gradients(results[1][1], results[0][1])


def test_too_long_a_sample_is_named_with_its_visual_tokens(policies):
    _, processor = policies["llama"]
    with pytest.raises(ValueError, match=r"a video: \d+ tokens, 13 of them visual, exceed max_length=20.*frames of a"):
        ConversationCollator(Encoder(processor, 4, 20))(CONVERSATIONS[:1])


def test_a_slot_without_its_video_is_named(policies):
    _, processor = policies["llama"]
    for row in (
        sample("data.jsonl, line 9", [typed("Qual?", "video"), assistant("Esta.")]),
        sample("data.jsonl, line 9", [typed("Qual?", "image"), assistant("Esta.")], videos=[clip(2)]),
    ):
        with pytest.raises(ValueError, match=r"data\.jsonl, line 9: .*(slots|videos|images)"):
            ConversationCollator(Encoder(processor, *OPTIONS))([row])


@pytest.mark.parametrize("content", [b"not a video", b""])
def test_a_damaged_video_is_named_and_replaced(policies, content):
    _, processor = policies["llama"]
    encoder = ConversationCollator(Encoder(processor, *OPTIONS))
    good = {"messages": [user("O que acontece?"), assistant("Um sol sobe.")], "images": [], "fault": None}
    rows = [
        {**good, "index": index, "sample": f"line {index}", "source": "a", "videos": [{"bytes": cell, "path": None}]}
        for index, cell in enumerate((content, content))
    ]
    with pytest.raises(ValueError, match=r"line 0: .*video 0"):
        encoder(rows[:1])
    rows[1]["videos"] = []
    columns = {"index": [0, 1], "source": [0, 0]}
    dataset = Dataset.from_dict(columns).with_transform(
        lambda batch: {name: [rows[index][name] for index in batch["index"]] for name in rows[0]}
    )
    bad = BadSamples(dataset, 0.9)
    batch = ReplacingCollator(encoder, bad)([dataset[0]])
    assert torch.equal(batch["input_ids"], encoder([dataset[1]])["input_ids"])
    assert bad.counts() == {"a": 1}
