"""What each of two real ranks runs: a plan of rows that one of them makes, in every case that can come."""

import json
import mmap
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch.distributed as dist
from transformers import TrainingArguments

from amalia_vl_hf.training.batches import node_plan
from amalia_vl_hf.training.batches.row_plan import plan_rows

LENGTHS = np.random.default_rng(0).integers(5, 60, 1000)
OPTIONS = {"conversations": 8, "ranks": 2, "max_length": 200, "steps": 120, "seed": 0}


def base(array):
    """Find what an array's numbers lie in."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def planned(args, fault=None):
    """Plan, and say who made the plan, whether it is mapped, and what it is, or what was wrong."""
    made = []

    def make():
        made.append(1)
        if fault is not None:
            raise ValueError(fault)
        return plan_rows(LENGTHS, LENGTHS * 1.0, **OPTIONS)

    try:
        plan = node_plan.plan_once_a_node(make, args)
    except ValueError as error:
        return {"made": len(made), "fault": str(error)}
    return {"made": len(made), "mapped": isinstance(base(plan.order), mmap.mmap), "plan": list(plan)}


def main(folder: Path) -> None:
    """Run every case as the rank that the environment names."""
    args = TrainingArguments(str(folder), use_cpu=True)
    tempfile.tempdir = str(folder / "tmp")
    found = {"whole": planned(args), "faulty": planned(args, "a conversation is too long")}
    tempfile.tempdir = str(folder / "gone")
    found["no room"] = planned(args)
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
