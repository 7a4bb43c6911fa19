"""Slots of images and videos in chats: the template that writes them, which ones act, and whether each has its own.

In a part of its type a slot always acts. In a content that is a string, `<image>` or `<video>` is one only where there
are as many as images or videos; so a chat that is rendered before they are known keeps a reading for each case.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .image_processing_amalia_vl import flatten_images
from .plain_text_amalia_vl import IMAGES, VIDEOS, Turns, count_images, count_slots, mark_turns
from .video_loading_amalia_vl import flatten_videos, is_frames

# ChatML. The sequence opens with <s> because servers tokenise rendered chats without adding it; the processor removes
# it where the tokenizer adds its own. An image or video is followed by a line break, unless it ends the turn, so that
# typed content reads like the evaluation's "<image>\n" + question. Training learns the answer and its <|im_end|>.
CHAT_TEMPLATE = r"""
{%- macro render(content) -%}
  {%- if content is string -%}
    {{- content -}}
  {%- else -%}
    {%- for part in content -%}
      {%- if part['type'] in ['image', 'video'] -%}
        {{- '<' ~ part['type'] ~ ('>' if loop.last else '>\n') -}}
      {%- elif part['type'] == 'text' -%}
        {{- part['text'] -}}
      {%- else -%}
        {{- raise_exception("A message may hold parts of type 'image', 'video' and 'text', not '" ~ part['type'] ~ "'") -}}
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
""".strip()  # noqa: E501

Slots = frozenset[str]


class Given(NamedTuple):
    """Images or videos of a call.

    Attributes:
        kind: `image` or `video`.
        total: How many there are.
        by_text: How many each text has, if they come nested.
    """

    kind: str
    total: int
    by_text: list[int] | None


def given_images(images: Any) -> Given:
    """Count images that may not be loaded yet."""
    nested = isinstance(images, list | tuple) and any(isinstance(entry, list | tuple) for entry in images)
    return Given("image", count_images(images), [count_images(entry) for entry in images] if nested else None)


def loaded_images(images: Any) -> Given:
    """Count images that are loaded."""
    nested = isinstance(images, list) and any(isinstance(entry, list) for entry in images)
    by_text = [len(flatten_images(entry)) for entry in images] if nested else None
    return Given("image", len(flatten_images(images)), by_text)


def given_videos(videos: Any) -> Given:
    """Count videos; a list of frames is one."""
    listed = isinstance(videos, list | tuple) and not is_frames(videos)
    nested = listed and any(isinstance(entry, list | tuple) and not is_frames(entry) for entry in videos)
    by_text = [len(flatten_videos(entry)) for entry in videos] if nested else None
    return Given("video", len(flatten_videos(videos)), by_text)


class RenderedChat(str):
    """A rendered chat with slots in contents that are strings, as they act if nobody says how many images there are.

    Attributes:
        readings: The chat by the slots that act; the call, which knows images and videos, chooses.
        usual: The slots that act here.
    """

    readings: Mapping[Slots, str]
    usual: Slots

    @classmethod
    def of(cls, readings: Mapping[Slots, str], usual: Slots) -> "RenderedChat":
        """Make one.

        Args:
            readings: A text for each set of slots.
            usual: One of those sets.
        """
        chat = cls(readings[usual])
        chat.readings, chat.usual = readings, usual
        return chat


def marked_chat(
    chat: Turns, tokens: tuple[str, ...], slots: Sequence[str], given: Sequence[int]
) -> list[dict[str, Any]]:
    """Mark a conversation's texts; a slot in strings acts if there are as many as images, or videos.

    Args:
        chat: The conversation.
        tokens: Control tokens.
        slots: What stands for an image, and maybe for a video.
        given: How many of each there are.
    """
    counts = dict(zip(slots, given, strict=False))
    written = _written(chat, slots).items()
    return mark_turns(
        chat, tokens, [slot for slot, (typed, strings) in written if typed != counts[slot] == typed + strings]
    )


def rendered_chat(chat: Turns, tokens: tuple[str, ...], slots: Sequence[str], render: Callable[[Any], Any]) -> str:
    """Render a conversation whose images and videos are not known yet.

    Args:
        chat: The conversation.
        tokens: Control tokens.
        slots: What stands for an image, and maybe for a video.
        render: The template.
    """
    written = _written(chat, slots)
    if not written:
        return str(render(mark_turns(chat, tokens)))
    listed = [some for size in range(len(written) + 1) for some in itertools.combinations(written, size)]
    readings = {frozenset(some): str(render(mark_turns(chat, tokens, some))) for some in listed}
    return RenderedChat.of(readings, frozenset(slot for slot, (typed, _) in written.items() if not typed))


def _written(chat: Turns, slots: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Count, by slot, typed parts and what stands in strings; only of slots that do."""
    counts = {slot: count_slots(chat, slot, types) for slot, types in zip(slots, (IMAGES, VIDEOS), strict=False)}
    return {slot: count for slot, count in counts.items() if count[1]}


