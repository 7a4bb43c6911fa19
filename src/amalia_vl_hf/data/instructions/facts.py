"""What is true of a model, from a YAML file: facts in both languages, questions, and what answers must say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...fields import RecipeError, read_fields, read_yaml
from ..languages import LANGUAGES, Language

OWN_FACTS = Path(__file__).with_name("amalia_vl_facts.yaml")


@dataclass(frozen=True)
class ModelFact:
    """One thing that is true of a model.

    Args:
        name: Of the fact.
        pt: It, as the model says it in European Portuguese.
        en: It, in English.
        questions_pt: That it answers.
        questions_en: That it answers.
        says: Names that each answer has.
    """

    name: str
    pt: str
    en: str
    questions_pt: tuple[str, ...]
    questions_en: tuple[str, ...]
    says: tuple[str, ...] = ()

    def answer(self, language: Language) -> str:
        """Give the fact in a language."""
        return self.pt if language == "pt" else self.en

    def questions(self, language: Language) -> tuple[str, ...]:
        """Give the questions in a language."""
        return self.questions_pt if language == "pt" else self.questions_en


@dataclass(frozen=True)
class FactsFile:
    """The keys of a file of facts."""

    facts: tuple[ModelFact, ...]

    def __post_init__(self) -> None:
        names = [fact.name for fact in self.facts]
        if not names or len(set(names)) < len(names):
            raise RecipeError(
                f"facts: {', '.join(names) or 'none'}; each needs a name of its own, and one must be there"
            )
        for fact in self.facts:
            for language in LANGUAGES:
                if lost := [text for text in fact.says if text not in fact.answer(language)]:
                    raise RecipeError(f"facts[{fact.name}].{language} does not say {', '.join(lost)}, as `says` wants")
                if not fact.questions(language):
                    raise RecipeError(f"facts[{fact.name}].questions_{language}: one question at least")


class FactSource:
    """Facts as a build's entries, each in both languages.

    Args:
        path: A file of facts.

    Raises:
        RecipeError: It is none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.facts = read_fields(FactsFile, read_yaml(path)).facts
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from error
        self.entries = [(fact, language) for fact in self.facts for language in LANGUAGES]

    def __len__(self) -> int:
        return len(self.entries)

    def read(self, start: int, stop: int) -> Iterator[Mapping[str, Any]]:
        """Give a fact in a language: `fact`, `language`, `answer`, `questions` and `says`."""
        for fact, language in self.entries[start:stop]:
            questions = list(fact.questions(language))
            said = {"answer": fact.answer(language), "questions": questions, "says": list(fact.says)}
            yield {"fact": fact.name, "language": language, **said}

    def fingerprint(self) -> str:
        """Tell the facts from others."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()
