"""Processor of AMALIA-VL: chat template, tokenizer and image processor in one call."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import BatchEncoding, BatchFeature, PreTrainedTokenizerBase, ProcessorMixin
from transformers.processing_utils import MultiModalData
from transformers.utils.chat_template_utils import render_jinja_template

from .chat_tokens_amalia_vl import ChatTokens, tokens_within
from .image_processing_amalia_vl import (
    LOADING,
    STANDARD,
    AmaliaVLImageProcessor,
    flatten_images,
    require_known,
)
from .plain_text_amalia_vl import (
    MARK,
    control_tokens,
    count_images,
    count_slots,
    images_of,
    literal_tokens,
    mark_turns,
    mark_values,
    rename_tokens,
    require_characters,
    require_marks,
    require_plain,
    twin_of,
)
from .tiling_amalia_vl import TileLayout, num_visual_tokens

# ChatML. The sequence opens with <s> because servers tokenise rendered chats without adding it; the processor removes
# it where the tokenizer adds its own. An image is followed by a line break, unless it ends the turn, so that typed
# content reads like the evaluation's "<image>\n" + question. The answer and its <|im_end|> are what training learns.
CHAT_TEMPLATE = r"""
{%- macro render(content) -%}
  {%- if content is string -%}
    {{- content -}}
  {%- else -%}
    {%- for part in content -%}
      {%- if part['type'] == 'image' -%}
        {{- '<image>' if loop.last else '<image>\n' -}}
      {%- elif part['type'] == 'text' -%}
        {{- part['text'] -}}
      {%- else -%}
        {{- raise_exception("A message may hold parts of type 'image' and 'text', not '" ~ part['type'] ~ "'") -}}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
{{- bos_token -}}
{%- for message in messages -%}
  {{- '<|im_start|>' ~ message['role'] ~ '\n' -}}
  {%- if message['role'] == 'assistant' -%}
    {%- generation -%}
      {{- render(message['content']) ~ '<|im_end|>' -}}
    {%- endgeneration -%}
  {%- else -%}
    {{- render(message['content']) ~ '<|im_end|>' -}}
  {%- endif -%}
  {{- '\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\n' -}}
{%- endif -%}
""".strip()


TOKENIZER_OPTIONS = (  # that people set when they load; its other ones stay in its own files
    "padding_side", "truncation_side", "model_max_length", "model_input_names", "clean_up_tokenization_spaces",
    "split_special_tokens", "bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token",
    "additional_special_tokens", "extra_special_tokens", "add_bos_token", "add_eos_token", "add_prefix_space",
    "from_slow", "legacy", "tokenizer_type", "tokenizer_file", "vocab_file", "add_special_tokens", "gguf_file",
    "fix_mistral_regex", "response_schema",
)  # fmt: skip


class RenderedChat(str):
    """A rendered chat with `<image>` in contents that are strings.

    Attributes:
        readings: The chat with them as slots, and with them as text; the call, which knows the images, chooses.
    """

    readings: tuple[str, str]


class AmaliaVLProcessor(ProcessorMixin):
    """Turn text with `<image>` slots, and their images, into the model's inputs.

    Each slot becomes as many `<image>` tokens as its image has visual tokens. The call returns `input_ids` and
    `attention_mask` `(batch, length)`, and for images `pixel_values` `(total_tiles, 3, S, S)` and `tile_layouts`
    `(total_tiles, 4)`.

    In conversations, a slot is a part of type `image`; in a content that is a string, `<image>` is one only where
    there are as many as images. Anything else that is written in a content is text, control tokens too. A text that is
    given to the call itself is taken as a rendered chat: what it holds acts.

    Images come flat, in the order of the slots, or nested, a list for each text; `[]` means none. They may be anything
    that `image_loading_amalia_vl` lists. Options of `AmaliaVLImageProcessor` may be given to a call: `max_tiles=0`.

    Args:
        image_processor: Cuts the images.
        tokenizer: A fast tokenizer that has `image_token` among its special tokens.
        chat_template: Jinja template of conversations; ChatML with an answer mask if unset.
        image_token: What stands for an image in text.
    """

    shown_token: str | None = None  # what errors call the image token, in a twin whose own is another

    def __init__(
        self,
        image_processor: AmaliaVLImageProcessor,
        tokenizer: PreTrainedTokenizerBase,
        chat_template: str | dict[str, str] | None = None,
        image_token: str = "<image>",
    ) -> None:
        self.image_token = image_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)
        if self.image_token_id in (None, tokenizer.unk_token_id):
            raise ValueError(f"the tokenizer does not know {image_token}; add it as a special token first")
        super().__init__(image_processor, tokenizer, chat_template=chat_template or CHAT_TEMPLATE)

    def __call__(self, images: Any = None, text: Any = None, **kwargs: Any) -> BatchFeature:
        """Process rendered text and images, as the class says.

        Raises:
            ValueError: Slots and images do not agree, an image cannot be used, or a text cannot be tokenised.
        """
        if text is not None:
            text = self._settled([text] if isinstance(text, str) else text, images)
            for sample, content in enumerate(text):
                if isinstance(content, str):
                    require_characters(content, f"sample {sample}")
        reader, text = self._reader(text)
        return super(AmaliaVLProcessor, reader).__call__(images=images, text=text, **kwargs)

    def apply_chat_template(
        self,
        conversation: Any,
        chat_template: str | None = None,
        tools: Any = None,
        documents: Any = None,
        *,
        tokenize: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Render conversations, and tokenise them with their images if asked to.

        What users write is text: control tokens in it come out of a later call as plain text, too, since the rendered
        text is marked there with U+FDD0. `sanitize_control_tokens` is therefore accepted, and changes nothing.

        Args:
            conversation: One conversation, a list of turns, or a list of conversations.
            chat_template: Another template than the processor's, or the name of one of several.
            tools: What the template may list as tools.
            documents: What the template may list as documents.
            tokenize: Whether to tokenise and to process the images.
            **kwargs: As in `ProcessorMixin.apply_chat_template`.

        Raises:
            ValueError: A role that the template does not know, a content that is missing or no text, or one of the
                reasons of the call.
        """
        kwargs.pop("sanitize_control_tokens", None)
        batched = bool(conversation) and not isinstance(conversation[0], Mapping)
        chats = [getattr(chat, "messages", chat) for chat in (conversation if batched else [conversation])]
        source = self._template(chat_template)
        tokens = control_tokens(self.tokenizer, self.image_token, source)
        for number, chat in enumerate(chats):
            require_plain(chat, source, f"conversation {number}", tokens)
        options = {"tools": mark_values(tools, tokens), "documents": mark_values(documents, tokens), **kwargs}

        def render(turns: Any, **more: Any) -> Any:
            return super(AmaliaVLProcessor, self).apply_chat_template(turns, chat_template, **options, **more)

        if tokenize:
            marked = [
                self._marked(chat, tokens, count) for chat, count in zip(chats, images_of(chats, kwargs), strict=True)
            ]
            return render(marked if batched else marked[0], tokenize=True)
        rendered = [self._rendered(chat, tokens, render) for chat in chats]
        return rendered if batched else rendered[0]

    def encode_rendered(self, text: Sequence[str], **options: Any) -> BatchEncoding:
        """Tokenise rendered chats as the call does, but for their images: a slot stays one token.

        Args:
            text: Chats as `apply_chat_template` renders them, `<s>` included.
            **options: Of the tokenizer's call.
        """
        return self._tokenised(list(text), **options)

    def encode_answers(self, chats: Sequence[Sequence[Mapping[str, Any]]], names: Sequence[str]) -> list[ChatTokens]:
        """Tokenise conversations with typed contents as `apply_chat_template` does, but an image stays one token.

        Args:
            chats: The conversations.
            names: What to call each in errors.

        Returns:
            The tokens of each, with the assistant's marked.

        Raises:
            ValueError: Roles or texts are none that `apply_chat_template` takes.
        """
        source = self._template(None)
        tokens = control_tokens(self.tokenizer, self.image_token, source)
        for chat, name in zip(chats, names, strict=True):
            require_plain(chat, source, name, tokens)
        texts, spans = render_jinja_template(
            [mark_turns(chat, tokens) for chat in chats],
            chat_template=source,
            return_assistant_tokens_mask=True,
            **self.tokenizer.special_tokens_map,
        )
        encoded = self._tokenised(texts, return_offsets_mapping=True)
        rows = zip(encoded["input_ids"], encoded["offset_mapping"], spans, strict=True)
        return [ChatTokens(np.array(ids), tokens_within(offsets, answers)) for ids, offsets, answers in rows]

    def _tokenised(self, text: list[str], **options: Any) -> BatchEncoding:
        """Tokenise rendered chats; the tokenizer adds `<s>` only where the template does not write it."""
        opened = bool(self.tokenizer.bos_token) and text[0].startswith(self.tokenizer.bos_token)
        reader, chats = self._reader(text)
        return reader.tokenizer(chats, add_special_tokens=not opened, **options)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> list[str]:
        """Save all parts, the tokenizer without the padding and cutting that the last call happened to set in it."""
        backend = self.tokenizer.backend_tokenizer
        backend.no_padding()
        backend.no_truncation()
        saved: list[str] = super().save_pretrained(*args, **kwargs)
        return saved

    def literal_tokens(self, turns: Sequence[Mapping[str, Any]], where: str) -> list[str]:
        """List the control tokens that stand literally in the texts of a conversation with typed contents.

        Args:
            turns: The conversation.
            where: What to call it in errors.

        Raises:
            ValueError: Its roles or texts are none that `apply_chat_template` takes.
        """
        source = self._template(None)
        tokens = control_tokens(self.tokenizer, self.image_token, source)
        require_plain(turns, source, where, tokens)
        return literal_tokens(
            [part["text"] for turn in turns for part in turn["content"] if part["type"] == "text"], tokens
        )

    def _template(self, name: str | None) -> str:
        """Give the source of a template: the processor's own, one of its several by name, or the text itself."""
        own = self.chat_template
        if isinstance(own, Mapping):
            return str(own.get(name or "default", name or ""))
        return str(name or own)

    def _marked(self, chat: Sequence[Mapping[str, Any]], tokens: tuple[str, ...], images: int) -> list[dict[str, Any]]:
        """Mark a conversation's texts; `<image>` in strings is a slot if there are as many as images."""
        typed, written = count_slots(chat, self.image_token)
        slots = written > 0 and typed != images == typed + written
        return mark_turns(chat, tokens, self.image_token if slots else None)

    def _rendered(self, chat: Sequence[Mapping[str, Any]], tokens: tuple[str, ...], render: Any) -> str:
        """Render a conversation whose images are not known yet."""
        typed, written = count_slots(chat, self.image_token)
        words = str(render(mark_turns(chat, tokens)))
        if not written:
            return words
        slots = str(render(mark_turns(chat, tokens, self.image_token)))
        rendered = RenderedChat(words if typed else slots)
        rendered.readings = (slots, words)
        return rendered

    def _settled(self, text: Iterable[Any], images: Any) -> list[Any]:
        """Choose, for each chat with `<image>` in strings, the reading that has as many slots as images."""
        text = list(text)
        if not any(isinstance(content, RenderedChat) for content in text):
            return text
        nested = isinstance(images, list | tuple) and any(isinstance(entry, list | tuple) for entry in images)
        if nested and len(images) == len(text):
            return [
                self._fitting([content], count_images(entry))[0] for content, entry in zip(text, images, strict=True)
            ]
        return self._fitting(text, count_images(images))

    def _fitting(self, text: list[Any], images: int) -> list[Any]:
        for reading in (0, 1):
            chosen = [content.readings[reading] if isinstance(content, RenderedChat) else content for content in text]
            if sum(content.count(self.image_token) for content in chosen if isinstance(content, str)) == images:
                return chosen
        return text

    def _reader(self, text: list[Any] | None) -> tuple["AmaliaVLProcessor", list[Any] | None]:
        """Give who reads these texts, and how they are written for it: the processor, or its twin if one is marked."""
        unusual = [content for content in text or () if isinstance(content, str) and not content.isascii()]
        tokens = control_tokens(self.tokenizer, self.image_token, self.chat_template) if unusual else ()
        for content in unusual:
            require_marks(content, tokens, repr(content[:40]))
        if text is None or not any(MARK in content for content in unusual):
            return self, text
        twin = copy.copy(self)
        twin.shown_token = self.image_token
        twin.tokenizer, twin.image_token = twin_of(self.tokenizer, tokens), rename_tokens(self.image_token, tokens)
        return twin, [rename_tokens(content, tokens) if isinstance(content, str) else content for content in text]

    def num_visual_tokens(self, height: int, width: int, max_tiles: int | None = None) -> int:
        """Count the positions an image would take in the decoder, without the image.

        Args:
            height: Height of the image, in pixels.
            width: Width of the image, in pixels.
            max_tiles: Most tiles, if not the processor's own; 0 turns tiling off.
        """
        return self.image_processor.num_visual_tokens(height, width, max_tiles=max_tiles)

    def replace_image_token(self, image_inputs: Mapping[str, Any], image_idx: int, **kwargs: Any) -> str:
        """Give what an image's slot in the text becomes.

        Args:
            image_inputs: What the image processor returned.
            image_idx: Position of the image among those of the call.
            **kwargs: Options of the call; the patch size counts.
        """
        side = image_inputs["pixel_values"].shape[-1] // (kwargs.get("patch_size") or self.image_processor.patch_size)
        pool = kwargs.get("pool_above_tiles") or self.image_processor.pool_above_tiles
        return self.image_token * num_visual_tokens(_image_layouts(image_inputs)[image_idx], side, pool)

    def prepare_inputs_layout(self, images: Any = None, text: Any = None, **kwargs: Any) -> tuple[Any, ...]:
        """Load the images, and drop the `<s>` that opens a rendered chat where the tokenizer adds its own."""
        images, text, *rest = super().prepare_inputs_layout(images=images, text=text, **kwargs)
        adds_special = kwargs.get("text_kwargs", {}).get("add_special_tokens", kwargs.get("add_special_tokens", True))
        if text is not None and adds_special and self._adds_bos():
            bos = self.tokenizer.bos_token
            text = [sample.removeprefix(bos) if isinstance(sample, str) else sample for sample in text]
        return (images if flatten_images(images) else None, text, *rest)

    def _adds_bos(self) -> bool:
        return bool(self.tokenizer.bos_token) and self.tokenizer("").input_ids[:1] == [self.tokenizer.bos_token_id]

    def validate_inputs(self, images: Any = None, text: Any = None, **kwargs: Any) -> None:
        """Check that every text has as many `<image>` slots as images.

        Raises:
            ValueError: If not, with the sample's index; or if there is nothing to process, or anything but text and
                images.
        """
        if other := sorted(name for name in ("videos", "audio") if kwargs.get(name) is not None):
            raise ValueError(f"AMALIA-VL reads text and images, not {' or '.join(other)}")
        if text is None:
            if images is None:
                raise ValueError("there is neither text nor an image to process")
            return
        for sample, content in enumerate(text):
            if not isinstance(content, str):
                kind = type(content).__name__
                raise ValueError(f"text must be a string or a list of strings; sample {sample} is {kind}")
        if not text:
            raise ValueError("text is an empty list")
        self._check_slots([content.count(self.image_token) for content in text], images)

    def _check_slots(self, slots: list[int], images: Any) -> None:
        """Hold the number of slots of each sample against its images, given flat or nested."""
        nested = isinstance(images, list) and any(isinstance(entry, list) for entry in images)
        if nested and len(images) != len(slots):
            raise ValueError(f"{len(slots)} texts but {len(images)} lists of images; give a list for each text")
        counts = [len(flatten_images(entry)) for entry in images] if nested else _deal(images, slots)
        shown = self.shown_token or self.image_token
        for sample, (wanted, given) in enumerate(zip(slots, counts, strict=True)):
            if given != wanted:
                remedy = (
                    f"put {shown} into the text once for each image" if given > wanted else "lacks a turn its image?"
                )
                raise ValueError(
                    f"sample {sample} has {wanted} {shown} slots but {given} images"
                    f"{'' if nested else ' remain for it'}; does its text hold a literal {shown}? {remedy}"
                )

    def _process_images(self, images: Any, **kwargs: Any) -> tuple[BatchFeature, list[str]]:
        """Cut the images, and give what each slot becomes; the base class cannot flatten samples without images."""
        features = self.image_processor(images, **kwargs)
        count = len(_image_layouts(features))
        return features, [self.replace_image_token(features, index, **kwargs) for index in range(count)]

    def _check_special_mm_tokens(self, text: list[str], text_inputs: Mapping[str, Any], modalities: list[str]) -> None:
        """Refuse texts whose image tokens were cut by truncation.

        Raises:
            ValueError: Names the first such sample.
        """
        try:
            super()._check_special_mm_tokens(text, text_inputs, modalities)
        except ValueError as error:
            for sample, (content, ids) in enumerate(zip(text, text_inputs["input_ids"], strict=True)):
                wanted, kept = content.count(self.image_token), list(ids).count(self.image_token_id)
                if wanted != kept:
                    raise ValueError(
                        f"truncation to {len(ids)} tokens cuts an image: sample {sample} has {wanted} visual tokens, "
                        f"{kept} would be left. Raise max_length, lower max_tiles or leave truncation off"
                    ) from error
            raise

    def _get_num_multimodal_tokens(
        self, image_sizes: Iterable[tuple[int, int]] | None = None, **kwargs: Any
    ) -> MultiModalData:
        """Tell servers (vLLM) what images of these sizes, `(height, width)` in pixels, will take.

        Returns:
            `num_image_tokens` of each image, and `num_image_patches`: its rows in `pixel_values` and `tile_layouts`.
        """
        if image_sizes is None:
            return MultiModalData()
        known = self.image_processor.valid_kwargs.__annotations__.keys() - {"return_tensors"}
        options = kwargs.get("images_kwargs", {}) | {name: kwargs[name] for name in known & kwargs.keys()}
        sizes = list(image_sizes)
        return MultiModalData(
            num_image_tokens=[self.image_processor.num_visual_tokens(*size, **options) for size in sizes],
            num_image_patches=[self.image_processor.tile_layout(*size, **options).num_tiles for size in sizes],
        )

    @classmethod
    def get_processor_dict(
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read saved options; those of a `llava_next` directory are checked and translated.

        Raises:
            ValueError: If visual tokens would be counted in a way AMALIA-VL does not.
        """
        try:
            options, unused = super().get_processor_dict(pretrained_model_name_or_path, **kwargs)
        except RecursionError as error:
            raise ValueError(f"the options of {pretrained_model_name_or_path} have lists in one another") from error
        strategy = options.pop("vision_feature_select_strategy", None) or "full"
        if strategy != "full":
            raise ValueError(f"vision_feature_select_strategy is {strategy!r}; AMALIA-VL keeps every patch: 'full'")
        if additional := options.pop("num_additional_image_tokens", 0):
            raise ValueError(f"num_additional_image_tokens is {additional}; AMALIA-VL's tower has no such token")
        options.pop("patch_size", None)  # the image processor's, which reads it by itself
        return options, unused

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, processor_dict: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        """Load our image processor, whatever the directory names; a tokenizer's template counts as its own.

        Raises:
            ValueError: An option is of neither of them, nor of loading.
        """
        images = {*AmaliaVLImageProcessor.valid_kwargs.__annotations__, *STANDARD}
        if not kwargs.pop("return_unused_kwargs", False):
            require_known(kwargs, [*sorted(images), *TOKENIZER_OPTIONS, "chat_template", "image_token"], cls.__name__)
        image_options = {name: value for name, value in kwargs.items() if name in images or name in LOADING}
        image_processor = AmaliaVLImageProcessor.from_pretrained(pretrained_model_name_or_path, **image_options)
        kwargs = {name: value for name, value in kwargs.items() if name not in images}
        try:
            tokenizer = cls._load_tokenizer_from_pretrained("tokenizer", pretrained_model_name_or_path, **kwargs)
        except RecursionError as error:
            raise ValueError(f"the tokenizer of {pretrained_model_name_or_path} has lists in one another") from error
        if processor_dict is not None and tokenizer.chat_template:
            processor_dict.setdefault("chat_template", tokenizer.chat_template)
        return [image_processor, tokenizer]


def _deal(images: Any, slots: list[int]) -> list[int]:
    """Hand flat images out in order: to each text what its slots ask, to the last one all that remain."""
    left = len(flatten_images(images))
    counts = []
    for wanted in slots[:-1]:
        counts.append(min(wanted, left))
        left -= counts[-1]
    return [*counts, left]


def _image_layouts(features: Mapping[str, Any]) -> list[TileLayout]:
    """Read the layout of each image off the layouts of all tiles."""
    layouts: list[TileLayout] = []
    rows, row = features["tile_layouts"].tolist(), 0
    while row < len(rows):
        layouts.append(TileLayout(*rows[row]))
        row += layouts[-1].num_tiles
    return layouts


AmaliaVLProcessor.register_for_auto_class()
