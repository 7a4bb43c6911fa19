"""PT-Caps: images captioned at three levels of detail, in European Portuguese and in English (paper, section 5.1).

The paper has Gemma3-27b caption 250,000 images of PD12M, and does not say how a sample is laid out. Here it is one
dialogue an image: six requests, in an order that is drawn, so that neither level nor language follows from the last.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..dataset import DatasetRow, RejectedError
from ..languages import LANGUAGES, Language
from ..prompts import read_prompt
from ..rows import FEATURES as ROW_FEATURES
from ..rows import exchanges, truth_of
from ..steps import AskAgainError, Item, ItemSource, Outcome, Step, StepAnswer, StepRequest
from .captions import (
    LEVELS,
    SAME_SHARE,
    STOCK_SHARE,
    ImageCaption,
    Level,
    check_captions,
    read_captions,
    surplus_openings,
)

if TYPE_CHECKING:
    from ..building.recipe import BuildRecipe

NAME = "pt-caps"
TITLE = "PT-Caps"
VERSION = 1
SUMMARY = "Images captioned at three levels of detail."
FEATURES = ROW_FEATURES
BOTH = "pt+en"  # the language of a row: its dialogue is in two

REQUESTS: dict[Language, dict[Level, tuple[str, ...]]] = {
    "pt": {
        "short": (
            "Descreve a imagem numa frase curta.",
            "Que legenda curta darias a esta imagem?",
            "Resume a imagem.",
        ),
        "medium": ("Descreve a imagem em uma ou duas frases.", "O que se vê na imagem?", "Descreve a imagem."),
        "detailed": (
            "Descreve a imagem com todo o pormenor.",
            "Faz uma descrição detalhada da imagem.",
            "Descreve ao pormenor tudo o que se vê na imagem.",
        ),
    },
    "en": {
        "short": ("Describe the image in one short sentence.", "Give a short caption.", "Sum up the image."),
        "medium": ("Describe the image in one or two sentences.", "What can be seen?", "Describe the image."),
        "detailed": (
            "Describe the image in full detail.",
            "Write a detailed description of the image.",
            "Describe everything that can be seen in the image.",
        ),
    },
}


@dataclass(frozen=True)
class CaptionSettings:
    """Numbers of PT-Caps.

    Args:
        stock_share: Most of the captions that may open with "a imagem mostra" and its like.
        same_share: Most of the captions of one level and language that may open with the same words.
    """

    stock_share: float = STOCK_SHARE
    same_share: float = SAME_SHARE


Settings = CaptionSettings


def source(recipe: BuildRecipe) -> ItemSource:
    """Give the manifest of images."""
    return recipe.manifest


def steps(recipe: BuildRecipe) -> Sequence[Step]:
    """Caption each image in both languages; leave out those whose captions open as too many do."""
    prompts = tuple(LANGUAGES)
    settings = recipe.settings

    def openings(items: Iterable[Item]) -> Iterator[Outcome]:
        held = [(item.id, json.dumps(item.data, ensure_ascii=False)) for item in items]
        surplus = surplus_openings(list(_captions(held)), settings.stock_share, settings.same_share)
        for name, data in held:
            item = Item(name, json.loads(data))
            yield item.rejected("an opening that too many captions have") if name in surplus else item

    return (
        Step("caption", role="captioner", ask=_ask, read=_read, prompts=prompts, calls=len(LANGUAGES)),
        Step("openings", work=openings, scope="all"),
    )


def row(item: Item, recipe: BuildRecipe) -> DatasetRow:
    """Write the dialogue of an image."""
    rng = recipe.rng("row", item.id)
    asked = [(language, level) for language in LANGUAGES for level in LEVELS]
    rng.shuffle(asked)
    turns = []
    for language, level in asked:
        turns.append({"role": "user", "content": rng.choice(REQUESTS[language][level])})
        turns.append({"role": "assistant", "content": item.data["captions"][language][level]})
    truth = {"asked": [list(pair) for pair in asked], "captions": item.data["captions"]}
    return {
        "images": [item.data["image"]],
        "messages": turns,
        "language": BOTH,
        "task": "captions",
        "truth": json.dumps(truth, ensure_ascii=False),
        "licence": item.data["licence"],
    }


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to its captions, and those to what is asked of captions."""
    truth, conversation = truth_of(row), exchanges(row)
    problems = []
    for language in LANGUAGES:
        try:
            check_captions(truth["captions"][language], language)
        except RejectedError as error:
            problems.append(f"{language}: {error}")
    if len(truth["asked"]) != len(conversation) or len(conversation) != len(LANGUAGES) * len(LEVELS):
        return [*problems, f"{len(conversation)} exchanges"]
    for (language, level), (question, answer) in zip(truth["asked"], conversation, strict=True):
        if question not in REQUESTS[language][level] or answer != truth["captions"][language][level]:
            problems.append(f"{question!r} is not answered by the {level} caption in {language}")
    return problems


def _ask(item: Item) -> list[StepRequest]:
    return [StepRequest(read_prompt(NAME, language).template, images=(item.data["image"],)) for language in LANGUAGES]


def _read(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    captions: dict[str, Any] = {}
    for language, answer in zip(LANGUAGES, answers, strict=True):
        text = answer.text
        try:
            captions[language] = read_captions(text, language)
            check_captions(captions[language], language)
        except RejectedError as error:
            raise AskAgainError(error.reason, error.detail) from error
    return [item.having(captions=captions)]


def _captions(held: Sequence[tuple[str, str]]) -> Iterator[ImageCaption]:
    for name, data in held:
        for language, captions in json.loads(data)["captions"].items():
            yield from (ImageCaption(name, language, level, text) for level, text in captions.items())
