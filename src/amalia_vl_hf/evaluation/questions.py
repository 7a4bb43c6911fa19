"""Rows of a benchmark as questions: what is asked with which images, and what an answer is held against."""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image, ImageDraw

from ..fields import shown
from ..processing.decoding_amalia_vl import read_header
from ..processing.image_loading_amalia_vl import load_image
from ..processing.video_loading_amalia_vl import VideoReader
from ..samples.images import is_address, is_there, located
from .parsing import LETTERS, box, without_reasoning
from .tasks import Benchmark

if TYPE_CHECKING:
    from ..samples.sources import Rows

Message = dict[str, Any]  # `role` and `content`: a list of `{"type": "text", "text": ...}` and `{"type": "image"}`
RED = "red"  # of the box that RefCOCO's captions are about
EUROPEAN = "pt-PT"  # what an answer that is judged by its variety is held against
_NUMBERED = re.compile(r"<image (\d+)>")


class BenchmarkQuestion(NamedTuple):
    """One question.

    Args:
        key: SHA-256 of what decides on the answer: task, row, images and messages.
        place: Number of its row, and of the expression in it.
        messages: What is asked; its slots are in the order of the images and videos.
        item: What an answer is held against: `references`, `options`, `dataset`, `category`, `question_id`, `image`.
        sizes: Height and width of each image, in pixels.
    """

    key: str
    place: tuple[int, int]
    messages: list[Message]
    item: dict[str, Any]
    sizes: list[tuple[int, int]]


class QuestionPart(NamedTuple):
    """One of a row's questions.

    Args:
        messages: What is asked.
        references: What the answer is held against.
        item: What else of the item is its own.
    """

    messages: list[Message]
    references: list[Any]
    item: dict[str, Any] = {}


