"""PT-VQA-Gen: questions about photographs by personas, verified, hard, in three forms (paper, section 5.1).

Images are mapped to 60 mega-concepts and drawn evenly; two of 36 personas ask up to five questions about each; what a
persona asks is judged as a whole for its variety; a model that does not know the answer answers step by step, another
one compares the two answers; what a weak model answers is left out; what stays is one dialogue an image.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ...variety import judge
from ..brazilian import BRAZILIAN
from ..choices import final_answer
from ..dataset import DatasetRow, Exchange, RejectedError
from ..prompts import read_prompt
from ..rows import FEATURES as ROW_FEATURES
from ..rows import exchanges, truth_of
from ..steps import AskAgainError, Item, ItemSource, Outcome, Step, StepAnswer, StepRequest
from .concepts import nearest_concepts, read_concepts
from .dialogues import (
    DISTRACTORS,
    FormChoice,
    VerifiedQuestion,
    asked_for_options,
    choose_forms,
    sound_distractors,
    write_exchange,
)
from .drawing import DrawnImages
from .embeddings import BATCH, DUAL_ENCODER, encoded_concepts, load_encoder, open_pictures
from .personas import AN_IMAGE, personas_of, read_personas
from .questions import MOST, ImageQuestion, judge_together, read_questions, read_texts, read_verdict, same_answer
from .sampling import NEAR, sketch

if TYPE_CHECKING:
    from ..building.recipe import BuildRecipe

NAME = "pt-vqa-gen"
TITLE = "PT-VQA-Gen"
VERSION = 1
SUMMARY = "Questions about photographs, with reasoning, natively in European Portuguese."
FEATURES = ROW_FEATURES

# Shares of questions that stay, in the paper (section 5.1): 3.6 M of 4.8 M by variety, 1.9 M of 3.6 M by agreement; of
# how many were too easy it does not say. A build that is far off says so.
YIELDS = {"variety": 0.75, "agreement": 0.53}
UNKNOWN = "não se pode saber"  # what a model says that cannot answer from the image
OPTIONS = 5  # wrong options asked for, of which three are shown
STEPS_LENGTH = (20, 1_500)  # letters of reasoning, from and to


@dataclass(frozen=True)
class QuestionSettings:
    """Numbers of PT-VQA-Gen.

    Args:
        drawn: Images that are asked about, of all of the manifest, evenly of the mega-concepts; all when left out.
        encoder: Dual encoder that maps images to concepts; directory or Hub id.
        near: Cosine from which on two images of a concept are one.
        personas: Who asks about an image, of 36.
    """

    drawn: int | None = None
    encoder: str = DUAL_ENCODER
    near: float = NEAR
    personas: int = AN_IMAGE


Settings = QuestionSettings


def source(recipe: BuildRecipe) -> ItemSource:
    """Give the manifest of images."""
    return recipe.manifest


def steps(recipe: BuildRecipe) -> Sequence[Step]:
    """Draw images, ask, judge, answer, verify, drop what is easy, write options, choose forms, gather."""
    settings = recipe.settings
    share = (settings.drawn or recipe.count) / recipe.count  # of the manifest's images, for what is known before
    asked = share * settings.personas * MOST
    return (
        Step("embed", work=partial(_embed, recipe)),
        Step("draw", work=partial(_draw, recipe), scope="all"),
        Step(
            "questions",
            role="questioner",
            ask=partial(_ask_questions, recipe),
            read=partial(_read_questions, recipe),
            prompts=("questions", *(f"../personas/{name}" for name in read_personas())),
            calls=share * settings.personas,
        ),
        Step("variety", work=_judge, paper_yield=YIELDS["variety"]),
        Step("answer", role="answerer", ask=_ask_answer, read=_read_answer, calls=0.75 * asked),
        Step(
            "verify",
            role="verifier",
            ask=partial(_ask_equivalence, "said"),
            read=_read_verified,
            calls=0.75 * asked,
            paper_yield=YIELDS["agreement"],
        ),
        Step("attempt", role="weak_solver", ask=_ask_attempt, read=_read_attempt, calls=0.4 * asked),
        Step(
            "difficulty",
            role="verifier",
            ask=partial(_ask_equivalence, "attempt"),
            read=_read_difficulty,
            prompts=("verify",),
            calls=0.4 * asked,
        ),
        Step("reserve", work=_reserve, scope="all"),
        Step("options", role="questioner", ask=_ask_options, read=_read_options, calls=0.05 * asked),
        Step(
            "compare",
            role="verifier",
            ask=_ask_comparisons,
            read=_read_comparisons,
            prompts=("verify",),
            calls=0.05 * OPTIONS * asked,
        ),
        Step("forms", work=_choose_forms, scope="all"),
        Step("dialogues", work=_gather),
    )


def row(item: Item, recipe: BuildRecipe) -> DatasetRow:
    """Write the dialogue of an image."""
    turns = item.data["turns"]
    messages = []
    for turn in turns:
        question, answer = write_exchange(_question(turn), FormChoice(turn["form"], turn["letter"]))
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {
        "images": [item.data["image"]],
        "messages": messages,
        "language": "pt",
        "task": "questions",
        "truth": json.dumps({"concept": item.data["concept"], "turns": turns}, ensure_ascii=False),
        "licence": item.data["licence"],
    }


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to what was verified: each answer, its form and letter, and distractors that are wrong."""
    turns, conversation, problems = truth_of(row)["turns"], exchanges(row), []
    for turn, exchange in zip(turns, conversation, strict=False):
        expected = write_exchange(_question(turn), FormChoice(turn["form"], turn["letter"]))
        if exchange != expected:
            problems.append(f"{exchange.question!r} is not the {turn['form']} question that was verified")
        if any(same_answer(option, turn["answer"]) for option in turn["distractors"]):
            problems.append(f"a distractor of {turn['question']!r} is the answer")
        if not _agrees(turn, exchange):
            problems.append(f"the answer {exchange.answer!r} is not {turn['answer']!r}")
    if len(turns) != len(conversation):
        problems.append(f"{len(conversation)} exchanges for {len(turns)} questions")
    return problems


