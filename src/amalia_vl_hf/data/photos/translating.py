"""A text about a photograph, translated: masked, asked for, and held to the hard rules of the room `translation`."""

from __future__ import annotations

from typing import Any

from ...translation.drafts import read_draft
from ...translation.languages import PORTUGUESE
from ...translation.masks import mask
from ...translation.wording import one_entry, prompts_digest, translation_prompt
from ..dataset import RejectedError
from ..steps import AskAgainError, StepAnswer, StepRequest


def translating() -> dict[str, Any]:
    """Make the wording of the translation's prompt part of what a step is; it lies in another room."""
    return {"prompts": (), "version": int(prompts_digest(("translate",))[:8], 16)}


def translation_request(text: str, target: str = PORTUGUESE) -> StepRequest:
    """Ask for the translation of an English text."""
    masked = mask(text).text
    return StepRequest(translation_prompt(masked, target), entry=one_entry(masked, target)[0])


def read_translation(text: str, answer: StepAnswer, target: str = PORTUGUESE) -> str:
    """Read the translation of a text.

    Raises:
        AskAgainError: A hard rule refuses it; the reason names the rule.
        RejectedError: There is no answer.
    """
    draft = read_draft(text, answer.text.strip(), target=target)
    if draft.faults or draft.text is None:
        raise AskAgainError(f"a translation that a rule refuses: {draft.faults[0].rule}", draft.faults[0].detail)
    if not draft.text.strip():
        raise RejectedError("an empty translation")
    return draft.text