class Questions:
    """A benchmark's questions over its rows; images are read when they are asked for.

    Args:
        task: The benchmark.
        rows: Its rows.
        folder: Where relative paths of images start.
        limit: Rows to take, all of them where it is None.
    """

    def __init__(self, task: Benchmark, rows: Rows, folder: Path, limit: int | None = None) -> None:
        self.task = task
        self.rows = rows
        self.folder = folder
        self.limit = limit
        count = len(rows) if limit is None else min(limit, len(rows))
        if not count:
            raise ValueError(f"{task.name}: there are no rows")
        self.questions = [question for row in range(count) for question in self._read(row)]

    def __len__(self) -> int:
        return len(self.questions)

    def images(self, question: BenchmarkQuestion) -> list[Any]:
        """Read a question's images, with a red box where the benchmark draws one; videos are left as stored."""
        row, _ = question.place
        values = self._values(row)
        messages, cells = self._messages(values, row)
        kinds = enumerate(zip(_slots(messages), cells, strict=True))
        images = [
            load_image(self._cell(cell, row), number) if kind == "image" else self._cell(cell, row, kind)
            for number, (kind, cell) in kinds
        ]
        if self.task.row_form == "outlined":
            left, top, width, height = _value(values, self.task.columns.box, self.rows.name(row))
            ImageDraw.Draw(images[0]).rectangle([left, top, left + width, top + height], outline=RED)
        return images

    def picture(self, question: BenchmarkQuestion) -> Image.Image | None:
        """Give a question's first image, or a video's first frame; None where it has neither."""
        first = next(iter(self.images(question)), None)
        if first is None or isinstance(first, Image.Image):
            return first
        return Image.fromarray(next(VideoReader(first, 0).frames([0])))

    def rounds(self) -> list[list[BenchmarkQuestion]]:
        """Group questions by what has to be answered before: turns of conversations, one after the other."""
        if self.task.row_form != "turns":
            return [self.questions]
        turns = range(1 + max(question.place[1] for question in self.questions))
        return [[question for question in self.questions if question.place[1] == turn] for turn in turns]

    def with_history(self, question: BenchmarkQuestion, answers: Mapping[str, str]) -> BenchmarkQuestion:
        """Put the model's own answers, by their questions' keys, between a conversation's turns."""
        row, turn = question.place
        if self.task.row_form != "turns" or not turn:
            return question
        said = [answers[earlier.key] for earlier in self._conversations[row][:turn]]
        messages = [question.messages[0]]
        for answer, message in zip(said, question.messages[1:], strict=True):
            reply = {"type": "text", "text": without_reasoning(answer, self.task.reasoning)}
            messages += [{"role": "assistant", "content": [reply]}, message]
        return question._replace(messages=messages)

    @cached_property
    def _conversations(self) -> dict[int, list[BenchmarkQuestion]]:
        grouped: dict[int, list[BenchmarkQuestion]] = {}
        for question in self.questions:
            grouped.setdefault(question.place[0], []).append(question)
        return grouped

    def digest(self) -> str:
        """Give the SHA-256 of all questions with their references: what the data and the prompts are."""
        facts = [[question.key, question.item] for question in self.questions]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def _read(self, row: int) -> Iterator[BenchmarkQuestion]:
        values = self._values(row)
        messages, cells = self._messages(values, row)
        kinds = _slots(messages)
        if len(kinds) != len(cells):
            raise ValueError(f"{self.rows.name(row)}: {len(kinds)} slots, but {len(cells)} images and videos")
        media = [self._cell(cell, row, kind) for kind, cell in zip(kinds, cells, strict=True)]
        prints = [_fingerprint(cell) for cell in media]
        images = [cell for kind, cell in zip(kinds, media, strict=True) if kind == "image"]
        sizes = [_size(image, number) for number, image in enumerate(images)]
        for number, part in enumerate(self._parts_of(messages, values, row, sizes)):
            item = self._item(values, part.references, row) | {"image": prints[0] if prints else None} | part.item
            asked = [self.task.name, [row, number], prints, part.messages]
            if self.task.asks == "likelihood":
                asked.append(item["options"])
            facts = json.dumps(asked, sort_keys=True, ensure_ascii=False)
            key = hashlib.sha256(facts.encode()).hexdigest()
            yield BenchmarkQuestion(key, (row, number), part.messages, item, sizes)

    def _values(self, row: int) -> Mapping[str, Any]:
        values = self.rows[row]
        if not isinstance(values, Mapping):
            raise ValueError(f"{self.rows.name(row)}: a row has columns, but this is {type(values).__name__}")
        return self._decoded(values, row) if self.task.row_form == "base64" else values

    def _decoded(self, values: Mapping[str, Any], row: int) -> Mapping[str, Any]:
        """Give images that are the text of their files as these."""
        images = {}
        for column in self.task.columns.images:
            if isinstance(text := values.get(column), str):
                try:
                    images[column] = {"bytes": base64.b64decode(text, validate=True)}
                except ValueError as error:
                    raise ValueError(f"{self.rows.name(row)}: {column} is no base64: {shown(text)}") from error
        return {**values, **images}

    def _messages(self, values: Mapping[str, Any], row: int) -> tuple[list[Message], list[Any]]:
        """Make what is asked, `{question}` still in it where a row has several, and give the images' cells."""
        columns, name = self.task.columns, self.rows.name(row)
        if "messages" in values and columns.question not in values:
            return _conversation(values, name)
        options = _options(values, columns.options, name)
        listed = "\n".join(
            self.task.options.format(letter=letter, option=option)
            for letter, option in zip(LETTERS, options, strict=False)
        )
        if self.task.row_form == "completions" and len(options) != 2:
            raise ValueError(
                f"{name}: two completions are compared, the right one first, but there are {len(options)}"
            )
        template = self.task.prompt if options or self.task.open_prompt is None else self.task.open_prompt
        question = "" if self.task.row_form == "expressions" else self._question(values, name)
        several = self.task.row_form == "expressions"
        text = template if several else template.format(question=question, options=listed)
        if "numbered" in columns.images:
            return _interleaved(text, values, name)
        cells = [cell for column in columns.images for cell in _listed(values.get(column))]
        videos = [cell for column in columns.videos for cell in _listed(values.get(column))]
        slots = [*({"type": "image"} for _ in cells), *({"type": "video"} for _ in videos)]
        return [_user([*slots, {"type": "text", "text": text}])], [*cells, *videos]

    def _question(self, values: Mapping[str, Any], name: str) -> str:
        if "{question}" not in self.task.prompt:
            return ""
        question = str(_value(values, self.task.columns.question, name))
        if self.task.removed:
            question = question.strip()
            for piece in self.task.removed:
                question = question.replace(piece, "")
        if hint := _hint(values, self.task.columns.hint):
            question = self.task.hint.format(hint=hint, question=question)
        return question.capitalize() if self.task.row_form == "capitalised" else question

    def _parts_of(
        self, messages: list[Message], values: Mapping[str, Any], row: int, sizes: Sequence[tuple[int, int]]
    ) -> Iterator[QuestionPart]:
        """Give each question of a row with its references."""
        if self.task.row_form == "turns":
            turns = [_user([{"type": "text", "text": text}]) for text in values["turns"][1:]]
            for number in range(len(turns) + 1):
                yield QuestionPart([*messages, *turns[:number]], [EUROPEAN], {"category": f"turn {number + 1}"})
        elif self.task.row_form == "completions" and self.task.asks == "answer":
            yield from self._both_orders(values, row)
        elif self.task.row_form == "completions":
            yield QuestionPart(messages, [LETTERS[0]])
        elif self.task.row_form == "expressions":
            yield from self._expressions(messages, values, row, sizes)
        else:
            yield QuestionPart(messages, self._references(values, self.rows.name(row)))

    def _both_orders(self, values: Mapping[str, Any], row: int) -> Iterator[QuestionPart]:
        """Ask for the letter of one of two completions with the right one first, and with it second."""
        column, name = self.task.columns.options[0], self.rows.name(row)
        options = _options(values, (column,), name)
        for place, category in enumerate(("right one first", "right one second")):
            listed = options[::-1] if place else options
            messages, _ = self._messages({**values, column: listed}, row)
            yield QuestionPart(messages, [LETTERS[place]], {"options": listed, "category": category})

    def _expressions(
        self, messages: list[Message], values: Mapping[str, Any], row: int, sizes: Sequence[tuple[int, int]]
    ) -> Iterator[QuestionPart]:
        columns, name = self.task.columns, self.rows.name(row)
        height, width = sizes[0]
        left, top, wide, high = map(float, _value(values, columns.references, name))
        corners = [left / width, top / height, (left + wide) / width, (top + high) / height]
        for expression in _listed(_value(values, columns.question, name)):
            yield QuestionPart(_filled(messages, str(expression)), corners)

    def _references(self, values: Mapping[str, Any], name: str) -> list[Any]:
        if "messages" in values and self.task.columns.question not in values:
            answers = _text(values["messages"][-1]["content"])
        else:
            answers = _value(values, self.task.columns.references, name)
        if self.task.reference_form == "index":
            return [LETTERS[int(answers)]]
        if self.task.scorer == "box":
            reference = box(str(answers), self.task.box_form, self.task.box_scale)
            if reference is None:
                raise ValueError(f"{name}: {shown(answers)} is no box of {self.task.box_form}")
            return list(reference)
        return [str(answer) for answer in _listed(answers)]

    def _item(self, values: Mapping[str, Any], references: list[Any], row: int) -> dict[str, Any]:
        columns = self.task.columns
        identity = values.get(columns.identity)
        item = {
            "references": references,
            "options": _options(values, columns.options, self.rows.name(row)),
            "dataset": values.get(columns.dataset),
            "category": str(values.get(columns.category) or ""),
            "question_id": row if identity is None else identity,
        }
        if translations := _listed(values.get(columns.translations)):
            item["translations"] = [str(text) for text in translations]
        if columns.images == ("numbered",) and columns.category not in values and isinstance(identity, str):
            item["category"] = re.sub(r"^[^_]*_|_\d+$", "", identity)  # MMMU's ids: validation_Art_1
        return item

    def _cell(self, cell: Any, row: int, kind: str = "image") -> Any:
        """Give an image or a video of a row as its file beside the data, or with its bytes; nothing is fetched.

        Raises:
            ValueError: It is of another kind, leaves the data's folder, is an address, or is not there.
        """
        try:
            cell = located(cell, self.folder, kind)
        except ValueError as error:
            raise ValueError(f"{self.rows.name(row)}: {error}") from None
        if isinstance(cell, str) and is_address(cell):
            raise ValueError(
                f"{self.rows.name(row)}: {shown(cell)} is not fetched yet; run amalia-vl data fetch first"
            )
        if isinstance(cell, str) and not is_there(cell):
            raise ValueError(f"{self.rows.name(row)}: no such {kind}: {shown(cell)}")
        return cell


