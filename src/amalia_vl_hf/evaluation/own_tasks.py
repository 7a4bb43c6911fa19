r"""Tasks of one's own: a YAML file that names rows and a measure.

    name: faturas
    data: faturas.jsonl            # beside this file; or hub: organisation/name
    metric: anls
    prompt: "{question}\nResponde apenas com o valor."

Rows are in any format that `samples.formats` reads, their last answer being the reference, or have the columns
`question`, `answer` (one, or several), `images` and `videos`. ViMUL-Bench's form, multiple choice and open questions
about videos, is the metric `letter_or_words`, with the letter or the text as `answer` and `options` where there are
any:

    name: vimul_pt
    data: vimul.jsonl              # {"video": ..., "question": ..., "options": [...], "answer": "B"}
    metric: letter_or_words        # what the paper has a model judge, open answers, is words in common here
    options: options
    prompt: "{question}\n{options}\nResponde apenas com a letra."
    open_prompt: "{question}"
    category: language

Some metrics are of the variety of Portuguese. `variety` asks conversations turn by turn, the model's own answers being
its history, as P3B3 does: rows have `turns`, a list of what the user says, or the file is P3B3's own, one object of
such lists; `prompt` is the form of the first turn. `likelier` compares two `completions` of a `question`, the European
one first, as PT-C does, by how likely the model holds each for its answer; `chooses` asks for the letter of one, in
both orders. `perplexity` is `likelier` by token, as CoMMuTE compares translations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..fields import RecipeError, read_fields, read_yaml, shown
from .questions import Questions
from .tasks import Benchmark, Columns

if TYPE_CHECKING:
    from ..samples.sources import Rows, Source


class Measure(NamedTuple):
    """What a metric's name in a task file stands for.

    Args:
        scorer: Which rule, of `counting.scoring`.
        aggregate: How it adds up, of `counting.totals`.
        lower_is_better: Whether small is good.
        row_form: What a row holds, see `Benchmark`.
        asks: For an answer, or for likelihoods.
        unit: What is drawn anew for intervals, where the task file has no say.
    """

    scorer: str
    aggregate: str = "mean"
    lower_is_better: bool = False
    row_form: str = "plain"
    asks: str = "answer"
    unit: str | None = None


METRICS: Mapping[str, Measure] = {
    "exact": Measure("exact"),
    "anls": Measure("anls"),
    "relaxed": Measure("relaxed"),
    "letter": Measure("letter"),
    "letter_or_words": Measure("letter_or_words"),
    "yes_no": Measure("yes_no"),
    "box": Measure("box"),
    "cer": Measure("cer", lower_is_better=True),
    "wer": Measure("wer", lower_is_better=True),
    "cider": Measure("cider", "cider"),
    "variety": Measure("variety", "variety", row_form="turns", unit="group"),
    "chooses": Measure("letter", row_form="completions", unit="group"),
    "likelier": Measure("likelier", row_form="completions", asks="likelihood", unit="group"),
    "perplexity": Measure("perplexity", row_form="completions", asks="likelihood", unit="group"),
}


@dataclass(frozen=True)
class TaskFile:
    """What a task's YAML file says.

    Args:
        name: Of the task.
        metric: One of `METRICS`.
        data: File or folder of rows, relative to the YAML file.
        images: Folder of the images that rows name by paths, relative to the YAML file; the data's when left out.
        hub: Dataset of the Hub, in the place of `data`.
        subset: Of the Hub's dataset.
        split: Of the Hub's dataset.
        revision: Of the Hub's dataset.
        prompt: What is asked; `{question}` and `{options}` are the row's.
        open_prompt: What is asked in the place of `prompt` where a row has no options.
        max_new_tokens: Of an answer.
        columns: New names of columns, by their old ones: `pergunta: question`.
        options: Column of the options, where there are any.
        category: Column that the score is also given by.
        unit: What is drawn anew for intervals: `row`, or `image` where several questions are about one.
        box_form: `xyxy` or `xywh`, as the prompt asks for boxes.
        box_scale: What the prompt calls the whole image: 1 or 1000.
        held_in: Whether the model was trained on this benchmark's training set.
        licence: Of the data.
    """

    name: str
    metric: str
    data: str | None = None
    images: str | None = None
    hub: str | None = None
    subset: str | None = None
    split: str = "test"
    revision: str | None = None
    prompt: str = "{question}"
    open_prompt: str | None = None
    max_new_tokens: int = 128
    columns: Mapping[str, str] = field(default_factory=dict)
    options: str | None = None
    category: str = "category"
    unit: str = "row"
    box_form: str = "xyxy"
    box_scale: float = 1.0
    held_in: bool = False
    licence: str = "unknown"

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise RecipeError("; ".join(faults))

    def _faults(self) -> list[str]:
        choices = {"metric": METRICS, "unit": ("row", "image"), "box_form": ("xyxy", "xywh"), "box_scale": (1, 1000)}
        faults = [
            f"{name} is {getattr(self, name)!r}, but must be one of {', '.join(map(str, known))}"
            for name, known in choices.items()
            if getattr(self, name) not in known
        ]
        if (self.data is None) == (self.hub is None):
            faults.append("the rows are in data or on the hub: name one of them")
        if not self.name or any(letter in self.name for letter in "/\\ .\n"):
            faults.append(f"name is {self.name!r}, but becomes the name of a folder: no spaces, dots and slashes")
        if self.metric == "chooses" and "{options}" not in self.prompt:
            faults.append("metric chooses: the prompt must show the {options}, which are lettered A and B")
        if self.max_new_tokens < 1:
            faults.append(f"max_new_tokens is {self.max_new_tokens}, but an answer has 1 or more")
        for prompt in filter(None, (self.prompt, self.open_prompt)):
            try:
                prompt.format(question="", options="")
            except (KeyError, IndexError, ValueError) as error:
                faults.append(f"prompt: {error!r}; it may hold {{question}} and {{options}}, and {{{{ for a brace")
        return faults


class OwnTask(NamedTuple):
    """A task with the place of its rows."""

    task: Benchmark
    source: Source


def read_task(path: str | Path) -> OwnTask:
    """Read a task's file.

    Raises:
        RecipeError: It cannot be followed; says every fault.
    """
    from ..samples.sources import Source

    path = Path(path)
    try:
        values: TaskFile = read_fields(TaskFile, read_yaml(path))
    except RecipeError as error:
        raise RecipeError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from error
    measure = METRICS[values.metric]
    options = values.options or ("completions" if measure.row_form == "completions" else None)
    task = Benchmark(
        values.name,
        values.hub or str(values.data),
        values.prompt,
        measure.scorer,
        values.max_new_tokens,
        subset=values.subset,
        split=values.split,
        aggregate=measure.aggregate,
        unit=measure.unit or values.unit,
        row_form=measure.row_form,
        asks=measure.asks,
        columns=Columns(
            options=(options,) if options else (),
            images=("images",),
            videos=("videos",),
            category=values.category,
        ),
        open_prompt=values.open_prompt,
        held_in=values.held_in,
        box_form=values.box_form,
        box_scale=values.box_scale,
        lower_is_better=measure.lower_is_better,
        licence=values.licence,
        revision=values.revision or Benchmark.revision,
    )
    data, images = (None if place is None else str(path.parent / place) for place in (values.data, values.images))
    return OwnTask(
        task,
        Source(values.name, data, values.hub, values.subset, values.split, values.revision, images, values.columns),
    )


def own_questions(own: OwnTask, limit: int | None = None) -> Questions:
    """Open a task's rows as questions."""
    from ..samples.sources import open_rows

    path = Path(own.source.path or "")
    listed = own.task.row_form == "turns" and path.suffix == ".json" and _is_object(path)
    rows = PlainRows(PromptLists(path) if listed else open_rows(own.source), own.source, own.task.row_form)
    return Questions(own.task, rows, own.source.folder, limit)