def settled(texts: Sequence[Any], given: Mapping[str, Given]) -> list[Any]:
    """Choose, for each chat with slots in strings, the reading that has as many as images and videos.

    Args:
        texts: Rendered chats, and whatever else a call is given.
        given: Images and videos, by the slot that stands for them.
    """
    acting = [set(text.usual) if isinstance(text, RenderedChat) else set() for text in texts]
    for slot, media in given.items():
        groups = [(range(len(texts)), media.total)]
        if media.by_text is not None and len(media.by_text) == len(texts):
            groups = [(range(place, place + 1), count) for place, count in enumerate(media.by_text)]
        for places, count in groups:
            acts = _fitting([texts[place] for place in places], slot, count)
            for place in places if acts is not None else ():
                (acting[place].add if acts else acting[place].discard)(slot)
    return [
        text.readings[_held(text, slots)] if isinstance(text, RenderedChat) else text
        for text, slots in zip(texts, acting, strict=True)
    ]


def _fitting(texts: Sequence[Any], slot: str, count: int) -> bool | None:
    """Say whether slots in strings have to act for there to be so many; None where neither fits."""
    for acts in (True, False):
        readings = [
            text.readings[_held(text, {slot} if acts else ())] if isinstance(text, RenderedChat) else text
            for text in texts
        ]
        if sum(text.count(slot) for text in readings if isinstance(text, str)) == count:
            return acts
    return None


def _held(chat: RenderedChat, slots: Iterable[str]) -> Slots:
    """Keep the slots that stand in strings of this chat."""
    return frozenset(slots) & max(chat.readings, key=len)


def require_slots(texts: Sequence[str], slot: str, given: Given, shown: str) -> None:
    """Hold the slots of each text against its images or videos.

    Args:
        texts: Rendered chats.
        slot: What stands for one.
        given: What there is.
        shown: What errors call the slot.

    Raises:
        ValueError: A text has others than slots; names it by its position.
    """
    wanted = [text.count(slot) for text in texts]
    if given.by_text is not None and len(given.by_text) != len(wanted):
        raise ValueError(
            f"{len(wanted)} texts but {len(given.by_text)} lists of {given.kind}s; give a list for each text"
        )
    counts = given.by_text if given.by_text is not None else _deal(given.total, wanted)
    for sample, (slots, there) in enumerate(zip(wanted, counts, strict=True)):
        if there != slots:
            remedy = f"put {shown} into the text once for each {given.kind}"
            raise ValueError(
                f"sample {sample} has {slots} {shown} slots but {there} {given.kind}s"
                f"{'' if given.by_text is not None else ' remain for it'}; does its text hold a literal {shown}? "
                f"{remedy if there > slots else f'lacks a turn its {given.kind}?'}"
            )


def _deal(left: int, wanted: Sequence[int]) -> list[int]:
    """Hand out in order: to each text what its slots ask, to the last one all that remain."""
    counts = []
    for slots in wanted[:-1]:
        counts.append(min(slots, left))
        left -= counts[-1]
    return [*counts, left]
