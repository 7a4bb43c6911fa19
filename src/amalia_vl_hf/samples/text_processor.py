"""Conversations of a plain causal language model: what its tokenizer makes of them, in a processor's shape."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from ..processing.image_processing_amalia_vl import AmaliaVLImageProcessor
from ..processing.media_slots_amalia_vl import CHAT_TEMPLATE
from ..processing.plain_text_amalia_vl import mark_turns
from ..processing.processing_amalia_vl import AmaliaVLProcessor

_MARKS = re.compile(r"{%-?\s*generation\b")
_WITHOUT_BOS = CHAT_TEMPLATE.replace("{{- bos_token -}}\n", "")
_TURNS = [{"role": "user", "content": " a\n"}, {"role": "assistant", "content": " b\n"}]
_PROBES = (_TURNS * 2, [{"role": "system", "content": " c\n"}, *_TURNS])


def reads_text_alone(model: str | Path) -> bool:
    """Tell a plain language model from one with a vision tower, by its configuration.

    Args:
        model: Directory or Hub id.

    Raises:
        OSError: There is no configuration.
    """
    values, _ = PreTrainedConfig.get_config_dict(model)
    return "vision_config" not in values


def load_processor_of(model: str | Path) -> AmaliaVLProcessor:
    """Load the processor of an AMALIA-VL, or the tokenizer of a plain language model in a processor's shape.

    Args:
        model: Directory or Hub id.

    Raises:
        ValueError: A plain model's chat template does not mark the assistant's words, see [`TextProcessor.of`].
    """
    if not reads_text_alone(model):
        processor: AmaliaVLProcessor = AmaliaVLProcessor.from_pretrained(model, trust_remote_code=False)
        return processor
    return TextProcessor.of(AutoTokenizer.from_pretrained(model, trust_remote_code=False))


class TextProcessor(AmaliaVLProcessor):
    """A language model's tokenizer where a processor is asked for: the same tokens as its own `apply_chat_template`.

    What is saved is the tokenizer alone, as it was; only one without a chat template gets ours, ChatML. Special tokens
    that are written in a text are text.
    """

    plain: PreTrainedTokenizerBase  # as it was loaded

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> TextProcessor:
        """Put a tokenizer into a processor's shape.

        Args:
            tokenizer: A fast one. Its template marks the assistant's words with `{% generation %}`, or is ChatML.

        Raises:
            ValueError: Its template is another one, or there is none and it lacks ChatML's tokens.
        """
        template = _marking_template(tokenizer)
        if tokenizer.chat_template is None:
            tokenizer.chat_template = template
        reader = copy.deepcopy(tokenizer)
        reader.add_special_tokens({"additional_special_tokens": ["<image>"]}, replace_extra_special_tokens=False)
        if reader.pad_token is None:
            reader.pad_token = reader.eos_token  # on the right and masked: it is never learned
        processor = cls(AmaliaVLImageProcessor(), reader, chat_template=template)
        processor.plain = tokenizer
        return processor

    def _with_answers(
        self, chats: Sequence[Sequence[Mapping[str, Any]]], names: Sequence[str]
    ) -> tuple[list[str], list[list[tuple[int, int]]]]:
        """Render conversations, see [`AmaliaVLProcessor`].

        Raises:
            ValueError: There is an image, or roles or texts are none that the template takes.
        """
        joined = [_joined(chat, name) for chat, name in zip(chats, names, strict=True)]
        return super()._with_answers(joined, names)

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> list[str]:
        """Save the tokenizer, as it was loaded."""
        return list(self.plain.save_pretrained(save_directory, **kwargs))

    def _rendered(self, chat: Sequence[Mapping[str, Any]], tokens: tuple[str, ...], render: Any) -> str:
        """Render a conversation; all that is written in it is text."""
        return str(render(mark_turns(_joined(chat, "a conversation"), tokens)))

    def _opened(self, text: list[str]) -> bool:
        """The template says all of it, as in the tokenizer's own `apply_chat_template`."""
        return True


def _joined(chat: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """Give contents as strings, which is all that many templates read.

    Raises:
        ValueError: A content has an image.
    """
    texts = []
    for turn in chat:
        parts = (
            [turn["content"]] if isinstance(turn["content"], str) else [part.get("text") for part in turn["content"]]
        )
        if None in parts:
            raise ValueError(f"{name}: it has an image, but the model reads text alone; leave the sample out")
        texts.append("".join(parts))
    return [{**turn, "content": text} for turn, text in zip(chat, texts, strict=True)]


def _marking_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """Give a template that renders what the tokenizer's own does, and marks what the assistant says."""
    own = tokenizer.chat_template
    if isinstance(own, str) and _MARKS.search(own):
        return own
    if own is None:
        known = tokenizer.get_vocab()
        if missing := [token for token in ("<|im_start|>", "<|im_end|>") if token not in known]:
            raise ValueError(f"the tokenizer has no chat template, and ChatML's {' and '.join(missing)} are not in it")
        return CHAT_TEMPLATE if tokenizer.bos_token else _WITHOUT_BOS
    for template in (CHAT_TEMPLATE, _WITHOUT_BOS):
        if all(_render(tokenizer, probe, None) == _render(tokenizer, probe, template) for probe in _PROBES):
            return template
    raise ValueError(
        "the tokenizer's chat template is not ChatML and does not mark the assistant's words, so it is not known what "
        "is to be learned; write {% generation %} and {% endgeneration %} around them in its chat_template.jinja"
    )


def _render(tokenizer: PreTrainedTokenizerBase, chat: list[dict[str, str]], template: str | None) -> str | None:
    """Render a conversation; None where the template refuses it."""
    try:
        return str(tokenizer.apply_chat_template(chat, chat_template=template, tokenize=False))
    except Exception:  # whatever a template raises
        return None
