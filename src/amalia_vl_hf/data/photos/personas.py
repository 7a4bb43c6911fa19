"""The 36 personas of PT-VQA-Gen, each a prompt file on what it looks at, and which two ask about an image."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ..prompts import read_prompt_file

PERSONAS = Path(__file__).parent / "prompts" / "personas"
AN_IMAGE = 2  # personas; paper, section 5.1


@lru_cache(maxsize=4)
def read_personas(folder: Path = PERSONAS) -> dict[str, str]:
    """Read what each persona is and looks at, by its file's name.

    Raises:
        ValueError: There is none, a file has no version, or two say the same.
    """
    texts = {path.stem: read_prompt_file(path).template for path in sorted(folder.glob("*.md"))}
    if not texts:
        raise ValueError(f"{folder} holds no persona, a file NAME.md each")
    if len(set(texts.values())) < len(texts):
        raise ValueError(f"{folder}: two personas say the same")
    return texts


def personas_of(image: str, personas: Sequence[str], seed: int, count: int = AN_IMAGE) -> tuple[str, ...]:
    """Draw who asks about an image; no one twice, and the same for the same image and seed.

    Raises:
        ValueError: There are not as many.
    """
    if count > len(personas):
        raise ValueError(f"{count} personas an image are wanted, of {len(personas)}")
    drawn = random.Random(hashlib.sha256(f"personas {seed} {image}".encode()).digest())  # noqa: S311
    return tuple(drawn.sample(sorted(personas), count))
