"""Prompts of the steps that ask a model: files in European Portuguese, whose hash goes into every row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from string import Template

from .dataset import FAMILIES, WRITTEN, ModelStep

FOLDER = Path(__file__).parent
_VERSION = "versão: "  # begins the first line, for people; the model does not get it


def read_prompt(dataset: str, step: str) -> Template:
    """Read the prompt of a dataset's step, without its version.

    Raises:
        ValueError: The file does not begin with its version.
    """
    return read_prompt_file(_path(dataset, step))


def read_prompt_file(path: Path) -> Template:
    """Read a prompt, without its version.

    Raises:
        ValueError: The file does not begin with its version.
    """
    first, _, rest = path.read_text(encoding="utf-8").partition("\n")
    if not first.startswith(_VERSION):
        raise ValueError(f"{path} must begin with a line {_VERSION!r} and a number, not {first!r}")
    return Template(rest.strip())


def prompt_hash(dataset: str, steps: Sequence[ModelStep]) -> str:
    """Hash the prompts of the steps, SHA-256; nothing where no model is asked."""
    return prompts_hash(dataset, [step.name for step in steps])


def prompts_hash(dataset: str, names: Sequence[str]) -> str:
    """Hash prompt files, SHA-256; nothing where there are none."""
    if not names:
        return ""
    digest = hashlib.sha256()
    for name in names:
        digest.update(_path(dataset, name).read_bytes())
    return digest.hexdigest()


def _path(dataset: str, step: str) -> Path:
    family = FAMILIES.get(dataset) or WRITTEN[dataset]
    return FOLDER / family / "prompts" / dataset / f"{step}.md"
