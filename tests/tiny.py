"""Small stand-ins for AMALIA-VL's parts, built in process: no downloads, no fixtures."""

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")  # ids 0-4, as in AMALIA-9B
LETTERS = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZáàâãçéêíóôõúÁÉÍÓÚ0123456789.,;:!?-"
MERGES = (
    *(("▁", letter) for letter in "aceodnpqstu"),
    *(("o", "s"), ("a", "s"), ("q", "u"), ("e", "n"), ("i", "m"), ("im", "a"), ("a", "r"), ("▁qu", "e")),
    *(("▁q", "u"), ("r", "e"), ("ã", "o"), ("▁a", "r"), ("u", "s"), ("s", "t")),
)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Build a BPE tokenizer of EuroLLM's kind: metaspace, byte fallback, AMALIA's special tokens and ids.

    `<image>` is appended after the vocabulary, the tokenizer adds `<s>` by itself, and it pads on the left.
    """
    pieces = [*SPECIAL_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256)), *LETTERS]
    pieces += [left + right for left, right in MERGES if left + right not in pieces]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    merges = [pair for pair in dict.fromkeys(MERGES) if all(part in vocabulary for part in pair)]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_special_tokens([AddedToken("<image>", special=True, normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="<|im_end|>",
        pad_token="</s>",
        additional_special_tokens=["<|im_start|>", "<image>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
