"""Images of all shards while they are drawn: of each, what the draw needs and what its item is made of again."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Iterator, Sequence

import numpy as np

from ..steps import Item, Outcome
from .sampling import SKETCH, draw_images, draw_order, first_of_each

TWICE = "an image that is there twice"
NOT_DRAWN = "an image that was not drawn"


class DrawnImages:
    """Images with their mega-concepts, some 350 bytes each: 5 M take less than 2 GB.

    Args:
        seed: Of the draw.
        concepts: Their names.
        most: How many images there may be.
    """

    def __init__(self, seed: int, concepts: Sequence[str], most: int) -> None:
        self.seed = seed
        self.concepts = list(concepts)
        self.places = {name: place for place, name in enumerate(concepts)}
        self.roots = array("q")
        self.digests = bytearray()
        self.kinds = array("B")
        self.origins: dict[tuple[str, str], int] = {}
        self.origin = array("l")
        self.sketches = np.empty((most, SKETCH), np.int8)

    def add(self, item: Item) -> None:
        """Take an image, with what was found out about it."""
        data = item.data
        self.sketches[len(self.roots)] = np.frombuffer(base64.b64decode(data["sketch"]), np.int8)
        self.roots.append(item.root)
        self.digests += bytes.fromhex(data["image"])
        self.kinds.append(self.places[data["concept"]])
        self.origin.append(self.origins.setdefault((data["licence"], data["source"]), len(self.origins)))

    def outcomes(self, wanted: int | None, near: float) -> Iterator[Outcome]:
        """Give an item of each image that is drawn, and say of the others that they are not.

        Args:
            wanted: How many are drawn; all that are no duplicates when left out.
            near: Cosine from which on two images of a concept are one.
        """
        count = len(self.roots)
        digests = np.frombuffer(bytes(self.digests), "S32") if count else np.empty(0, "S32")
        once = first_of_each(digests)
        numbers = np.frombuffer(bytes(self.digests), ">u8")[::4].astype(np.uint64)
        drawn = draw_images(
            np.asarray(self.kinds, np.uint8)[once],
            draw_order(numbers[once], self.seed),
            count if wanted is None else wanted,
            self.sketches[:count] if len(once) == count else self.sketches[once],
            near,
            len(self.concepts),
        )
        chosen, known = set(once[drawn.chosen].tolist()), set(once.tolist())
        for place in range(count):
            item = self._item(place)
            if place in chosen:
                yield item
            else:
                yield item.rejected(NOT_DRAWN if place in known else TWICE)

    def _item(self, place: int) -> Item:
        licence, source = list(self.origins)[self.origin[place]]
        data = {
            "image": self.digests[32 * place : 32 * place + 32].hex(),
            "licence": licence,
            "source": source,
            "concept": self.concepts[self.kinds[place]],
        }
        return Item(f"{self.roots[place]:08}", data)
