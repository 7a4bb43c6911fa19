r"""A sample's translation as it comes: what is asked of its segments, what came back, and what is wrong with that.

>>> plan = Plan.of(["Which colour?\nA. Red\nB. No"], [False])
>>> plan.bodies, plan.fixed
(['Which colour?', 'Red'], {'No': 'Não'})
>>> plan.texts({"Which colour?": "De que cor?", "Red": "Vermelho"})
['De que cor?\nA. Vermelho\nB. Não']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..variety import judge
from .languages import PORTUGUESE
from .masks import LostPlaceError, mask, unmask
from .segments import TextSegment, cut, join, translated_word
from .structure import Fault, faults

NO_ANSWER = "no answer"


class Plan(NamedTuple):
    """What of a sample's texts is asked, each body once: equal ones have one translation.

    Args:
        segments: Of each text; a text that stays is one segment without a body.
        bodies: What is asked, in the order of the texts.
        contexts: What each belongs to: the question of an option.
        fixed: Bodies whose translation is known: yes and no, and what has no words.
    """

    segments: list[list[TextSegment]]
    bodies: list[str]
    contexts: list[str]
    fixed: dict[str, str]

    @classmethod
    def of(cls, texts: Sequence[str], stay: Sequence[bool], target: str = PORTUGUESE) -> Plan:
        """Plan the translation of texts.

        Args:
            texts: Of a sample.
            stay: Whether each stays as it is.
            target: One of `languages.TARGETS`.
        """
        plan = cls([], [], [], {})
        for text, kept in zip(texts, stay, strict=True):
            segments = [TextSegment(text, "", "")] if kept else cut(text)
            plan.segments.append(segments)
            stem = next((segment.body for segment in segments if segment.body), "")
            for segment in segments:
                plan._add(segment, stem if segment.option and segment.body != stem else "", target)
        return plan

    def texts(self, translations: Mapping[str, str]) -> list[str]:
        """Put the bodies' translations into the texts."""
        known = {**self.fixed, **translations}
        return [join(segments, [known[part.body] for part in segments if part.body]) for segments in self.segments]

    def _add(self, segment: TextSegment, context: str, target: str) -> None:
        body = segment.body
        if not body or body in self.fixed or body in self.bodies:
            return
        stays = not mask(body).has_words or (segment.option is not None and len(body) == 1)
        fixed = body if stays else translated_word(body, target)
        if fixed is not None:
            self.fixed[body] = fixed
            return
        self.bodies.append(body)
        self.contexts.append(context)


class Draft(NamedTuple):
    """A model's translation of a body.

    Args:
        said: As it was said, places in it.
        text: With the pieces in their places; None where places are missing, or nothing was said.
        faults: What is wrong with it.
    """

    said: str
    text: str | None
    faults: list[Fault]


def read_draft(body: str, said: str | None, problem: str | None = None, target: str = PORTUGUESE) -> Draft:
    """Unmask what a model said of a body, and hold it to the hard rules.

    Args:
        body: Of the source.
        said: What was said of it, masked; None where there was no answer.
        problem: Why there was none.
        target: One of `languages.TARGETS`.
    """
    if said is None:
        return Draft("", None, [Fault(NO_ANSWER, problem or "nothing came back")])
    said = said.strip()
    try:
        text = unmask(said, mask(body))
    except LostPlaceError as error:
        return Draft(said, None, [Fault("tokens", str(error))])
    return Draft(said, text, faults(body, text, target))


def whole_faults(sources: Sequence[str], translations: Sequence[str], target: str = PORTUGUESE) -> list[Fault]:
    """Hold a whole sample to what its segments alone do not show: lines and options, and the variety of all of it."""
    found = [
        fault
        for source, translation in zip(sources, translations, strict=True)
        for fault in faults(source, translation, target)
        if fault.rule in ("options", "lines", "tokens") and source != translation
    ]
    translated = (text for source, text in zip(sources, translations, strict=True) if source != text)
    if target == PORTUGUESE and (verdict := judge("\n".join(translated))).refused:
        signs = [reason for reason in verdict.reasons if reason.startswith("pt-BR")]
        found.append(Fault("Brazilian", "; ".join(signs) or f"n-grams alone, score {verdict.score:.2f}"))
    return found
