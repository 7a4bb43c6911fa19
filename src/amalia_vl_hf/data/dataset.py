"""What a rendered dataset is: a module that draws samples from a seed, and works answers out again from the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, NamedTuple, Protocol, cast

from ..fields import unknown
from .languages import Language

# The family a dataset belongs to: the folder of its module, and of `prompts/NAME/`. Only what is used is imported.
FAMILIES = {
    "infographic-synth": "charts",
    "invoice-qa": "invoices",
    "pt-ocr": "text",
    "pt-outputs-to-code": "code",
    "pt-render-text": "text",
    "pt-simple-code-outputs": "code",
    "sepic": "code",
    "simple-code-ocr": "code",
}
# Those that models write, by a recipe: `steps.WrittenDataset` says what such a module is.
WRITTEN = {
    "multi-pixmo": "photos",
    "persona-instructions": "instructions",
    "preferences": "preferences",
    "preferences-contrast": "preferences",
    "preferences-mpo": "preferences",
    "preferences-original": "preferences",
    "pt-caps": "photos",
    "pt-caps-fusion": "photos",
    "pt-vqa-gen": "photos",
    "self-identification": "instructions",
    "translation": "translated",
}

DatasetRow = dict[str, Any]


class RejectedError(Exception):
    """A sample that is not made: a model's answer is not what was asked for, or what it is made of is no good.

    Args:
        reason: In the same words for all such samples; a line of the tally.
        detail: The case.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


class Passage(NamedTuple):
    """A text to be read in a picture.

    Args:
        text: With line breaks only where the user's picture has them.
        sentences: The text cut at its sentences; none where a full stop leaves a doubt.
        picture: The encoded picture that shows it; None for a text that is to be drawn.
    """

    text: str
    sentences: tuple[str, ...]
    picture: bytes | None = None


# Gives the passage of a number; the generator decides where the number does not.
Passages = Callable[[Random, int], Passage]


class Materials(NamedTuple):
    """What samples are made from.

    Args:
        typefaces: Font files.
        passages: Texts to draw.
        functions: Python functions; None for the seeded ones.
        invoices: Annotated invoices; None for those that are set here.
        answers: What a model said for this sample, by the step's name; nothing when built without a model.
    """

    typefaces: tuple[Path, ...]
    passages: Passages
    functions: Callable[[Random, int], Any] | None = None
    invoices: Callable[[Random, int], Any] | None = None
    answers: Mapping[str, str] = {}


class ModelStep(NamedTuple):
    """One thing a model is asked for each sample.

    Args:
        name: Its prompt is the file `prompts/DATASET/name.md`, with gaps as `string.Template` has them.
        ask: Fills the gaps, from the same generator state as `draw`, the number and the materials, which hold the
            answers of earlier steps. It may raise `RejectedError`: nothing is asked then.
    """

    name: str
    ask: Callable[[Random, int, Materials], Mapping[str, str]]


class Exchange(NamedTuple):
    """What the user says, and what the assistant should say."""

    question: str
    answer: str


class DrawnSample(NamedTuple):
    """One sample as a dataset draws it.

    Args:
        picture: Encoded, PNG or JPEG.
        exchanges: The conversation about it.
        task: Which of the dataset's tasks it is.
        truth: What the picture shows and what was asked, for the validator; JSON values alone.
        language: Of the conversation.
        more: Pictures that follow the first, as the pages of a document do.
    """

    picture: bytes
    exchanges: tuple[Exchange, ...]
    task: str
    truth: Mapping[str, Any]
    language: Language = "pt"
    more: tuple[bytes, ...] = ()


class Box(NamedTuple):
    """Where something stands in one of a sample's pictures, in pixels, to be drawn on a preview."""

    text: str
    top: float
    left: float
    bottom: float
    right: float
    picture: int = 0


class RenderedDataset(Protocol):
    """A module that makes a dataset; `pt_render_text` and `pt_ocr` are two.

    One whose rows know where things stand has a function `boxes`, too: from a row to a list of `Box`.
    """

    NAME: str  # on the command line and of its folder
    TITLE: str  # in the paper's Table 1
    VERSION: int  # counts changes of what a seed gives
    USES: tuple[str, ...]  # of the user's: "fonts", "texts", "functions", "invoices"
    SUMMARY: str  # for the dataset card, and help
    STEPS: tuple[ModelStep, ...]  # what a model is asked, in order, if there is one

    def draw(self, rng: Random, index: int, materials: Materials) -> DrawnSample:
        """Draw a sample; the same generator state, number and materials give the same bytes.

        Raises:
            RejectedError: It cannot be made, of a model's answer above all.
        """

    def faults(self, row: DatasetRow) -> list[str]:
        """Say what is wrong with a row as it was written; nothing if its answer is what its picture shows."""


def import_dataset(name: str) -> RenderedDataset:
    """Import the module that makes a rendered dataset.

    Raises:
        ValueError: There is none of that name.
    """
    return cast(RenderedDataset, import_family(name, FAMILIES))


def import_family(name: str, families: Mapping[str, str]) -> ModuleType:
    """Import the module of a dataset, out of its family's folder.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in families:
        raise ValueError(unknown("dataset", name, families))
    return import_module(f"{__package__}.{families[name]}.{name.replace('-', '_')}")
