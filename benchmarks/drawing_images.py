"""PT-VQA-Gen's draw of 750,000 of 5 M images: to the nearest of 60 concepts, quotas, near duplicates left out.

Embeddings of 1152 half precision numbers, in shards as a build has them; one image in twenty is nearly another one.
SCALE (1) takes a share of the images. Stock is what was wanted: 600 s and 4 GB.
"""

import json
import os
import resource
import time

import numpy as np

from amalia_vl_hf.data.photos.concepts import nearest_concepts, normalised
from amalia_vl_hf.data.photos.sampling import SKETCH, draw_images, draw_order, sketch

IMAGES, WANTED, SIZE, SHARD = 5_000_000, 750_000, 1152, 20_000
SCALE = float(os.environ.get("SCALE", "1"))


def shards(count: int, centres: np.ndarray) -> "np.ndarray":
    """Give embeddings shard by shard: around the concepts, of which some are frequent, with near copies."""
    rng = np.random.default_rng(0)
    noise, shares = rng.normal(size=(40_000, SIZE)).astype(np.float32), rng.dirichlet(np.full(60, 0.7))
    for start in range(0, count, SHARD):
        size = min(SHARD, count - start)
        rows = 30 * centres[rng.choice(60, size=size, p=shares)]
        rows += noise[rng.integers(40_000, size=size)] * rng.uniform(0.5, 1.5, (size, 1)).astype(np.float32)
        copies = size // 20
        rows[:copies] = rows[copies : 2 * copies] + 0.1 * noise[:copies]
        yield rows.astype(np.float16)


def main() -> None:
    """Map, sketch and draw; print seconds and memory."""
    count, wanted = int(IMAGES * SCALE), int(WANTED * SCALE)
    centres = normalised(np.random.default_rng(1).normal(size=(60, SIZE)))
    concepts, sketches = np.empty(count, np.uint8), np.empty((count, SKETCH), np.int8)
    mapped = sketched = 0.0
    start = 0
    for rows in shards(count, centres):
        times = [time.process_time()]
        concepts[start : start + len(rows)] = nearest_concepts(rows, centres)
        times.append(time.process_time())
        sketches[start : start + len(rows)] = sketch(rows)
        times.append(time.process_time())
        mapped, sketched, start = mapped + times[1] - times[0], sketched + times[2] - times[1], start + len(rows)
    ids = np.random.default_rng(2).integers(2**63, size=count).astype(np.uint64)
    begun, wall = time.process_time(), time.monotonic()
    even = draw_images(concepts, draw_order(ids, 0), wanted)
    quotas = time.process_time() - begun
    begun = time.process_time()
    drawn = draw_images(concepts, draw_order(ids, 0), wanted, sketches)
    whole, wall = time.process_time() - begun, time.monotonic() - wall
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{count:,} images, {wanted:,} wanted; of a concept {min(drawn.counts):,} to {max(drawn.counts):,}")
    print(f"without duplicates: {len(drawn.chosen):,} ({drawn.near:,} near ones left out); even {len(even.chosen):,}")
    table = {"nearest concept": mapped, "sketch": sketched, "quotas": quotas, "quotas and near duplicates": whole}
    for name, seconds in table.items():
        print(f"{name:28}{seconds:9.1f} s of processor")
    print(f"{'both draws':28}{wall:9.1f} s of wall;  largest memory {memory:.2f} GB")
    total = mapped + sketched + whole
    figure = {"ours": total, "stock": 600, "ratio": 600 / total, "unit": "s of processor"}
    print(
        json.dumps(
            {"draw of images": figure, "draw memory": {"ours": memory, "stock": 4, "ratio": 4 / memory, "unit": "GB"}}
        )
    )


if __name__ == "__main__":
    main()
