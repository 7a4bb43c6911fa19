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
from .foreign_options_amalia_vl import TOKENIZER_OPTIONS, require_same_pixels, video_options
from .image_processing_amalia_vl import (
    HUB_OPTIONS,
    LOADING,
    STANDARD,
    AmaliaVLImageProcessor,
    flatten_images,
    require_known,
)
from .media_slots_amalia_vl import (
    CHAT_TEMPLATE,
    given_images,
    given_videos,
    loaded_images,
    marked_chat,
    rendered_chat,
    require_slots,
    settled,
)
from .plain_text_amalia_vl import (
    MARK,
    VIDEOS,
    control_tokens,
    count_slots,
    held_by,
    images_of,
    literal_tokens,
    mark_turns,
    mark_values,
    of_template,
    rename_tokens,
    require_characters,
    require_marks,
    require_plain,
    twin_of,
)
from .tiling_amalia_vl import TileLayout, num_visual_tokens
from .video_loading_amalia_vl import flatten_videos
from .video_processing_amalia_vl import AmaliaVLVideoProcessor

OF_VIDEOS = ("video_token", "num_frames", "fps")
OWN_OPTIONS = ("chat_template", "image_token", *OF_VIDEOS)
VIDEO_TOKEN = "<video>"
NO_VIDEOS = f": the tokenizer of this model has no {VIDEO_TOKEN}"


