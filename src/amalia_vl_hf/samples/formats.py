"""Rows of public datasets, whatever their format, read into one record.

A record holds `images` and `videos` (cells as the dataset stores them, undecoded) and either `messages`, or `prompt`,
`chosen` and `rejected`: lists of `role` / `content` turns. The format is told from the columns; those that none needs
are left out.

| format | columns |
|---|---|
| TRL conversations, Nemotron-VLM v2 | `messages`; images in a column, or inside the messages |
| TRL prompts with a completion | `prompt`, `completion` |
| FineVision | `texts`: `user` and `assistant` |
| LLaVA, Nemotron-VLM v1 | `conversations`: `from` and `value`, with `<image>` placeholders |
| LLaVA-Video-178k | the same with `video`; its `<image>` placeholders, or `<video>`, stand for the video |
| Multi-PixMo | `image_url` and `question`, `answer`, or `caption` |
| PD12M | `url`, `caption` |
| TRL preferences | `prompt`, `chosen`, `rejected` |
| InternVL MPO (MMPR) | `question`, `chosen`, `rejected`, with `<image>` placeholders |

Images are looked for in `images`, `image`, `image_url` and `url`, videos in `videos` and `video`: one cell or several.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from ..processing.plain_text_amalia_vl import require_text
from ..processing.video_loading_amalia_vl import is_frames

Row = Mapping[str, Any]
Record = dict[str, Any]
Method = Literal["sft", "dpo"]

# Ours: datasets of captions have no question.
CAPTION_REQUESTS = {
    "pt": "Descreve a imagem.",
    "en": "Describe the image.",
    "fr": "Décris l'image.",
    "de": "Beschreibe das Bild.",
    "it": "Descrivi l'immagine.",
    "es": "Describe la imagen.",
}
_ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant", "system": "system"}
IMAGE_SLOT = "<image>"  # stands for an image in plain text
VIDEO_SLOT = "<video>"  # stands for a video
IMAGE_COLUMNS = ("images", "image", "image_url", "url")
VIDEO_COLUMNS = ("videos", "video")


class Format(NamedTuple):
    """One way of writing samples down.

    Args:
        name: What people call it.
        method: What it can train, `"sft"` or `"dpo"`.
        columns: Those that tell it apart.
        read: Turns a row's columns into the texts of a record.
        placeholders: Whether `<image>` and `<video>` in its users' plain text are slots; elsewhere they are words.
    """

    name: str
    method: Method
    columns: tuple[str, ...]
    read: Callable[[Row], Record]
    placeholders: bool = False


def read_record(row: Row, method: str, sample: str) -> Record:
    """Read a row of any known format.

    Args:
        row: Columns and their values; a column without a value counts as missing.
        method: `"sft"` for conversations, `"dpo"` for preference pairs.
        sample: Where the row comes from, for errors.

    Returns:
        `images`, `videos` where there are any, and `messages`, or `prompt`, `chosen` and `rejected`.

    Raises:
        ValueError: The columns fit no format of the method, or what they hold is not what the format asks for.
    """
    columns = {name: value for name, value in row.items() if value is not None}
    kind = detect_format(columns, method, sample)
    try:
        record = kind.read(columns)
        images = _embedded(record, "image", _column(columns, IMAGE_COLUMNS))
        videos = _embedded(record, "video", _videos(_column(columns, VIDEO_COLUMNS)))
        if kind.placeholders and (images or videos):
            _fill_placeholders(record, len(images), len(videos))
        return {"images": images, **({"videos": videos} if videos else {}), **record}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"a turn lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{sample}: not what {kind.name} should hold: {reason}") from error


def detect_format(columns: Mapping[str, Any], method: str, sample: str) -> Format:
    """Tell a format from the names of its columns.

    Raises:
        ValueError: None fits; lists the columns found and those of every known format.
    """
    fitting = [kind for kind in FORMATS if all(name in columns for name in kind.columns)]
    for kind in fitting:
        if kind.method == method:
            return kind
    needs = {"sft": "conversations", "dpo": "preference pairs"}[method]
    if fitting:
        raise ValueError(
            f"{sample}: {fitting[0].name} (columns {', '.join(columns)}), but this stage needs {needs}; "
            "is it the data of another stage?"
        )
    known = "; ".join(f"{kind.name}: {', '.join(kind.columns)}" for kind in FORMATS if kind.method == method)
    held = ", ".join(columns) or "nothing"
    raise ValueError(f"{sample}: needs {needs} but holds {held}; known formats: {known}")


def language_of(row: Row, sample: str) -> str | None:
    """Read the language that a row says its texts are in.

    Raises:
        ValueError: It is no text.
    """
    language = row.get("language")
    if language is not None and not isinstance(language, str):
        raise ValueError(f"{sample}: its language must be text, not {type(language).__name__}")
    if language:
        require_text(language, f"{sample}: its language")
    return language


def _read_messages(row: Row) -> Record:
    return {"messages": _turns(row["messages"], "user")}


def _read_completion(row: Row) -> Record:
    return {"messages": _turns(row["prompt"], "user") + _turns(row["completion"], "assistant")}


def _read_finevision(row: Row) -> Record:
    texts = _transposed(row["texts"])
    return {"messages": [turn for text in texts for turn in _question(text["user"], text["assistant"])]}


def _read_llava(row: Row) -> Record:
    turns = _transposed(row["conversations"])
    return {"messages": [_turn({"role": turn["from"], "content": turn["value"]}) for turn in turns]}


def _read_question(row: Row) -> Record:
    return {"messages": _question(row["question"], row["answer"])}


def _read_caption(row: Row) -> Record:
    request = CAPTION_REQUESTS.get(str(row.get("language"))[:2].lower(), CAPTION_REQUESTS["en"])
    return {"messages": _question(request, row["caption"])}


def _read_preferences(row: Row) -> Record:
    answers = {name: _turns(row[name], "assistant") for name in ("chosen", "rejected")}
    return {"prompt": _turns(row["prompt" if "prompt" in row else "question"], "user"), **answers}


FORMATS = (
    Format("TRL conversations, Nemotron-VLM v2", "sft", ("messages",), _read_messages),
    Format("TRL prompts with a completion", "sft", ("prompt", "completion"), _read_completion),
    Format("FineVision", "sft", ("texts",), _read_finevision),
    Format("LLaVA, Nemotron-VLM v1", "sft", ("conversations",), _read_llava, placeholders=True),
    Format("Multi-PixMo questions", "sft", ("image_url", "question", "answer"), _read_question),
    Format("Multi-PixMo captions", "sft", ("image_url", "caption"), _read_caption),
    Format("PD12M", "sft", ("url", "caption"), _read_caption),
    Format("TRL preferences", "dpo", ("prompt", "chosen", "rejected"), _read_preferences),
    Format("InternVL MPO (MMPR)", "dpo", ("question", "chosen", "rejected"), _read_preferences, placeholders=True),
)


def _question(question: str, answer: str) -> list[Record]:
    return [_turn({"role": "user", "content": question}), _turn({"role": "assistant", "content": answer})]


def _turns(value: Any, role: str) -> list[Record]:
    """Read turns, or one turn that is only text, of the given role."""
    if isinstance(value, str):
        return [_turn({"role": role, "content": value})]
    return [_turn(turn) for turn in _transposed(value)]


def _turn(turn: Row) -> Record:
    role, content = turn["role"], turn["content"]
    if role not in _ROLES:
        raise ValueError(f"role {role!r} is none of {', '.join(_ROLES)}")
    if isinstance(content, str):
        return {"role": _ROLES[role], "content": _text(content)}
    return {"role": _ROLES[role], "content": [_part(part) for part in content]}


def _part(part: Row) -> Record:
    kind = part["type"]
    if kind == "text" and isinstance(part["text"], str):
        return {"type": "text", "text": _text(part["text"])}
    if kind in ("image", "video"):
        return {"type": kind, **({kind: part[kind]} if part.get(kind) is not None else {})}
    raise ValueError(f"a part of type {kind!r}; messages may hold images, videos and text")


def _text(text: str) -> str:
    """Hold a text to what can be tokenised: JSON may hold halves of a character, and noncharacters."""
    require_text(text, "its text")
    return text


def _column(columns: Row, names: tuple[str, ...]) -> list[Any]:
    return _cells(next((columns[name] for name in names if name in columns), None))


def _videos(cells: list[Any]) -> list[Any]:
    """Take the names of pictures together for one video, its frames."""
    return [cells] if is_frames(cells) else cells


def _embedded(record: Record, kind: str, listed: list[Any]) -> list[Any]:
    """Take the images, or the videos, that stand inside the turns out of them, leaving their slots."""
    turns = [turn for texts in record.values() for turn in texts]
    parts = [part for turn in turns if isinstance(turn["content"], list) for part in turn["content"]]
    inside = [part.pop(kind) for part in parts if kind in part]
    if inside and listed:
        raise ValueError(f"{len(inside)} {kind}s inside the messages and {len(listed)} in a column")
    return inside or listed


def _fill_placeholders(record: Record, images: int, videos: int) -> None:
    """Make slots of the placeholders in the users' texts.

    Raises:
        ValueError: There are some, but not as many as images, or videos.
    """
    turns = [turn for texts in record.values() for turn in texts]
    asking = [turn for turn in turns if turn["role"] == "user" and isinstance(turn["content"], str)]
    kinds = {
        slot: kind for slot, kind, count in ((IMAGE_SLOT, "image", images), (VIDEO_SLOT, "video", videos)) if count
    }
    if not images and any(IMAGE_SLOT in turn["content"] for turn in asking):
        kinds = {IMAGE_SLOT: "video"}  # as LLaVA-Video-178k writes
    for slot, kind in kinds.items():
        placeholders = sum(turn["content"].count(slot) for turn in asking)
        if placeholders not in (0, count := videos if kind == "video" else images):
            raise ValueError(f"{placeholders} {slot} placeholders but {count} {kind}s")
    for turn in asking:
        if any(slot in turn["content"] for slot in kinds):
            turn["content"] = list(_split_at_placeholders(turn["content"], kinds))


def _split_at_placeholders(text: str, kinds: Mapping[str, str]) -> Iterator[Record]:
    """Cut a text; the line break that the chat template writes after an image is left to it."""
    before, *after = re.split(f"({'|'.join(kinds)})", text)
    if before:
        yield {"type": "text", "text": before}
    for slot, words in zip(after[::2], after[1::2], strict=True):
        yield {"type": kinds[slot]}
        if words := words.removeprefix("\n"):
            yield {"type": "text", "text": words}


def _transposed(value: Any) -> list[Any]:
    """Undo what parquet may do to a list of structs: a struct of lists."""
    if isinstance(value, Mapping):
        return [dict(zip(value, entry, strict=True)) for entry in zip(*value.values(), strict=True)]
    if not isinstance(value, list | tuple):
        raise ValueError(f"turns must be a list, not {type(value).__name__}")
    return list(value)


def _cells(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