def _value(values: Mapping[str, Any], column: str, name: str) -> Any:
    if values.get(column) is None:
        raise ValueError(f"{name}: there is no {column!r}, but {', '.join(map(shown, values))}")
    return values[column]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _options(values: Mapping[str, Any], columns: Sequence[str], name: str) -> list[str]:
    """Read options from one column, a list or its text, or from one column each."""
    if not columns:
        return []
    if len(columns) > 1:
        first = [str(_value(values, column, name)) for column in columns[:2]]  # MMBench's yes and no have no C
        return first + [str(values[column]) for column in columns[2:] if _is_given(values.get(column))]
    options = values.get(columns[0])
    if isinstance(options, str):
        try:
            options = ast.literal_eval(options)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise ValueError(f"{name}: {columns[0]} is no list of options: {shown(options)}") from error
    return [str(option) for option in _listed(options)]


def _is_given(value: Any) -> bool:
    """Whether a cell holds something; tables of pandas write `nan` where they have nothing."""
    return value is not None and str(value).strip().lower() not in ("", "nan")


def _hint(values: Mapping[str, Any], column: str) -> str:
    return str(values[column]).strip() if column and _is_given(values.get(column)) else ""


def _user(content: list[dict[str, Any]]) -> Message:
    return {"role": "user", "content": content}


