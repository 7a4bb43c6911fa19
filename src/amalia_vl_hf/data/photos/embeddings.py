"""Embeddings of images and of captions by a dual encoder of the Hub, SigLIP 2 unless another is named.

The paper used MetaCLIP (section 5.1), whose weights are CC-BY-NC-4.0; SigLIP 2's are Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...memory import best_device
from ...processing.image_loading_amalia_vl import load_image
from .concepts import concept_vectors, normalised, read_concepts

DUAL_ENCODER = "google/siglip2-so400m-patch16-384"
BATCH = 32  # images or captions at once
_LONGEST = 64  # tokens of a caption, which SigLIP pads to and CLIP cuts at


class DualEncoder:
    """Images and captions as vectors that can be compared.

    Args:
        name: Directory or Hub id of a model with `get_image_features` and `get_text_features`: SigLIP, SigLIP 2, CLIP.

    Raises:
        ValueError: It is another model.
    """

    def __init__(self, name: str) -> None:
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        self.device = best_device()
        self.model = AutoModel.from_pretrained(name, trust_remote_code=False).eval().to(self.device)
        if not hasattr(self.model, "get_image_features") or not hasattr(self.model, "get_text_features"):
            raise ValueError(f"{name} is a {self.model.config.model_type}, no dual encoder of images and texts")
        self.images = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
        self.tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)

    def embed_images(self, pictures: Sequence[Any]) -> NDArray[np.float32]:
        """Give the unit vectors of pictures, `(pictures, size)`."""
        return self._batches(pictures, lambda batch: self._features("image", self.images(batch, return_tensors="pt")))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give the unit vectors of captions, `(texts, size)`; what is too long for the encoder is cut."""
        longest = min(_LONGEST, self.model.config.text_config.max_position_embeddings)
        padding = "max_length" if self.model.config.model_type.startswith("siglip") else True

        def encode(batch: Sequence[str]) -> NDArray[np.float32]:
            tokens = self.tokenizer(
                list(batch), padding=padding, truncation=True, max_length=longest, return_tensors="pt"
            )
            known = {name: tokens[name] for name in ("input_ids", "attention_mask") if name in tokens}
            return self._features("text", known)

        return self._batches(texts, encode)

    def _features(self, kind: str, inputs: Any) -> NDArray[np.float32]:
        import torch

        moved = {name: tensor.to(self.device) for name, tensor in dict(inputs).items()}
        with torch.inference_mode():
            found = getattr(self.model, f"get_{kind}_features")(**moved)
        pooled = getattr(found, "pooler_output", found)
        return normalised(pooled.float().cpu().numpy())

    def _batches(self, items: Sequence[Any], encode: Any) -> NDArray[np.float32]:
        parts = [encode(items[start : start + BATCH]) for start in range(0, len(items), BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)


@lru_cache(maxsize=1)
def load_encoder(name: str) -> DualEncoder:
    """Load an encoder once a process."""
    return DualEncoder(name)


@lru_cache(maxsize=1)
def encoded_concepts(name: str) -> NDArray[np.float32]:
    """Give the vectors of the mega-concepts by an encoder, `(60, size)`."""
    concepts = read_concepts()
    captions = [caption for concept in concepts for caption in concept.captions]
    return concept_vectors(load_encoder(name).embed_texts(captions), concepts)


def open_pictures(paths: Iterable[Path]) -> list[Any]:
    """Decode pictures; ValueError in the place of one that cannot be."""
    opened: list[Any] = []
    for number, path in enumerate(paths):
        try:
            opened.append(load_image(str(path), number))
        except (ValueError, OSError) as error:
            opened.append(ValueError(str(error)))
    return opened
