"""Special tokens that stand literally in someone's text, `<image>` or `<|im_end|>`, are text there and nothing else.

A rendered chat cannot tell the template's tokens from a user's. Where a text holds one, the chat is rendered and
tokenised by a twin of the processor whose special tokens have other names and the same ids: the template writes the
new names, and the user's words have lost their meaning. Chats without such texts give the same ids with either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from ..processing.processing_amalia_vl import AmaliaVLProcessor

# Noncharacters, which Unicode keeps for a program's own use: no text that is interchanged holds them.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"

Conversation = Sequence[Mapping[str, Any]]


def special_tokens_in(processor: Any, conversation: Conversation, sample: str) -> list[str]:
    """List the special tokens that stand literally in the texts of a conversation with typed contents.

    Args:
        processor: A processor with a fast tokenizer.
        conversation: Turns with typed contents.
        sample: Where the conversation comes from, for errors.

    Raises:
        ValueError: There are some, and a text also holds a noncharacter that could pass for their new names.
    """
    texts = [part["text"] for turn in conversation for part in turn["content"] if part["type"] == "text"]
    names = sorted({token for text in texts for token in _pattern(processor).findall(text)})
    if names and any(_OPEN in text for text in texts):
        raise ValueError(
            f"{sample}: special tokens ({', '.join(names)}) and the noncharacter U+FDD0 in one text; is it an attack?"
        )
    return names


@lru_cache(maxsize=2)
def renamed(processor: Any) -> AmaliaVLProcessor:
    """Build the twin of a processor whose special tokens have names that no text holds.

    Args:
        processor: A processor with a fast tokenizer.
    """
    names = {token: f"{_OPEN}{index}{_CLOSE}" for index, token in enumerate(_special_tokens(processor))}
    tokenizer = processor.tokenizer
    roles = {role: _rename(value, names) for role, value in tokenizer.special_tokens_map.items()}
    twin = PreTrainedTokenizerFast(
        tokenizer_object=_renamed_backend(tokenizer.backend_tokenizer, names),
        padding_side=tokenizer.padding_side,
        model_input_names=tokenizer.model_input_names,
        clean_up_tokenization_spaces=False,
        **roles,
    )
    template = _rename(processor.chat_template, names)
    return AmaliaVLProcessor(processor.image_processor, twin, template, names[processor.image_token])


@lru_cache(maxsize=2)
def _pattern(processor: Any) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(token) for token in _special_tokens(processor)))


def _special_tokens(processor: Any) -> list[str]:
    """List special tokens, longest first, so that none is taken for a part of another."""
    added = processor.tokenizer.added_tokens_decoder.values()
    return sorted({processor.image_token, *(str(token) for token in added if token.special)}, key=len, reverse=True)


def _rename(value: Any, names: Mapping[str, str]) -> Any:
    """Rename tokens in a text, or in every text of a list or mapping."""
    if isinstance(value, Mapping):
        return {key: _rename(entry, names) for key, entry in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_rename(entry, names) for entry in value]
    value = str(value)
    for token, name in names.items():
        value = value.replace(token, name)
    return value


def _renamed_backend(backend: Tokenizer, names: Mapping[str, str]) -> Tokenizer:
    state = json.loads(backend.to_str())
    for token in state["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = state["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(piece, piece): index for piece, index in model["vocab"].items()}
    else:  # Unigram keeps a list of pieces with their scores
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    if model.get("unk_token"):
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    return Tokenizer.from_str(json.dumps(state))
