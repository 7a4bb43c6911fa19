"""A dataset translated: masked, translated, repaired by a second model, put together, measured, judged.

source (samples) -> cut (what is asked) -> translate -> repair (what hard rules refuse) -> assemble (whole samples,
variety) -> back (by another family) -> measure, select (quantiles) -> judge (what signals cannot see)

A sample whose every text is translated stays; one that lacks a text goes, with the reason. A text that several samples
of a shard have ("Answer with the option's letter.") is asked once, with the first of them: all have one translation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datasets import Features, Image, List, Value

from ...fields import RecipeError, unknown
from ...samples.loading import FIELDS
from ...translation.drafts import NO_ANSWER, Draft, Plan, read_draft, whole_faults
from ...translation.languages import SOURCES, TARGETS
from ...translation.masks import mask
from ...translation.quality import measurable
from ...translation.records import stays, texts_of, with_texts
from ...translation.structure import Fault
from ...translation.wording import (
    back_prompt,
    judge_prompt,
    one_entry,
    prompts_digest,
    read_verdict,
    repair_prompt,
    translation_prompt,
)
from ..dataset import DatasetRow, RejectedError
from ..families import families_of
from ..steps import AskAgainError, Item, Outcome, Step, StepAnswer, StepRequest
from .measures import QualitySettings, measured, nearness, selected
from .originals import Originals

if TYPE_CHECKING:
    from ..building.recipe import BuildRecipe

NAME = "translation"
TITLE = "Translated samples"
VERSION = 1
SUMMARY = "Conversations translated by a model, what is masked and checked by rule, in"
_TURNS = List({"role": Value("string"), "content": List({"type": Value("string"), "text": Value("string")})})
FEATURES = Features(
    {
        "images": List(Image()),
        "videos": List({"bytes": Value("binary"), "path": Value("string")}),
        **{name: _TURNS for names in FIELDS.values() for name in names},
        **{name: Value("string") for name in ("source", "language", "task", "truth")},
        **{name: Value("int64") for name in ("index", "seed")},
        **{name: Value("string") for name in ("generator", "model", "prompt_hash", "licence")},
    }
)
_UNKNOWN = Draft("", None, [Fault(NO_ANSWER, "it was asked with another sample, which got no answer")])
_READ_OFF = ("OCR", "OCR & Document Understanding", "OCR and documents")


@dataclass(frozen=True)
class Settings:
    """How samples are translated.

    Args:
        to: One of `languages.TARGETS`.
        language: That samples are in; one that says another is rejected.
        method: `"sft"` for conversations, `"dpo"` for preference pairs.
        images: Folder of the images that rows name, where it is not that of the file.
        keep_answers: Categories whose answers are read off the picture, and stay in its language.
        quality: What translations are measured by.
    """

    to: str = "pt-PT"
    language: str = "en"
    method: str = "sft"
    images: str | None = None
    keep_answers: tuple[str, ...] = _READ_OFF
    quality: QualitySettings = field(default_factory=QualitySettings)

    def __post_init__(self) -> None:
        known = {"to": TARGETS, "language": SOURCES, "method": FIELDS}
        if faults := [
            unknown(f"settings.{name}", getattr(self, name), names)
            for name, names in known.items()
            if getattr(self, name) not in names
        ]:
            raise RecipeError("; ".join(faults))


def source(recipe: BuildRecipe) -> Originals:
    """Open what is translated."""
    if recipe.samples is None:
        raise RecipeError("the recipe names nothing to translate: samples: FILE, or SRC on the command line")
    return Originals(recipe.samples, recipe.settings.method, recipe.settings.images)


def steps(recipe: BuildRecipe) -> list[Step]:
    """List the steps: those of roles that the recipe has, and those without one."""
    roles, settings = recipe.roles, recipe.settings
    _require_strangers(recipe)
    asked = [
        Step("cut", work=lambda items: _shared((_cut(item, settings) for item in items), settings.to)),
        Step(
            "translate",
            role="translator",
            ask=lambda item: _asked(item, settings),
            read=lambda item, answers: _drafted(item, answers, settings, "repairer" in roles),
            **_prompts("translate"),
        ),
    ]
    if "repairer" in roles:
        asked.append(
            Step(
                "repair",
                role="repairer",
                ask=lambda item: _asked_again(item, settings),
                read=lambda item, answers: _repaired(item, answers, settings),
                **_prompts("repair"),
            )
        )
    asked.append(Step("assemble", work=lambda items: _assembled_all(items, settings)))
    if "back_translator" in roles:
        asked.append(
            Step(
                "back",
                role="back_translator",
                ask=lambda item: _asked_back(item, settings),
                read=_came_back,
                **_prompts("back"),
            )
        )
    if not settings.quality.idle or "back_translator" in roles:
        asked.append(Step("measure", work=lambda items: measured(items, settings.quality)))
        asked.append(Step("select", work=lambda items: selected(items, settings.quality), scope="all"))
    if "judge" in roles:
        judging = _prompts("judge")
        asked.append(
            Step("judge", role="judge", ask=lambda item: _asked_judge(item, settings), read=_judged, **judging)
        )
    return asked


def row(item: Item, recipe: BuildRecipe) -> DatasetRow:
    """Write a translated sample; `truth` holds its original texts, against which the row is checked."""
    settings = recipe.settings
    try:
        media = source(recipe).media(item.root, recipe.embed_images)
    except (OSError, ValueError) as error:
        raise RejectedError("an image or a video", str(error)) from error
    turns = {name: _typed(item.data["translated"][name]) for name in FIELDS[settings.method]}
    return {
        "images": media["images"],
        "videos": media["videos"] or None,
        **dict.fromkeys(name for names in FIELDS.values() for name in names),
        **turns,
        "source": item.data["source"],
        "language": settings.to.partition("-")[0],
        "task": item.data["category"] or "",
        "truth": json.dumps({"to": settings.to, "texts": item.data["texts"]}, ensure_ascii=False),
        "prompt_hash": prompts_digest(),
    }


def faults(row: DatasetRow) -> list[str]:
    """Hold a row as it was written to the original texts beside it."""
    truth = json.loads(row["truth"])
    held = [text.text for text in texts_of(_untyped(row))]
    if len(held) != len(truth["texts"]):
        return [f"{len(held)} texts in the place of {len(truth['texts'])}"]
    return [f"{fault.rule}: {fault.detail}" for fault in whole_faults(truth["texts"], held, truth["to"])]


def _require_strangers(recipe: BuildRecipe) -> None:
    """A round trip through the translator's own family favours its output, and a judge of it its own words."""
    models = {name: role.model for name, role in recipe.roles.items()}
    translator = models.get("translator", "")
    for name in ("back_translator", "judge"):
        model = models.get(name)
        if model is not None and (model == translator or families_of(model) & families_of(translator)):
            raise RecipeError(f"roles.{name}: {model} is of the translator's family, {translator}; take another one")


