"""What rendered samples are made from: fonts, texts, functions and invoices, the package's own or the user's."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..code.functions import read_functions
from ..dataset import Materials
from ..invoices.fatura import read_invoices
from ..text.passages import read_passages, write_passage
from ..typefaces import find_typefaces
from .recipe import INPUTS, BuildRecipe


def materials_of(recipe: BuildRecipe) -> Materials:
    """Open what samples are made from."""
    return _materials(*(getattr(recipe, name) for name in INPUTS))


@lru_cache(maxsize=1)
def _materials(fonts: str | None, texts: str | None, functions: str | None, invoices: str | None) -> Materials:
    return Materials(
        typefaces=find_typefaces(Path(fonts) if fonts else None),
        passages=read_passages(Path(texts)) if texts else write_passage,
        functions=read_functions(Path(functions)) if functions else None,
        invoices=read_invoices(Path(invoices)) if invoices else None,
    )