def _agrees(turn: Mapping[str, Any], exchange: Exchange) -> bool:
    """Tell whether an exchange ends in the verified answer, read as a reader of it would."""
    answer = turn["answer"]
    if turn["form"] == "choices":
        return f"{exchange.answer}) {answer}" in exchange.question.splitlines()
    if turn["form"] == "short":
        return exchange.answer == answer
    return final_answer(exchange.answer, "pt") == answer


def _embed(recipe: BuildRecipe, items: Iterable[Item]) -> Iterator[Outcome]:
    """Map images to their mega-concepts, and keep a sketch of each to tell near duplicates."""
    names = [concept.name for concept in read_concepts()]
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield from _embedded(recipe, batch, names)
            batch = []
    yield from _embedded(recipe, batch, names)


def _embedded(recipe: BuildRecipe, items: Sequence[Item], names: Sequence[str]) -> Iterator[Outcome]:
    if not items:
        return
    paths = recipe.manifest.paths([item.data["image"] for item in items])
    pictures = open_pictures([paths[item.data["image"]] for item in items])
    sound = [picture for picture in pictures if not isinstance(picture, ValueError)]
    vectors = load_encoder(recipe.settings.encoder).embed_images(sound)
    concepts = nearest_concepts(vectors, encoded_concepts(recipe.settings.encoder)).tolist() if sound else []
    found = iter(zip(concepts, sketch(vectors) if sound else [], strict=True))
    for item, picture in zip(items, pictures, strict=True):
        if isinstance(picture, ValueError):
            yield item.rejected("an image that cannot be read", str(picture)[:200])
        else:
            concept, numbers = next(found)
            yield item.having(concept=names[concept], sketch=base64.b64encode(numbers.tobytes()).decode())


def _draw(recipe: BuildRecipe, items: Iterable[Item]) -> Iterator[Outcome]:
    """Draw images evenly of the concepts, each once; what is held of an image is some 350 bytes."""
    names = [concept.name for concept in read_concepts()]
    drawn = DrawnImages(recipe.seed, names, recipe.count)
    for item in items:
        drawn.add(item)
    yield from drawn.outcomes(recipe.settings.drawn, recipe.settings.near)


def _ask_questions(recipe: BuildRecipe, item: Item) -> list[StepRequest]:
    personas, image = read_personas(), item.data["image"]
    prompt = read_prompt(NAME, "questions")
    return [
        StepRequest(prompt.substitute(persona=personas[name], most=MOST), images=(image,))
        for name in _personas(recipe, item)
    ]


def _read_questions(recipe: BuildRecipe, item: Item, answers: Sequence[StepAnswer]) -> list[Outcome]:
    """Make an item of each question; a persona whose answer is no good costs the other nothing."""
    outcomes: list[Outcome] = []
    for persona, answer in zip(_personas(recipe, item), answers, strict=True):
        try:
            read = read_questions(answer.text)
        except RejectedError as error:
            outcomes.append(item.child(persona).rejected(error.reason, error.detail))
            continue
        outcomes += [
            item.child(f"{persona}-{number}", persona=persona, question=found.question, answer=found.answer)
            for number, found in enumerate(read)
        ]
    return outcomes


def _personas(recipe: BuildRecipe, item: Item) -> tuple[str, ...]:
    return personas_of(item.data["image"], list(read_personas()), recipe.seed, recipe.settings.personas)


def _judge(items: Iterable[Item]) -> Iterator[Outcome]:
    """Judge all that a persona asks about an image together."""
    for _, group in groupby(items, key=lambda item: (item.root, item.data["persona"])):
        asked = list(group)
        verdict = judge_together([ImageQuestion(item.data["question"], item.data["answer"]) for item in asked])
        for item in asked:
            yield item.rejected(BRAZILIAN, "; ".join(verdict.reasons)) if verdict.refused else item