def _prompts(name: str) -> dict[str, Any]:
    """Make the wording of a prompt part of what a step is; it lies with the room `translation`, not in this family."""
    return {"prompts": (), "version": int(prompts_digest((name,))[:8], 16)}


def _cut(item: Item, settings: Settings) -> Outcome:
    """Say what is asked of a sample."""
    if fault := item.data.get("fault"):
        return item.rejected("unreadable", fault)
    language = item.data["language"]
    if language is not None and language.lower().partition("-")[0] != settings.language:
        return item.rejected("another language", f"{language}, and not {settings.language}")
    texts = texts_of(item.data["record"])
    stay = stays(texts, item.data["category"] in settings.keep_answers)
    return item.having(texts=[text.text for text in texts], stay=stay)


def _shared(outcomes: Iterable[Outcome], target: str) -> Iterator[Outcome]:
    """Leave out of a sample's own bodies those that an earlier one of the shard has with the same context."""
    seen: set[tuple[str, str]] = set()
    for outcome in outcomes:
        if isinstance(outcome, Item):
            plan = Plan.of(outcome.data["texts"], outcome.data["stay"], target)
            own = [pair for pair in zip(plan.bodies, plan.contexts, strict=True) if pair not in seen]
            seen.update(own)
            outcome = outcome.having(own=[list(pair) for pair in own])
        yield outcome


def _asked(item: Item, settings: Settings) -> list[StepRequest]:
    return [_request(body, context, settings) for body, context in item.data["own"]]


def _request(body: str, context: str, settings: Settings) -> StepRequest:
    masked = mask(body).text
    text = translation_prompt(masked, settings.to, settings.language, context)
    return StepRequest(text, entry=one_entry(masked, settings.to, settings.language)[0])


def _drafted(item: Item, answers: Sequence[StepAnswer], settings: Settings, may_repair: bool) -> list[Outcome]:
    """Read the translator's answers; what is wrong with the sample as a whole is laid to its segments."""
    if not may_repair:
        for answer in answers:
            answer.text  # noqa: B018  there is none, and nobody else to ask
    own = item.data["own"]
    drafts = [
        read_draft(body, answer.said, answer.problem, settings.to)
        for (body, _), answer in zip(own, answers, strict=True)
    ]
    plan = Plan.of(item.data["texts"], item.data["stay"], settings.to)
    if len(own) == len(plan.bodies) and all(draft.text is not None for draft in drafts):
        texts = plan.texts({body: str(draft.text) for (body, _), draft in zip(own, drafts, strict=True)})
        drafts = _blamed(drafts, whole_faults(item.data["texts"], texts, settings.to))
    return [item.having(drafts=[list(draft) for draft in drafts])]