def _is_object(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4096).lstrip().startswith(b"{")


class PromptLists:
    """A file that is one JSON object of lists, each the turns of a conversation by its name, as P3B3's is.

    Args:
        path: The file; it is held in memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._turns = list(json.loads(path.read_bytes()).items())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not JSON ({error})") from error

    def __len__(self) -> int:
        return len(self._turns)

    def __getitem__(self, row: int) -> dict[str, Any]:
        name, turns = self._turns[row]
        return {"question_id": name, "turns": turns}

    def name(self, row: int) -> str:
        """Name the conversation."""
        return f"{self.path}, {self._turns[row][0]}"


class PlainRows:
    """Rows of any known format with the columns that questions are made from.

    Args:
        rows: As they are stored.
        source: Where they come from.
        form: What a row holds, see `Benchmark`.
    """

    def __init__(self, rows: Rows, source: Source, form: str = "plain") -> None:
        self.rows = rows
        self.source = source
        self.form = form

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        from ..processing.video_loading_amalia_vl import is_frames
        from ..samples.formats import read_record

        values = self.rows[row]
        if not isinstance(values, Mapping):
            raise ValueError(f"{self.name(row)}: a row has columns, but this is {type(values).__name__}")
        plain = {self.source.columns.get(name, name): value for name, value in values.items()}
        if self.form == "turns":
            plain = {**plain, "question": self._first_turn(plain, row)}
        if "question" in plain and (self.form != "plain" or "answer" in plain or "answers" in plain):
            images: Any = next(
                (plain[name] for name in ("images", "image", "image_url", "url") if plain.get(name)), []
            )
            videos: Any = next((plain[name] for name in ("videos", "video") if plain.get(name)), [])
            videos = [videos] if is_frames(videos) else videos
            media = {"images": images, "videos": videos}
            return {**plain, **media, "answer": plain.get("answers", plain.get("answer"))}
        return {**plain, **read_record(plain, "sft", self.name(row))}

    def _first_turn(self, values: Mapping[str, Any], row: int) -> str:
        turns = values.get("turns")
        if (
            not isinstance(turns, list)
            or not turns
            or not all(isinstance(turn, str) and turn.strip() for turn in turns)
        ):
            raise ValueError(
                f"{self.name(row)}: turns is {shown(turns)}, but a conversation is a list of the user's turns"
            )
        return str(turns[0])

    def name(self, row: int) -> str:
        """Say where a row stands, for errors."""
        return self.rows.name(row)
