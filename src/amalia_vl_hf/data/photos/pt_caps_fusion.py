"""PT-Caps-Fusion: descriptions by several models, merged, checked against the image and translated (section 5.1).

Captioners are the roles whose names begin with `captioner_`, four or more of different models. What most of them do
not say is an outlier and left out; the three most dissimilar of the others are merged by a model that sees the image;
each sentence of what it wrote is checked against the image; what stays is translated and judged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ...fields import RecipeError
from ..dataset import DatasetRow, RejectedError
from ..languages import LANGUAGES
from ..prompts import read_prompt
from ..rows import FEATURES as ROW_FEATURES
from ..rows import exchanges, truth_of
from ..scores import read_score
from ..steps import AskAgainError, Item, ItemSource, Outcome, Step, StepAnswer, StepRequest
from ..translated.measures import encoder
from .captions import WORDS, check_language, count_words, is_stock
from .fusion import MERGED, choose_captions, read_verdicts, sentences
from .pt_caps import BOTH, REQUESTS
from .translating import read_translation, translating, translation_request

if TYPE_CHECKING:
    from ..building.recipe import BuildRecipe

NAME = "pt-caps-fusion"
TITLE = "PT-Caps-Fusion"
VERSION = 1
SUMMARY = "Detailed descriptions that several models wrote, merged and checked."
FEATURES = ROW_FEATURES

CAPTIONERS = "captioner_"  # begins the names of their roles
FEWEST = 4  # captioners: of three, the three most dissimilar are no choice
SENTENCE_ENCODER = "intfloat/multilingual-e5-small"  # MIT; a dual encoder reads 64 tokens of a caption alone


@dataclass(frozen=True)
class FusionSettings:
    """Numbers of PT-Caps-Fusion.

    Args:
        encoder: Of sentences, by which captions are compared; directory or Hub id.
        merged: Captions that are merged.
        false_share: Most of the sentences that may be false: those are dropped, and with more the whole caption.
        least_score: Of the judge, 1 to 10, that a caption needs.
    """

    encoder: str = SENTENCE_ENCODER
    merged: int = MERGED
    false_share: float = 0.34
    least_score: int = 7


Settings = FusionSettings


def source(recipe: BuildRecipe) -> ItemSource:
    """Give the manifest of images."""
    return recipe.manifest


def steps(recipe: BuildRecipe) -> Sequence[Step]:
    """Caption by each captioner; choose, merge, check, translate, judge.

    Raises:
        RecipeError: There are too few captioners, or two are one model.
    """
    captioners = sorted(name for name in recipe.roles if name.startswith(CAPTIONERS))
    if len(captioners) < max(FEWEST, recipe.settings.merged + 1):
        raise RecipeError(
            f"{NAME} takes {max(FEWEST, recipe.settings.merged + 1)} captioners or more, roles {CAPTIONERS}a, "
            f"{CAPTIONERS}b, ...; there are {len(captioners)}"
        )
    models = {recipe.roles[name].model for name in captioners}
    if len(models) < len(captioners):
        raise RecipeError(f"the {len(captioners)} captioners are {len(models)} models; diversity is what they are for")
    return (
        *(
            Step(name, role=name, ask=_ask_caption, read=partial(_read_caption, name), prompts=("caption",))
            for name in captioners
        ),
        Step("choose", work=partial(_choose, recipe.settings)),
        Step("fuse", role="fuser", ask=_ask_fusion, read=_read_fusion),
        Step("verify", role="verifier", ask=_ask_verdicts, read=partial(_read_checked, recipe.settings)),
        Step(
            "translate",
            role="translator",
            ask=_ask_translation,
            read=_read_translation,
            **translating(),
        ),
        Step("judge", role="judge", ask=_ask_score, read=partial(_read_judged, recipe.settings)),
    )


def row(item: Item, recipe: BuildRecipe) -> DatasetRow:
    """Write a dialogue: the description in both languages, in an order that is drawn."""
    rng = recipe.rng("row", item.id)
    languages = list(LANGUAGES)
    rng.shuffle(languages)
    turns = []
    for language in languages:
        turns.append({"role": "user", "content": rng.choice(REQUESTS[language]["detailed"])})
        turns.append({"role": "assistant", "content": item.data["caption"][language]})
    kept = ("caption", "captions", "merged", "excluded", "false", "score")
    return {
        "images": [item.data["image"]],
        "messages": turns,
        "language": BOTH,
        "task": "captions",
        "truth": json.dumps({name: item.data[name] for name in kept}, ensure_ascii=False),
        "licence": item.data["licence"],
    }


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to its languages, and to what was merged: no outlier, and no sentence that is false."""
    truth, conversation, problems = truth_of(row), exchanges(row), []
    if sorted(answer for _, answer in conversation) != sorted(truth["caption"].values()):
        problems.append("another caption than was checked")
    if set(truth["merged"]) & set(truth["excluded"]):
        problems.append("an outlier was merged")
    if left := [claim for claim in truth["false"] if claim in sentences(truth["caption"]["en"])]:
        problems.append(f"a false sentence: {left[0]}")
    for language in LANGUAGES:
        try:
            check_language(truth["caption"][language], language, "caption")
        except RejectedError as error:
            problems.append(str(error))
    return problems