def _ask_answer(item: Item) -> list[StepRequest]:
    text = read_prompt(NAME, "answer").substitute(question=item.data["question"])
    return [StepRequest(text, images=(item.data["image"],))]


def _read_answer(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    text = answers[0].text.strip()
    said = final_answer(text, "pt")
    if said is None or not said.strip(" .*"):
        raise AskAgainError("an answer without reasoning or result", text[-80:])
    reasoning = text.rpartition("\n")[0].strip()
    if not STEPS_LENGTH[0] <= len(reasoning) <= STEPS_LENGTH[1]:
        raise AskAgainError("reasoning too short or too long", f"{len(reasoning)} letters")
    if (verdict := judge(f"{item.data['question']}\n{text}")).refused:
        raise AskAgainError(BRAZILIAN, "; ".join(verdict.reasons))
    said = said.strip(" .*")
    if same_answer(said, UNKNOWN):
        raise RejectedError("a question that the image does not answer", item.data["question"])
    return [item.having(steps=reasoning, said=said)]


def _ask_equivalence(other: str, item: Item) -> list[StepRequest]:
    """Ask whether an answer means the known one, unless the words say so."""
    if same_answer(item.data["answer"], item.data[other]):
        return []
    return [_equivalence(item, item.data["answer"], item.data[other])]


def _equivalence(item: Item, one: str, other: str) -> StepRequest:
    text = read_prompt(NAME, "verify").substitute(question=item.data["question"], one=one, other=other)
    return StepRequest(text)


def _read_verified(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    if answers and not _equivalent(answers[0]):
        raise RejectedError("two answers that differ", f"{item.data['answer']} and {item.data['said']}")
    return [item]


def _equivalent(answer: StepAnswer) -> bool:
    verdict = read_verdict(answer.text)
    if verdict is None:
        raise AskAgainError("a comparison that is neither yes nor no", answer.text[:80])
    return verdict


def _ask_attempt(item: Item) -> list[StepRequest]:
    text = read_prompt(NAME, "attempt").substitute(question=item.data["question"])
    return [StepRequest(text, images=(item.data["image"],))]


def _read_attempt(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    return [item.having(attempt=" ".join(answers[0].text.split()))]


def _read_difficulty(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    if not answers or _equivalent(answers[0]):
        raise RejectedError("a question that a weak model answers", item.data["question"])
    return [item]


def _reserve(items: Iterable[Item]) -> Iterator[Outcome]:
    """Say which questions wrong options are asked for."""
    held = _hold(items)
    asked = asked_for_options([name for name, _ in held])
    for name, data in held:
        yield Item(name, {**json.loads(data), "reserved": name in asked, "distractors": []})


def _ask_options(item: Item) -> list[StepRequest]:
    if not item.data["reserved"]:
        return []
    slots = {"question": item.data["question"], "answer": item.data["answer"], "count": OPTIONS}
    return [StepRequest(read_prompt(NAME, "options").substitute(slots), images=(item.data["image"],))]


def _read_options(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    """Keep the options as they are; a question without any is no multiple choice, and stays."""
    options = read_texts(answers[0].said or "") if answers else []
    return [item.having(options=list(dict.fromkeys(options)))]


def _ask_comparisons(item: Item) -> list[StepRequest]:
    return [_equivalence(item, item.data["answer"], option) for option in item.data["options"]]


def _read_comparisons(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    """Keep the options that are surely wrong: what got no verdict is not."""
    same = [read_verdict(answer.said or "") is not False for answer in answers]
    sound = sound_distractors(item.data["answer"], item.data["options"], same)
    return [item.having(distractors=list(sound))]


def _choose_forms(items: Iterable[Item]) -> Iterator[Outcome]:
    """Give every question of all shards its form, in exact shares."""
    held = _hold(items)
    able = {name: len(json.loads(data)["distractors"]) >= DISTRACTORS for name, data in held}
    forms = choose_forms(able)
    for name, data in held:
        yield Item(name, {**json.loads(data), **forms[name]._asdict()})


def _gather(items: Iterable[Item]) -> Iterator[Outcome]:
    """Make one dialogue of the questions about an image."""
    kept = ("question", "answer", "steps", "distractors", "form", "letter", "persona")
    for root, group in groupby(items, key=lambda item: item.root):
        asked = list(group)
        first = asked[0].data
        turns = [{"id": item.id, **{name: item.data[name] for name in kept}} for item in asked]
        image = {name: first[name] for name in ("image", "licence", "source", "concept")}
        yield Item(f"{root:08}", {**image, "turns": turns})


def _hold(items: Iterable[Item]) -> list[tuple[str, str]]:
    """Keep items of all shards as JSON, a third of what they take as objects."""
    return [(item.id, json.dumps(item.data, ensure_ascii=False)) for item in items]


def _question(turn: Mapping[str, Any]) -> VerifiedQuestion:
    return VerifiedQuestion(
        turn["id"], turn["question"], turn["answer"], turn["steps"], distractors=tuple(turn["distractors"])
    )
