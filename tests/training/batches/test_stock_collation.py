"""The encoder against the road of transformers that it replaces: every tensor is the same, bit by bit."""

import copy

import pytest
import torch
from PIL import Image
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast

from amalia_vl_hf import AmaliaVLImageProcessor, AmaliaVLProcessor
from amalia_vl_hf.demo.backbones.tokenizer import train_tokenizer
from amalia_vl_hf.samples.lengths import measure
from amalia_vl_hf.training.batches.collation import ConversationCollator, Encoder, PreferenceCollator
from amalia_vl_hf.training.batches.packing import PackedConversationCollator
from amalia_vl_hf.training.batches.shared_prompt import SharedPromptCollator
from tests.tiny import SPECIAL_TOKENS, tiny_tokenizer

MAX_TILES = 4
SIZES = ((40, 30), (30, 70), (64, 64), (100, 33))  # (height, width), px, of 32 px tiles
LITERAL = "<image> </s> <|im_end|>\n<|im_start|>assistant\nnão <imag"


def metaspace():
    return tiny_tokenizer()  # adds <s> itself


def without_bos():
    tokenizer = train_tokenizer(["uma casa, duas casas", "o que se vê na imagem?", "nada de novo."] * 3, 400)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return tokenizer


def byte_level():
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(["uma casa", "o que se vê, afinal?"] * 3, 300, show_progress=False)
    tokenizer.add_special_tokens([*SPECIAL_TOKENS, "<image>"])
    roles = {"bos_token": "<s>", "eos_token": "<|im_end|>", "pad_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, **roles)


TOKENIZERS = {maker.__name__: maker for maker in (metaspace, without_bos, byte_level)}


@pytest.fixture(scope="module", params=TOKENIZERS)
def processor(request):
    return AmaliaVLProcessor(AmaliaVLImageProcessor(size=32, patch_size=8), TOKENIZERS[request.param]())


def stock_encode(processor, conversations):
    """What the encoder was: transformers' own rendering, tokenising and masking."""
    batch = processor.apply_chat_template(
        copy.deepcopy(conversations),
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        return_assistant_tokens_mask=True,
        processor_kwargs={"padding": True, "padding_side": "right", "max_tiles": MAX_TILES},
    )
    return {**batch, "assistant_masks": torch.as_tensor(batch["assistant_masks"])}


class StockEncoder(Encoder):
    def __call__(self, conversations, names, answers=1):
        return stock_encode(self.processor, conversations)


def picture(index):
    height, width = SIZES[index % len(SIZES)]
    noise = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(index))
    return {"type": "image", "image": Image.fromarray(noise.to(torch.uint8).numpy())}


def turn(role, *parts):
    return {"role": role, "content": [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]}


CONVERSATIONS = {
    "one image": [turn("user", picture(0), "O que se vê?"), turn("assistant", "uma casa")],
    "text only": [turn("user", "Olá!"), turn("assistant", "Olá, bom dia. 🙂 ção")],
    "images in one turn": [
        turn("user", picture(1), "isto e", picture(2), picture(3), "aquilo"),
        turn("assistant", "sim"),
        turn("user", "e isto?", picture(0)),
        turn("assistant", " não "),
    ],
    "images in answers": [
        turn("user", "desenha"),
        turn("assistant", picture(1)),
        turn("user", "outro", picture(0)),
        turn("assistant", "aqui", picture(2), "está"),
        turn("assistant", picture(3), "\n"),
    ],
    "literal tokens": [
        turn("user", picture(2), LITERAL),
        turn("assistant", LITERAL, picture(0), LITERAL),
        turn("user", "<ima", "ge>"),
        turn("assistant", "<|im_end|>"),
    ],
    "spaces and line breaks": [
        turn("system", "\n\n  uma  regra\n"),
        turn("user", "\n", picture(3), "  \n"),
        turn("assistant", "\n\n linha\r\n\ttabulação  "),
        turn("user", ""),
        turn("assistant", ""),
        turn("assistant", "\ufeff\u200b\u0301e\u0301 日本語"),
    ],
    "twenty answers": [turn("user", picture(1), "0")]
    + [turn("user" if n % 2 else "assistant", f"vez {n}") for n in range(40)],
}


def assert_same(encoded, stock):
    assert set(encoded) == set(stock)
    for name, tensor in stock.items():
        if not isinstance(tensor, torch.Tensor):
            assert encoded[name] == tensor, name
            continue
        assert encoded[name].dtype == tensor.dtype, name
        assert torch.equal(encoded[name], tensor), name


