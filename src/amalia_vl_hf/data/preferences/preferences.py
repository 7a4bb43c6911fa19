"""AMALIA-VL's preference pairs: 32 candidates a prompt, the best against the worst (paper, section 5.2).

Half of the candidates are the policy's own, and half small edits of them by a model of another family; a model of a
third family scores each by itself, with the image and without knowing who wrote it. Or a reward model scores them, as
in AMALIA's text recipe (section 4.3 of its paper): `settings.reward_model`, and no editor.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...fields import RecipeError
from ...variety import judge
from ..dataset import DatasetRow, RejectedError
from ..families import require_strangers
from ..prompts import read_prompt
from ..scores import read_score
from ..steps import Item, ItemSource, Outcome, Step, StepAnswer, StepRequest
from .candidates import (
    MOST_EDITED,
    AnswerCandidate,
    checked_by_rule,
    edited_candidates,
    from_records,
    own_candidates,
)
from .pair_rows import PAIR_FEATURES, pair_faults, pair_row
from .prompts import DrawnPrompts, conversation_text, open_prompts, request_of
from .reward import load_reward_model
from .rules import rule_for
from .selection import (
    LENGTH_RATIO,
    MARGIN,
    ORIGIN_GAP,
    PairFacts,
    balanced_pairs,
    choose_pair,
    describe_pairs,
)

if TYPE_CHECKING:
    from ..building.recipe import BuildRecipe

NAME = "preferences"
TITLE = "AMALIA-VL preferences"
VERSION = 1
SUMMARY = "Preference pairs: the best of a policy's and an editor's answers against the worst."
FEATURES = PAIR_FEATURES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairSettings:
    """Numbers of the preference pairs.

    Args:
        prompts: How many prompts are drawn from the samples; all when left out.
        own: Candidates that the policy writes.
        edits: Candidates that the editor makes of them; 0: there is no editor.
        most_edited: Largest edit distance of an edit, as a share of the longer text.
        margin: Between the scores of a pair, at least.
        least_ratio: Of the mean length of chosen to rejected.
        most_ratio: Of the mean length of chosen to rejected.
        origin_gap: Most that edits may be more frequent among the chosen than among the rejected, or less.
        pairs: How many pairs are wanted; all when left out.
        reward_model: Scores in the place of a judge; directory or Hub id.
        remote_code: Whether the reward model's own code may run.
        families: Families of models that their names do not tell, by role.
    """

    prompts: int | None = None
    own: int = 16
    edits: int = 16
    most_edited: float = MOST_EDITED
    margin: float = MARGIN
    least_ratio: float = LENGTH_RATIO[0]
    most_ratio: float = LENGTH_RATIO[1]
    origin_gap: float = ORIGIN_GAP
    pairs: int | None = None
    reward_model: str | None = None
    remote_code: bool = False
    families: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.own < 1 or self.edits < 0 or self.own + self.edits < 2:
            raise RecipeError(
                f"settings: {self.own} own candidates and {self.edits} edits; needed are 2, one of its own"
            )
        if not 0 < self.least_ratio <= 1 <= self.most_ratio:
            raise RecipeError(f"settings: a mean length ratio of {self.least_ratio} to {self.most_ratio} holds no 1")


Settings = PairSettings


def source(recipe: BuildRecipe) -> ItemSource:
    """Draw the prompts of the samples into the folder of the images, or open those that were drawn."""
    return prompts_of(recipe, recipe.settings.prompts)


def prompts_of(recipe: BuildRecipe, wanted: int | None) -> ItemSource:
    """Open the prompts that a recipe draws: of its `samples`, with images beside its `images`.

    Raises:
        RecipeError: It names none of these.
    """
    if recipe.samples is None or recipe.images is None:
        raise RecipeError(
            f"{recipe.name} needs samples, a mixture's manifest or data to draw prompts from, and images, the file "
            "FOLDER/images.parquet where the images of the prompts are listed: the folder is made, with prompts.jsonl"
        )
    return open_prompts(DrawnPrompts(recipe.samples, str(Path(recipe.images).parent), wanted, recipe.seed))


def steps(recipe: BuildRecipe) -> Sequence[Step]:
    """Sample, edit, score, pair, balance.

    Raises:
        RecipeError: Two of policy, editor and judge are of one family.
    """
    settings: PairSettings = recipe.settings
    asked = ["policy"] + (["editor"] if settings.edits else []) + ([] if settings.reward_model else ["judge"])
    require_strangers({role: recipe.roles[role].model for role in asked if role in recipe.roles}, settings.families)
    sampling = Step(
        "sample", role="policy", ask=partial(_ask_policy, settings), read=_read_policy, prompts=(), calls=settings.own
    )
    editing = Step(
        "edit",
        role="editor",
        ask=partial(_ask_edits, settings),
        read=partial(_read_edits, settings),
        calls=settings.edits,
    )
    judging = Step("judge", role="judge", ask=_ask_scores, read=_read_scores, calls=settings.own + settings.edits)
    return (
        sampling,
        *([editing] if settings.edits else []),
        Step("rules", work=_apply_rules),
        Step("reward", work=partial(_reward, settings)) if settings.reward_model else judging,
        Step("pair", work=partial(_pair, settings)),
        Step("balance", work=partial(_balance, settings), scope="all"),
    )


def row(item: Item, recipe: BuildRecipe) -> DatasetRow:
    """Write a pair."""
    chosen, rejected = from_records([item.data["chosen"], item.data["rejected"]])
    truth = {
        "rule": item.data["rule"],
        "reference": item.data["reference"],
        "origin": item.data["origin"],
        "chosen": {"origin": chosen.origin, "score": chosen.score},
        "rejected": {"origin": rejected.origin, "score": rejected.score},
    }
    return pair_row(item, chosen.text, rejected.text, f"{chosen.origin} over {rejected.origin}", truth)


def faults(row: DatasetRow) -> list[str]:
    """Hold a pair to its scores, its rule and its variety."""
    truth, problems = json.loads(row["truth"]), pair_faults(row)
    chosen, rejected = (row[name][0]["content"] for name in ("chosen", "rejected"))
    if not truth["chosen"]["score"] > truth["rejected"]["score"]:
        problems.append(f"scores {truth['chosen']['score']} and {truth['rejected']['score']}")
    rule = rule_for(row["prompt"][-1]["content"], truth["reference"])
    if rule is not None and (rule.check(chosen) is not True or rule.check(rejected) is True):
        problems.append(f"by the rule of its {rule.kind}, the chosen is wrong or the rejected right")
    if _is_refused(row["language"], chosen):
        problems.append("the chosen is Brazilian")
    return problems


def _ask_policy(settings: PairSettings, item: Item) -> list[StepRequest]:
    return [request_of(item.data["prompt"], item.data["images"], settings.own)]


def _read_policy(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    own = own_candidates([answer.said for answer in answers if answer.said])
    if not own:
        raise RejectedError("a policy without an answer", answers[0].problem or "")
    return [item.having(candidates=[candidate._asdict() for candidate in own])]


def _ask_edits(settings: PairSettings, item: Item) -> list[StepRequest]:
    """Ask for edits of all own candidates alike, as many as are wanted."""
    own = from_records(item.data["candidates"])
    requests = []
    for place, candidate in enumerate(own):
        count = settings.edits // len(own) + (place < settings.edits % len(own))
        if count:
            requests.append(_about(item, "edit", candidate, count))
    return requests


def _read_edits(settings: PairSettings, item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    own = from_records(item.data["candidates"])
    edits = edited_candidates(
        [own[answer.request] for answer in answers], [answer.said for answer in answers], settings.most_edited
    )
    return [item.having(candidates=[candidate._asdict() for candidate in (*own, *edits)])]


def _apply_rules(items: Iterable[Item]) -> Iterator[Outcome]:
    """Check by rule what can be, before any judge; it needs two candidates to go on."""
    for item in items:
        rule = rule_for(item.data["prompt"][-1]["content"], item.data["reference"])
        checked = checked_by_rule(from_records(item.data["candidates"]), rule)
        if len(checked) < 2:
            yield item.rejected("fewer than two candidates", f"{len(checked)} of {len(item.data['candidates'])}")
            continue
        records = [candidate._asdict() for candidate in checked]
        yield item.having(candidates=records, rule=rule.kind if rule else None)


def _ask_scores(item: Item) -> list[StepRequest]:
    """Ask for a score of each candidate by itself, but of those that a rule has settled."""
    return [
        _about(item, "judge", candidate)
        for candidate in from_records(item.data["candidates"])
        if candidate.score is None
    ]


def _read_scores(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    scores = iter([read_score(answer.said or "") for answer in answers])
    candidates = [
        candidate if candidate.score is not None else candidate._replace(score=_number(next(scores)))
        for candidate in from_records(item.data["candidates"])
    ]
    return [item.having(candidates=[candidate._asdict() for candidate in candidates])]


def _number(score: int | None) -> float | None:
    return None if score is None else float(score)


def _about(item: Item, step: str, candidate: AnswerCandidate, count: int = 1) -> StepRequest:
    """Ask about an answer, without saying whose it is."""
    text = read_prompt(NAME, step).substitute(
        shown=" sobre a imagem" if item.data["images"] else "",
        conversation=conversation_text(item.data["prompt"]),
        answer=candidate.text,
    )
    return StepRequest(text, tuple(item.data["images"]), count)


def _reward(settings: PairSettings, items: Iterable[Item]) -> Iterator[Outcome]:
    """Score all candidates by the reward model; what a rule says is kept beside."""
    model = load_reward_model(settings.reward_model or "", settings.remote_code)
    for item in items:
        candidates = from_records(item.data["candidates"])
        scores = model.score(item.data["prompt"], [candidate.text for candidate in candidates])
        scored = [one._replace(score=score) for one, score in zip(candidates, scores, strict=True)]
        yield item.having(candidates=[candidate._asdict() for candidate in scored])


def _pair(settings: PairSettings, items: Iterable[Item]) -> Iterator[Outcome]:
    for item in items:
        try:
            pair = choose_pair(
                from_records(item.data["candidates"]), settings.margin, partial(_is_refused, item.data["language"])
            )
        except RejectedError as error:
            yield item.rejected(error.reason, error.detail)
            continue
        kept = {name: item.data[name] for name in item.data if name != "candidates"}
        yield Item(item.id, {**kept, "chosen": pair.chosen._asdict(), "rejected": pair.rejected._asdict()})


def _is_refused(language: str, text: str) -> bool:
    return language == "pt" and judge(text).refused


def _balance(settings: PairSettings, items: Iterable[Item]) -> Iterator[Outcome]:
    """Drop pairs until neither length nor origin gives the better one away, and say what is left."""
    held = [(item.id, json.dumps(item.data, ensure_ascii=False)) for item in items]
    facts = {name: _facts(name, json.loads(data)) for name, data in held}
    ratio = (settings.least_ratio, settings.most_ratio)
    staying = set(balanced_pairs(list(facts.values()), ratio, settings.origin_gap, settings.pairs))
    for line in describe_pairs(facts[name] for name in sorted(staying)):
        logger.warning("%s", line)
    for name, data in held:
        item = Item(name, json.loads(data))
        yield item if name in staying else item.rejected("a pair whose length or origin gives it away, or too many")


def _facts(name: str, data: Mapping[str, Any]) -> PairFacts:
    chosen, rejected = from_records([data["chosen"], data["rejected"]])
    ratio, margin = len(chosen.text) / max(1, len(rejected.text)), (chosen.score or 0) - (rejected.score or 0)
    return PairFacts(name, ratio, chosen.origin, rejected.origin, margin)