def _filled(messages: list[Message], question: str) -> list[Message]:
    """Put a question in its place."""
    parts = [
        {**part, "text": part["text"].format(question=question)} if part["type"] == "text" else part
        for part in messages[0]["content"]
    ]
    return [_user(parts)]


def _interleaved(text: str, values: Mapping[str, Any], name: str) -> tuple[list[Message], list[Any]]:
    """Put MMMU's images where its text names them, as the official suite does.

    An image that is named twice comes once, and what stands between the last two names is left out: bug for bug.
    """
    names = sorted(set(_NUMBERED.findall(text)))
    cells = [_value(values, f"image_{number}", name) for number in names]
    pieces = _NUMBERED.sub("<image>", text).split("<image>")
    content: list[dict[str, Any]] = []
    for place in range(len(cells)):
        if place < len(pieces) - 1 and pieces[place].strip():
            content.append({"type": "text", "text": pieces[place].strip()})
        content.append({"type": "image"})
    content.append({"type": "text", "text": pieces[-1].strip()})
    return [_user(content)], cells


def _conversation(values: Mapping[str, Any], name: str) -> tuple[list[Message], list[Any]]:
    """Take a conversation up to its last turn, which is the reference."""
    turns = list(values["messages"])
    if len(turns) < 2 or turns[-1]["role"] != "assistant":
        raise ValueError(f"{name}: a conversation to be asked ends in the assistant's turn, which is the reference")
    messages = [{"role": turn["role"], "content": _parts(turn["content"])} for turn in turns[:-1]]
    media = {kind: _listed(values.get(f"{kind}s")) for kind in ("image", "video")}
    first = next(turn for turn in messages if turn["role"] == "user")
    for kind, cells in reversed(media.items()):
        if kind not in _slots(messages):
            first["content"] = [*({"type": kind} for _ in cells), *first["content"]]
    left = {kind: iter(cells) for kind, cells in media.items()}
    cells = [cell for kind in _slots(messages) if (cell := next(left[kind], None)) is not None]
    return messages, cells + [cell for some in left.values() for cell in some]


def _slots(messages: Sequence[Message]) -> list[str]:
    """List the kinds of the slots of images and videos, in their order."""
    parts = [part for turn in messages for part in turn["content"]]
    return [part["type"] for part in parts if part["type"] in ("image", "video")]


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else [dict(part) for part in content]


def _text(content: Any) -> str:
    return "".join(part.get("text", "") for part in _parts(content))


def _fingerprint(cell: Any) -> str:
    """Give the SHA-256 of an image or a video as it is stored."""
    stored = (
        b"".join(bytes.fromhex(_fingerprint(frame)) for frame in cell) if isinstance(cell, list) else _stored(cell)
    )
    if stored is None:
        image = load_image(cell, 0)
        stored = repr(image.size).encode() + image.tobytes()
    return hashlib.sha256(stored).hexdigest()


def _stored(cell: Any) -> bytes | None:
    """Give an image's file; a picture in memory has none."""
    if isinstance(cell, Mapping):
        return bytes(cell["bytes"])
    if isinstance(cell, str):
        return Path(cell).read_bytes()
    return bytes(cell) if isinstance(cell, bytes | bytearray) else None


def _size(cell: Any, number: int) -> tuple[int, int]:
    """Read an image's height and width, from its header where it has one."""
    stored = _stored(cell)
    with suppress(OSError, ValueError):
        if stored is not None:
            with read_header(io.BytesIO(stored)) as image:
                return image.height, image.width
    image = load_image(cell, number)  # says what is wrong with it
    return image.height, image.width
