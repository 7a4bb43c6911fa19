"""Rows of three benchmarks with pictures, whose answers are what a model says or something else."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

TASKS = ("mme_pt", "docvqa_pt", "chartqa_pt")


def picture(number):
    """Give a stored picture of noise, of one of twelve sizes."""
    stored = io.BytesIO()
    size = (40 + 30 * (number % 3), 30 + 25 * (number % 4))
    Image.effect_noise(size, 60 + number).convert("RGB").save(stored, "PNG")
    return {"bytes": stored.getvalue(), "path": None}


def write_rows(folder, pictures, right=None):
    """Write `TASK.parquet`; `right` gives the answers that every second row has for its reference."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(len(pictures))

    def reference(task, number):
        return right[task][number] if right and number % 2 else "não"

    shared = {"image": pictures, "question": [f"O que se vê na imagem {number}?" for number in numbers]}
    columns = {
        "mme_pt": {
            "answer": [reference("mme_pt", number) for number in numbers],
            "category": ["existence"] * len(pictures),
            "question_id": [number // 2 for number in numbers],
        },
        "docvqa_pt": {
            "answers": [[reference("docvqa_pt", number)] for number in numbers],
            "questionId": list(numbers),
        },
        "chartqa_pt": {
            "answer": [reference("chartqa_pt", number) for number in numbers],
            "type": ["human", "augmented"] * (len(pictures) // 2),
        },
    }
    for task, own in columns.items():
        pq.write_table(pa.table({**shared, **own}), folder / f"{task}.parquet")
