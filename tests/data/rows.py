"""Rows as a build writes them, without the build, and what tests spoil in them."""

import json
import random

from amalia_vl_hf.data.dataset import Materials
from amalia_vl_hf.data.rows import write_row
from amalia_vl_hf.data.text.passages import write_passage
from amalia_vl_hf.data.typefaces import find_typefaces

MATERIALS = Materials(find_typefaces(), write_passage)


def drawn_row(dataset, seed, materials=MATERIALS):
    return write_row(dataset, dataset.draw(random.Random(f"0 {seed}"), seed, materials), seed)


def with_answer(row, answer):
    return {**row, "messages": [*row["messages"][:-1], {"role": "assistant", "content": answer}]}


def with_question(row, question):
    return {**row, "messages": [*row["messages"][:-2], {"role": "user", "content": question}, row["messages"][-1]]}


def with_truth(row, **changes):
    return {**row, "truth": json.dumps({**json.loads(row["truth"]), **changes})}