def _ask_caption(item: Item) -> list[StepRequest]:
    return [StepRequest(read_prompt(NAME, "caption").template, images=(item.data["image"],))]


def _read_caption(captioner: str, item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    """Keep a captioner's caption beside the others; without it, the others stay."""
    captions = dict(item.data.get("captions", {}))
    text = _paragraph(answers[0].said or "")
    if count_words(text) >= WORDS["medium"][0] and not is_stock(text):
        try:
            check_language(text, "en", captioner)
        except RejectedError:
            return [item.having(captions=captions)]
        captions[captioner] = text
    return [item.having(captions=captions)]


def _choose(settings: FusionSettings, items: Iterable[Item]) -> Iterator[Outcome]:
    """Leave outliers out and choose the most dissimilar captions of each image."""
    embed = encoder(settings.encoder)
    for item in items:
        names = list(item.data["captions"])
        try:
            if len(names) < settings.merged:
                raise RejectedError("too few captions", f"{len(names)} of the captioners gave one")
            choice = choose_captions(embed(list(item.data["captions"].values())), settings.merged)
        except RejectedError as error:
            yield item.rejected(error.reason, error.detail)
        else:
            merged, excluded = ([names[place] for place in places] for places in (choice.merged, choice.excluded))
            yield item.having(merged=merged, excluded=excluded)


def _ask_fusion(item: Item) -> list[StepRequest]:
    texts = [item.data["captions"][name] for name in item.data["merged"]]
    captions = "\n\n".join(f"{number}. {text}" for number, text in enumerate(texts, start=1))
    return [StepRequest(read_prompt(NAME, "fuse").substitute(captions=captions), images=(item.data["image"],))]


def _read_fusion(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    text = _paragraph(answers[0].text)
    least, most = WORDS["detailed"]
    if not least <= count_words(text) <= most:
        raise AskAgainError("a merged caption too short or too long", f"{count_words(text)} words")
    if is_stock(text):
        raise AskAgainError("a merged caption that says it is about an image", text[:60])
    check_language(text, "en", "merged caption")
    return [item.having(fused=text)]


def _ask_verdicts(item: Item) -> list[StepRequest]:
    claims = sentences(item.data["fused"])
    listed = "\n".join(f"{number}. {claim}" for number, claim in enumerate(claims, start=1))
    form = json.dumps({str(number): True for number in range(1, len(claims) + 1)})
    text = read_prompt(NAME, "verify").substitute(claims=listed, form=form)
    return [StepRequest(text, images=(item.data["image"],))]


def _read_checked(settings: FusionSettings, item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    claims = sentences(item.data["fused"])
    try:
        verdicts = read_verdicts(answers[0].text, len(claims))
    except RejectedError as error:
        raise AskAgainError(error.reason, error.detail) if answers[0].said else error from error
    true = [claim for claim, verdict in zip(claims, verdicts, strict=True) if verdict]
    false = [claim for claim, verdict in zip(claims, verdicts, strict=True) if not verdict]
    if len(false) > settings.false_share * len(claims):
        raise RejectedError("a merged caption that is mostly false", f"{len(false)} of {len(claims)} sentences")
    text = " ".join(true)
    if count_words(text) < WORDS["detailed"][0]:
        raise RejectedError("too little of a merged caption is true", f"{count_words(text)} words")
    return [item.having(caption={"en": text}, false=false)]


def _ask_translation(item: Item) -> list[StepRequest]:
    return [translation_request(item.data["caption"]["en"])]


def _read_translation(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    source = item.data["caption"]["en"]
    return [item.having(caption={"en": source, "pt": read_translation(source, answers[0])})]


def _ask_score(item: Item) -> list[StepRequest]:
    text = read_prompt(NAME, "judge").substitute(caption=item.data["caption"]["pt"])
    return [StepRequest(text, images=(item.data["image"],))]


def _read_judged(settings: FusionSettings, item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    score = read_score(answers[0].text)
    if score is None:
        raise AskAgainError("a judge without a score", answers[0].text[-80:])
    if score < settings.least_score:
        raise RejectedError("a caption that the judge finds bad", f"{score} of 10")
    return [item.having(score=score)]


def _paragraph(text: str) -> str:
    return " ".join(text.split())