class AmaliaVLProcessor(ProcessorMixin):
    """Turn text with `<image>` and `<video>` slots, their images and videos, into the model's inputs.

    Each slot becomes as many tokens as its image or video has visual tokens. The call returns `input_ids` and
    `attention_mask` `(batch, length)`, for images `pixel_values` `(total_tiles, 3, S, S)` and `tile_layouts`
    `(total_tiles, 4)`, for videos `pixel_values_videos` `(total_frames, 3, S, S)` and `video_frames` `(videos,)`.

    In conversations, a slot is a part of type `image` or `video`; in a content that is a string, `<image>` is one only
    where there are as many as images. Anything else that is written in a content is text, control tokens too. A text
    that is given to the call itself is taken as a rendered chat: what it holds acts.

    Images come flat, in the order of the slots, or nested, a list for each text; `[]` means none; so do videos. They
    may be anything that `image_loading_amalia_vl` and `video_loading_amalia_vl` list. Options of
    `AmaliaVLImageProcessor` and `AmaliaVLVideoProcessor` may be given to a call: `max_tiles=0`, `num_frames=8`.

    Args:
        image_processor: Cuts the images.
        tokenizer: A fast tokenizer that has `image_token` among its special tokens.
        chat_template: Jinja template of conversations; ChatML with an answer mask if unset.
        image_token: What stands for an image in text.
        video_token: What stands for a video; None for `<video>` where the tokenizer has it, else for no videos at all.
        num_frames: Most frames that are taken of a video.
        fps: Most frames that are taken of a second of video; None for no such limit.
    """

    shown: Mapping[str, str] = {}  # what errors call the slots, in a twin whose own are others

    def __init__(
        self,
        image_processor: AmaliaVLImageProcessor,
        tokenizer: PreTrainedTokenizerBase,
        chat_template: str | dict[str, str] | None = None,
        image_token: str = "<image>",
        video_token: str | None = None,
        num_frames: int = 32,
        fps: float | None = None,
    ) -> None:
        for token in filter(None, (image_token, video_token)):
            if not _knows(tokenizer, token):
                raise ValueError(f"the tokenizer does not know {token}; add it as a special token first")
        self.image_token, self.image_token_id = image_token, tokenizer.convert_tokens_to_ids(image_token)
        self.video_token = video_token or (VIDEO_TOKEN if _knows(tokenizer, VIDEO_TOKEN) else None)
        self.video_token_id = self.video_token and tokenizer.convert_tokens_to_ids(self.video_token)
        self.num_frames, self.fps = num_frames, fps
        AmaliaVLVideoProcessor(image_processor, num_frames, fps)  # refuses bad options now, not at the first video
        super().__init__(image_processor, tokenizer, chat_template=chat_template or CHAT_TEMPLATE)

    @property
    def videos(self) -> AmaliaVLVideoProcessor:
        """What turns videos into frames; no attribute of transformers' name, whose loading needs torchvision."""
        return AmaliaVLVideoProcessor(self.image_processor, self.num_frames, self.fps)

    def __call__(self, images: Any = None, text: Any = None, videos: Any = None, **kwargs: Any) -> BatchFeature:
        """Process rendered text, images and videos, as the class says.

        Raises:
            ValueError: Slots and images or videos do not agree, one of them cannot be used, or a text cannot be
                tokenised.
            ImportError: A video is encoded, and PyAV is not installed.
        """
        if text is not None:
            given = {self.image_token: given_images(images), str(self.video_token): given_videos(videos)}
            text = settled([text] if isinstance(text, str) else list(text), given)
            for sample, content in enumerate(text):
                if isinstance(content, str):
                    require_characters(content, f"sample {sample}")
        reader, text = self._reader(text)
        if videos is not None:
            reader = copy.copy(reader)
            reader.video_processor = self.videos  # for this call alone, in which transformers looks for that name
        return super(AmaliaVLProcessor, reader).__call__(images=images, text=text, videos=videos, **kwargs)

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
            ValueError: A role that the template does not know, a content that is missing or no text, a template that
                cannot be rendered, or one of the reasons of the call.
        """
        kwargs.pop("sanitize_control_tokens", None)
        batched = bool(conversation) and not isinstance(conversation[0], Mapping)
        chats = [getattr(chat, "messages", chat) for chat in (conversation if batched else [conversation])]
        source = self._template(chat_template)
        tokens = control_tokens(self.tokenizer, self.slots, source)
        for number, chat in enumerate(chats):
            self._require_plain(chat, source, f"conversation {number}", tokens)
        options = {"tools": mark_values(tools, tokens), "documents": mark_values(documents, tokens), **kwargs}

        def render(turns: Any, **more: Any) -> Any:
            with of_template():
                return super(AmaliaVLProcessor, self).apply_chat_template(turns, chat_template, **options, **more)

        if tokenize:
            counts = zip(chats, images_of(chats, kwargs), held_by(chats, VIDEOS), strict=True)
            marked = [marked_chat(chat, tokens, self.slots, given) for chat, *given in counts]
            return render(marked if batched else marked[0], tokenize=True)
        rendered = [self._rendered(chat, tokens, render) for chat in chats]
        return rendered if batched else rendered[0]

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
        texts, spans = self._with_answers(chats, names)
        encoded = self._tokenised(texts, return_offsets_mapping=True)
        rows = zip(encoded["input_ids"], encoded["offset_mapping"], spans, strict=True)
        return [ChatTokens(np.array(ids), tokens_within(offsets, answers)) for ids, offsets, answers in rows]

    def count_tokens(self, chats: Sequence[Sequence[Mapping[str, Any]]], names: Sequence[str]) -> list[int]:
        """Count the tokens that `encode_answers` makes of each conversation, which takes less time.

        Args:
            chats: The conversations.
            names: What to call each in errors.

        Raises:
            ValueError: As there.
        """
        texts, _ = self._with_answers(chats, names)
        reader, marked = self._reader(texts)
        backend = reader.tokenizer.backend_tokenizer  # asked itself, it need not say where each token stands
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = reader.tokenizer.split_special_tokens
        return list(map(len, backend.encode_batch_fast(marked, add_special_tokens=not self._opened(texts))))

    def _with_answers(
        self, chats: Sequence[Sequence[Mapping[str, Any]]], names: Sequence[str]
    ) -> tuple[list[str], list[list[tuple[int, int]]]]:
        """Render conversations, and say of each between which characters the assistant speaks."""
        source, tokens = self._template(None), self.control_tokens
        for chat, name in zip(chats, names, strict=True):
            self._require_plain(chat, source, name, tokens)
        with of_template():
            texts, spans = render_jinja_template(
                [mark_turns(chat, tokens) for chat in chats],
                chat_template=source,
                return_assistant_tokens_mask=True,
                **self.tokenizer.special_tokens_map,
            )
        return texts, spans

    def _tokenised(self, text: list[str], **options: Any) -> BatchEncoding:
        """Tokenise rendered chats."""
        reader, chats = self._reader(text)
        return reader.tokenizer(chats, add_special_tokens=not self._opened(text), **options)

    def _opened(self, text: list[str]) -> bool:
        """Tell whether the template writes `<s>`; the tokenizer adds it only where it does not."""
        return bool(self.tokenizer.bos_token) and text[0].startswith(self.tokenizer.bos_token)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> list[str]:
        """Save all parts, the tokenizer without the padding and cutting that the last call happened to set in it."""
        backend = self.tokenizer.backend_tokenizer
        backend.no_padding()
        backend.no_truncation()
        saved: list[str] = super().save_pretrained(*args, **kwargs)
        return saved

    def to_dict(self) -> dict[str, Any]:
        """Give what is saved: of videos nothing, where the model reads none."""
        saved: dict[str, Any] = super().to_dict()
        return {name: value for name, value in saved.items() if self.video_token or name not in OF_VIDEOS}

    @property
    def model_input_names(self) -> list[str]:
        """Names of what a call may return."""
        return [*super().model_input_names, *(AmaliaVLVideoProcessor.model_input_names if self.video_token else ())]

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """What acts when it is tokenised, as tokenizer and template are now."""
        return control_tokens(self.tokenizer, self.slots, self._template(None))

    def literal_tokens(
        self, turns: Sequence[Mapping[str, Any]], where: str, tokens: tuple[str, ...] | None = None
    ) -> list[str]:
        """List the control tokens that stand literally in the texts of a conversation with typed contents.

        Args:
            turns: The conversation.
            where: What to call it in errors.
            tokens: `control_tokens`, which take a millisecond where a tokenizer has hundreds; looked up if left out.

        Raises:
            ValueError: Its roles or texts are none that `apply_chat_template` takes.
        """
        tokens = self.control_tokens if tokens is None else tokens
        self._require_plain(turns, self._template(None), where, tokens)
        return literal_tokens(
            [part["text"] for turn in turns for part in turn["content"] if part["type"] == "text"], tokens
        )

    def _template(self, name: str | None) -> str:
        """Give the source of a template: the processor's own, one of its several by name, or the text itself."""
        own = self.chat_template
        if isinstance(own, Mapping):
            return str(own.get(name or "default", name or ""))
        return str(name or own)

    @property
    def slots(self) -> tuple[str, ...]:
        """What stands for an image, and, where the model reads videos, for a video."""
        return (self.image_token,) if self.video_token is None else (self.image_token, self.video_token)

    def _require_plain(self, chat: Any, source: str, where: str, tokens: tuple[str, ...]) -> None:
        """Hold a conversation to what can be rendered, and to no videos where the model reads none."""
        require_plain(chat, source, where, tokens)
        if self.video_token is None and count_slots(chat, VIDEO_TOKEN, VIDEOS)[0]:
            raise ValueError(f"{where}: A message may hold parts of type 'image' and 'text', not 'video'{NO_VIDEOS}")

    def _rendered(self, chat: Sequence[Mapping[str, Any]], tokens: tuple[str, ...], render: Any) -> str:
        """Render a conversation whose images and videos are not known yet."""
        return rendered_chat(chat, tokens, self.slots, render)

    def _reader(self, text: list[Any] | None) -> tuple["AmaliaVLProcessor", list[Any] | None]:
        """Give who reads these texts, and how they are written for it: the processor, or its twin if one is marked."""
        unusual = [content for content in text or () if isinstance(content, str) and not content.isascii()]
        tokens = control_tokens(self.tokenizer, self.slots, self.chat_template) if unusual else ()
        for content in unusual:
            require_marks(content, tokens, repr(content[:40]))
        if text is None or not any(MARK in content for content in unusual):
            return self, text
        twin = copy.copy(self)
        twin.shown = {rename_tokens(slot, tokens): slot for slot in self.slots}
        twin.tokenizer, twin.image_token = twin_of(self.tokenizer, tokens), rename_tokens(self.image_token, tokens)
        twin.video_token = self.video_token and rename_tokens(self.video_token, tokens)
        return twin, [rename_tokens(content, tokens) if isinstance(content, str) else content for content in text]

    def num_visual_tokens(self, height: int, width: int, max_tiles: int | None = None) -> int:
        """Count the positions an image would take in the decoder, without the image.

        Args:
            height: Height of the image, in pixels.
            width: Width of the image, in pixels.
            max_tiles: Most tiles, if not the processor's own; 0 turns tiling off.
        """
        return self.image_processor.num_visual_tokens(height, width, max_tiles=max_tiles)

    def image_tokens(self, sizes: Sequence[tuple[int, int]], max_tiles: int | None = None) -> list[int]:
        """Count the positions that each image of one sample would take, as `AmaliaVLImageProcessor` does.

        Args:
            sizes: Height and width of each, in pixels.
            max_tiles: Most tiles, if not the processor's own; 0 turns tiling off.
        """
        return self.image_processor.image_tokens(sizes, max_tiles=max_tiles)

    def num_video_tokens(self, frames: int) -> int:
        """Count the positions that a video of so many frames takes in the decoder."""
        return self.videos.num_visual_tokens(frames)

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

    def replace_video_token(self, video_inputs: Mapping[str, Any], video_idx: int, **kwargs: Any) -> str:
        """Give what a video's slot in the text becomes.

        Args:
            video_inputs: What the video processor returned.
            video_idx: Position of the video among those of the call.
            **kwargs: Options of the call; size and patch size count.
        """
        options = {name: kwargs[name] for name in ("size", "patch_size") if name in kwargs}
        frames = int(video_inputs["video_frames"][video_idx])
        return str(self.video_token) * self.videos.num_visual_tokens(frames, **options)

    def prepare_inputs_layout(self, images: Any = None, text: Any = None, **kwargs: Any) -> tuple[Any, ...]:
        """Load the images, and drop the `<s>` that opens a rendered chat where the tokenizer adds its own."""
        images, text, *rest = super().prepare_inputs_layout(images=images, text=text, **kwargs)
        adds_special = kwargs.get("text_kwargs", {}).get("add_special_tokens", kwargs.get("add_special_tokens", True))
        if text is not None and adds_special and self._adds_bos():
            bos = self.tokenizer.bos_token
            text = [sample.removeprefix(bos) if isinstance(sample, str) else sample for sample in text]
        videos, audio = rest
        videos = videos if flatten_videos(videos) else None
        return (images if flatten_images(images) else None, text, videos, audio)

    def _adds_bos(self) -> bool:
        return bool(self.tokenizer.bos_token) and self.tokenizer("").input_ids[:1] == [self.tokenizer.bos_token_id]

    def validate_inputs(self, images: Any = None, text: Any = None, videos: Any = None, **kwargs: Any) -> None:
        """Check that every text has as many slots as images, and as videos.

        Raises:
            ValueError: If not, with the sample's index; or if there is nothing to process, or anything but text,
                images and videos that the model reads.
        """
        reads = "text and images" if self.video_token is None else "text, images and videos"
        unread = {"audio": kwargs.get("audio"), "videos": videos if self.video_token is None else None}
        if other := [name for name, media in unread.items() if media is not None]:
            why = NO_VIDEOS if "videos" in other else ""
            raise ValueError(f"AMALIA-VL reads {reads}, not {' or '.join(other)}{why}")
        if text is None:
            if images is None and videos is None:
                raise ValueError("there is neither text nor an image to process")
            return
        for sample, content in enumerate(text):
            if not isinstance(content, str):
                kind = type(content).__name__
                raise ValueError(f"text must be a string or a list of strings; sample {sample} is {kind}")
        if not text:
            raise ValueError("text is an empty list")
        for slot, given in zip(self.slots, (loaded_images(images), given_videos(videos)), strict=False):
            require_slots(text, slot, given, self.shown.get(slot, slot))

    def _process_images(self, images: Any, **kwargs: Any) -> tuple[BatchFeature, list[str]]:
        """Cut the images, and give what each slot becomes; the base class cannot flatten samples without images."""
        features = self.image_processor(images, **kwargs)
        count = len(_image_layouts(features))
        return features, [self.replace_image_token(features, index, **kwargs) for index in range(count)]

    def _process_videos(self, videos: Any, **kwargs: Any) -> tuple[BatchFeature, list[str]]:
        """Take the videos' frames, and give what each slot becomes."""
        features = self.video_processor(videos, **kwargs)
        count = len(features["video_frames"])
        return features, [self.replace_video_token(features, index, **kwargs) for index in range(count)]

    def _check_special_mm_tokens(self, text: list[str], text_inputs: Mapping[str, Any], modalities: list[str]) -> None:
        """Refuse texts whose visual tokens were cut by truncation.

        Raises:
            ValueError: Names the first such sample.
        """
        try:
            super()._check_special_mm_tokens(text, text_inputs, modalities)
        except ValueError as error:
            for sample, (content, ids) in enumerate(zip(text, text_inputs["input_ids"], strict=True)):
                wanted = sum(content.count(slot) for slot in self.slots)
                kept = sum(token in (self.image_token_id, self.video_token_id) for token in list(ids))
                if wanted != kept:
                    raise ValueError(
                        f"truncation to {len(ids)} tokens cuts an image: sample {sample} has {wanted} visual tokens, "
                        f"{kept} would be left. Raise max_length, lower max_tiles or leave truncation off"
                    ) from error
            raise

    def _get_num_multimodal_tokens(
        self,
        image_sizes: Iterable[tuple[int, int]] | None = None,
        video_sizes: Iterable[tuple[int, int, int]] | None = None,
        **kwargs: Any,
    ) -> MultiModalData:
        """Tell servers (vLLM) what images of `(height, width)` and videos of `(frames, height, width)` will take.

        Returns:
            `num_image_tokens` of each image, and `num_image_patches`: its rows in `pixel_values` and `tile_layouts`;
            `num_video_tokens` of each video.
        """
        videos = None if video_sizes is None else [self.num_video_tokens(frames) for frames, *_ in video_sizes]
        if image_sizes is None:
            return MultiModalData(num_video_tokens=videos)
        known = self.image_processor.valid_kwargs.__annotations__.keys() - {"return_tensors"}
        options = kwargs.get("images_kwargs", {}) | {name: kwargs[name] for name in known & kwargs.keys()}
        sizes = list(image_sizes)
        return MultiModalData(
            num_image_tokens=[self.image_processor.num_visual_tokens(*size, **options) for size in sizes],
            num_image_patches=[self.image_processor.tile_layout(*size, **options).num_tiles for size in sizes],
            num_video_tokens=videos,
        )

    @classmethod
    def get_processor_dict(
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read saved options; those of a `llava_next` directory are checked and translated.

        Raises:
            ValueError: If visual tokens would be counted in a way AMALIA-VL does not.
        """
        hub_options = {name: kwargs[name] for name in HUB_OPTIONS if name in kwargs}
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
        return options | video_options(options, pretrained_model_name_or_path, **hub_options), unused

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, processor_dict: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        """Load our image processor, whatever the directory names; a tokenizer's template counts as its own.

        A part that is given, as vLLM gives its tokenizer, is not loaded.

        Raises:
            ValueError: An option is of neither of them, nor of loading.
        """
        given = {name: kwargs.pop(name) for name in cls.get_attributes() if name in kwargs}
        images = {*AmaliaVLImageProcessor.valid_kwargs.__annotations__, *STANDARD}
        if not kwargs.pop("return_unused_kwargs", False):
            require_known(kwargs, [*sorted(images), *TOKENIZER_OPTIONS, *OWN_OPTIONS], cls.__name__)
        image_options = {name: value for name, value in kwargs.items() if name in images or name in LOADING}
        image_processor = given.get("image_processor") or AmaliaVLImageProcessor.from_pretrained(
            pretrained_model_name_or_path, **image_options
        )
        if processor_dict is not None and (videos := processor_dict.pop("video_processor", None)):
            require_same_pixels(image_processor.to_dict(), videos)
        kwargs = {name: value for name, value in kwargs.items() if name not in images}
        try:
            tokenizer = given.get("tokenizer") or cls._load_tokenizer_from_pretrained(
                "tokenizer", pretrained_model_name_or_path, **kwargs
            )
        except RecursionError as error:
            raise ValueError(f"the tokenizer of {pretrained_model_name_or_path} has lists in one another") from error
        if processor_dict is not None and tokenizer.chat_template:
            processor_dict.setdefault("chat_template", tokenizer.chat_template)
        return [image_processor, tokenizer]


def _knows(tokenizer: PreTrainedTokenizerBase, token: str) -> bool:
    return tokenizer.convert_tokens_to_ids(token) not in (None, tokenizer.unk_token_id)


def _image_layouts(features: Mapping[str, Any]) -> list[TileLayout]:
    """Read the layout of each image off the layouts of all tiles."""
    layouts: list[TileLayout] = []
    rows, row = features["tile_layouts"].tolist(), 0
    while row < len(rows):
        layouts.append(TileLayout(*rows[row]))
        row += layouts[-1].num_tiles
    return layouts


AmaliaVLProcessor.register_for_auto_class()
