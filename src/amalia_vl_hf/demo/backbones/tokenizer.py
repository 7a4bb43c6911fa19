"""A small tokenizer of EuroLLM's kind: byte-pair encoding with metaspaces and byte fallback."""

import json
from collections.abc import Iterable, Iterator

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

# Ids 0 to 4, as in EuroLLM and AMALIA; `<image>` is added when the model is composed.
SPECIAL_TOKENS = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer on `texts`.

    Line breaks stay tokens of their own (`<0x0A>`), so that an answer is cut into the same tokens whether it is
    trained on or generated after the `assistant` line.

    Args:
        texts: Sentences without line breaks.
        vocab_size: Most tokens in all, special ones and bytes included.

    Raises:
        ValueError: A text holds a line break.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL_TOKENS[0], byte_fallback=True, fuse_unk=True))
    # A word is the same token before a full stop and inside a sentence.
    sentence_marks = pre_tokenizers.Split(Regex("[.,?]"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="never"), sentence_marks]
    )
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=[*SPECIAL_TOKENS, *BYTES], show_progress=False)
    tokenizer.train_from_iterator(_single_lines(texts), trainer)
    tokenizer = _with_ordinary_bytes(tokenizer)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    unknown, begin, pad, turn, end = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=unknown,
        bos_token=begin,
        eos_token=end,
        pad_token=pad,
        extra_special_tokens=[turn],
        padding_side="left",  # batched generation needs it
        clean_up_tokenization_spaces=False,
    )


def _single_lines(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        if "\n" in text:
            raise ValueError(f"a line break would become part of a token: {text!r}")
        yield text


def _with_ordinary_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """Keep the byte tokens in the vocabulary, but no longer as special ones that are cut out of texts and answers."""
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = [token for token in description["added_tokens"] if token["content"] not in BYTES]
    return Tokenizer.from_str(json.dumps(description))