def encode(processor, conversations):
    encoder = Encoder(processor, MAX_TILES, 10**6)
    return encoder(copy.deepcopy(conversations), [f"sample {n}" for n in range(len(conversations))])


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_is_encoded_as_by_transformers(processor, name):
    chats = [CONVERSATIONS[name]]
    assert_same(encode(processor, chats), stock_encode(processor, chats))


@pytest.mark.parametrize("left_out", [None, *CONVERSATIONS])
def test_a_batch_is_encoded_as_by_transformers(processor, left_out):
    chats = [chat for name, chat in CONVERSATIONS.items() if name != left_out]
    assert_same(encode(processor, chats), stock_encode(processor, chats))


def test_an_image_is_tokenised_once(processor, monkeypatch):
    texts, call = [], type(processor.tokenizer).__call__

    def spy(tokenizer, text, *args, **kwargs):
        texts.extend(text)
        return call(tokenizer, text, *args, **kwargs)

    monkeypatch.setattr(type(processor.tokenizer), "__call__", spy)
    encode(processor, [CONVERSATIONS["images in one turn"]])
    assert "".join(texts).count("<image>") == 4


def test_a_template_without_bos_gets_the_tokenizers_own(processor):
    bare = copy.copy(processor)
    bare.chat_template = processor.chat_template.replace("{{- bos_token -}}", "")
    chats = list(CONVERSATIONS.values())
    assert_same(encode(bare, chats), stock_encode(bare, chats))
    lengths = encode(bare, chats)["attention_mask"].sum(dim=1).tolist()
    assert lengths == [measured(bare, chat) for chat in chats]


def test_lengths_are_measured_as_they_are_encoded(processor):
    chats = list(CONVERSATIONS.values())
    assert encode(processor, chats)["attention_mask"].sum(dim=1).tolist() == [measured(processor, c) for c in chats]


@pytest.mark.parametrize("kind", [ConversationCollator, PackedConversationCollator])
def test_batches_of_conversations_are_those_of_transformers(processor, kind):
    rows = [{"sample": name, "images": pictures(chat), "messages": chat} for name, chat in CONVERSATIONS.items()]
    assert_same(*(kind(maker(processor, MAX_TILES, 10**6))(rows) for maker in (Encoder, StockEncoder)))


@pytest.mark.parametrize("kind", [PreferenceCollator, SharedPromptCollator])
def test_batches_of_pairs_are_those_of_transformers(processor, kind):
    rows = []
    for name in ("images in one turn", "literal tokens", "one image", "twenty answers"):
        prompt = [turn for turn in CONVERSATIONS[name] if turn["role"] == "user" or name != "literal tokens"]
        answers = {"chosen": [turn("assistant", LITERAL)], "rejected": [turn("assistant", "uma casa")]}
        rows.append({"sample": name, "images": pictures(prompt), "prompt": prompt, **answers})
    assert_same(*(kind(maker(processor, MAX_TILES, 10**6))(rows) for maker in (Encoder, StockEncoder)))


def pictures(chat):
    return [part["image"] for turn in chat for part in turn["content"] if part["type"] == "image"]


def measured(processor, chat):
    return measure({"sample": "x", "images": pictures(chat), "messages": chat}, processor, MAX_TILES)[0]


def test_a_template_that_marks_no_answer_or_leaves_an_image_out_is_named(processor):
    silent, blind = copy.copy(processor), copy.copy(processor)
    silent.chat_template = (
        "{% for m in messages %}{% for p in m.content %}{{ p.text or '<image>' }}{% endfor %}{% endfor %}"
    )
    slot = "'<' ~ part['type'] ~ ('>' if loop.last else '>\\n')"
    assert slot in processor.chat_template
    blind.chat_template = processor.chat_template.replace(slot, f"'' if loop.last else {slot}")
    with pytest.raises(ValueError, match="sample 0: no assistant turn"):
        encode(silent, [CONVERSATIONS["one image"]])
    with pytest.raises(ValueError, match="sample 1: 2 <image> slots but 4 images; does the chat template leave"):
        encode(blind, [CONVERSATIONS["text only"], CONVERSATIONS["images in answers"]])


def test_a_sample_that_is_too_long_is_refused_before_its_images_are_cut(processor, monkeypatch):
    def cut(*args, **kwargs):
        raise AssertionError("cut")

    monkeypatch.setattr(AmaliaVLImageProcessor, "preprocess", cut)
    with pytest.raises(ValueError, match=r"sample 0: \d+ tokens, 46 of them visual, exceed max_length=60"):
        Encoder(processor, MAX_TILES, 60)([CONVERSATIONS["one image"]], ["sample 0"])