def _blamed(drafts: list[Draft], whole: list[Fault]) -> list[Draft]:
    """Lay what is wrong with a whole sample to all its segments, where none has a fault of its own."""
    if not whole or any(draft.faults for draft in drafts):
        return drafts
    return [draft._replace(faults=whole) for draft in drafts]


def _drafts(item: Item) -> list[Draft]:
    return [Draft(said, text, [Fault(*fault) for fault in wrong]) for said, text, wrong in item.data["drafts"]]


def _asked_again(item: Item, settings: Settings) -> list[StepRequest]:
    """Ask about the segments with faults."""
    return [
        StepRequest(repair_prompt(mask(body).text, draft.said, draft.faults, settings.to, settings.language))
        for (body, _), draft in zip(item.data["own"], _drafts(item), strict=True)
        if draft.faults
    ]


def _repaired(item: Item, answers: Sequence[StepAnswer], settings: Settings) -> list[Outcome]:
    drafts, left = [], iter(answers)
    for (body, _), draft in zip(item.data["own"], _drafts(item), strict=True):
        drafts.append(list(read_draft(body, next(left).text, None, settings.to) if draft.faults else draft))
    return [item.having(drafts=drafts)]


def _assembled_all(items: Iterable[Item], settings: Settings) -> Iterator[Outcome]:
    """Put samples together; what an earlier one of the shard asked for is known by then."""
    known: dict[tuple[str, str], Draft] = {}
    for item in items:
        own = ((body, context) for body, context in item.data["own"])
        known.update(zip(own, _drafts(item), strict=True))
        yield _assembled(item, known, settings)


def _assembled(item: Item, known: Mapping[tuple[str, str], Draft], settings: Settings) -> Outcome:
    """Put a sample together, or say which of its segments is no good."""
    plan = Plan.of(item.data["texts"], item.data["stay"], settings.to)
    translations = {}
    for body, context in zip(plan.bodies, plan.contexts, strict=True):
        draft = known.get((body, context), _UNKNOWN)
        if draft.text is None or draft.faults:
            fault = draft.faults[0]
            return item.rejected(fault.rule, f"{fault.detail} ({body[:80]!r} as {draft.said[:80]!r})")
        translations[body] = draft.text
    texts = plan.texts(translations)
    if whole := whole_faults(item.data["texts"], texts, settings.to):
        return item.rejected(whole[0].rule, whole[0].detail)
    translated = with_texts(item.data["record"], texts)
    if settings.method == "dpo" and translated["chosen"] == translated["rejected"]:
        return item.rejected("one answer", "chosen and rejected are translated alike")
    kept = {name: item.data[name] for name in ("source", "category", "texts")}
    return Item(item.id, {**kept, "translated": translated, "translations": translations, "done": texts})


def _asked_back(item: Item, settings: Settings) -> list[StepRequest]:
    pairs = item.data["translations"].items()
    return [
        StepRequest(
            back_prompt(mask(text).text, settings.to, settings.language),
            entry=one_entry(mask(text).text, settings.language, settings.to)[0],
        )
        for body, text in pairs
        if measurable(body)
    ]


def _came_back(item: Item, answers: Sequence[StepAnswer]) -> list[Outcome]:
    """Score the least like its source of what was translated back."""
    sources = [mask(body).text for body in item.data["translations"] if measurable(body)]
    if not sources:
        return [item]
    backs = [answer.text for answer in answers]
    return [item.having(scores={"round trip": nearness(sources, backs)})]


def _asked_judge(item: Item, settings: Settings) -> list[StepRequest]:
    original, translation = ("\n\n".join(item.data[name]) for name in ("texts", "done"))
    return [StepRequest(judge_prompt(original, translation, settings.to, settings.language))]


def _judged(item: Item, answers: Sequence[StepAnswer]) -> list[Outcome]:
    verdict = read_verdict(answers[0].text)
    if verdict is None:
        raise AskAgainError("the judge gave no verdict", answers[0].text[:200])
    if verdict:
        raise RejectedError("judged wrong", verdict[:400])
    return [item]


def _typed(turns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give turns whose contents are parts, as one column of parquet holds them."""
    return [
        {
            "role": turn["role"],
            "content": [{"type": "text", "text": turn["content"]}]
            if isinstance(turn["content"], str)
            else [{"type": part["type"], "text": part.get("text")} for part in turn["content"]],
        }
        for turn in turns
    ]


def _untyped(row: DatasetRow) -> dict[str, Any]:
    return {name: row[name] for names in FIELDS.values() for name in names if row.get(name) is not None}
