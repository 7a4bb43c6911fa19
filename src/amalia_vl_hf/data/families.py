"""Families of models, told by their names: who writes, who edits and who judges must not be kin.

A judge favours what its own family wrote; the paper has Qwen judge what Gemma edited (section 5.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations

from ..fields import RecipeError

# By what is in a model's name; one built on another's weights belongs to that family, too.
_KIN: Mapping[str, tuple[str, ...]] = {
    "amalia": ("amalia", "eurollm", "eurovlm", "gloria"),
    "gemma": ("gemma", "gemini", "towervision", "tower-plus", "tower+"),
    "qwen": ("qwen", "qwq", "qvq", "internvl3", "tongyi"),
    "llama": ("llama", "nemotron"),
    "mistral": ("mistral", "ministral", "mixtral", "magistral", "pixtral", "devstral"),
    "deepseek": ("deepseek",),
    "gpt": ("gpt", "chatgpt", "openai"),
    "claude": ("claude",),
    "phi": ("phi-", "phi3", "phi4"),
    "glm": ("glm",),
    "internlm": ("internlm", "internvl"),
    "olmo": ("olmo", "molmo"),
    "salamandra": ("salamandra",),
    "smol": ("smollm", "smolvlm"),
    "granite": ("granite",),
    "falcon": ("falcon",),
    "minicpm": ("minicpm",),
    "command": ("command-r", "command-a", "aya-", "c4ai"),
    "perception": ("perception-lm", "plm-"),
}


def families_of(model: str) -> frozenset[str]:
    """Give the families that a model's name tells; several where one was distilled into another, none if unknown.

    >>> sorted(families_of("google/gemma-4-31b-it")), sorted(families_of("DeepSeek-R1-Distill-Qwen-7B"))
    (['gemma'], ['deepseek', 'qwen'])
    """
    name = model.lower()
    return frozenset(
        family for family, marks in _KIN.items() if any(re.search(rf"{re.escape(mark)}", name) for mark in marks)
    )


def require_strangers(models: Mapping[str, str], families: Mapping[str, str]) -> None:
    """Hold the models of several roles to be of different families.

    Args:
        models: Their names, by role.
        families: What the recipe says of a role, in the place of the model's name.

    Raises:
        RecipeError: Two are kin, or a family is not known.
    """
    faults = [f"settings.families: there is no role {role}" for role in families if role not in models]
    known = {
        role: frozenset((families[role].lower(),)) if role in families else families_of(model)
        for role, model in models.items()
    }
    faults += [
        f"roles.{role}: of which family is {models[role]}? Say it: settings.families.{role}"
        for role, kin in known.items()
        if not kin
    ]
    for one, other in combinations(known, 2):
        if shared := sorted(known[one] & known[other]):
            faults.append(
                f"roles.{one} and roles.{other} are both {shared[0]} ({models[one]}, {models[other]}): "
                "a judge favours its own kin"
            )
    if faults:
        raise RecipeError("; ".join(faults))
