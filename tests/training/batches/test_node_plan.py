"""A plan of rows is made once a machine, and every rank has it."""

import json
import os
import socket
import subprocess
import sys

import pytest

from amalia_vl_hf.training.batches.node_plan import plan_once_a_node
from amalia_vl_hf.training.batches.row_plan import plan_rows

from .node_ranks import LENGTHS, OPTIONS


def test_one_rank_hands_nothing_over():
    plan = plan_rows(LENGTHS, LENGTHS * 1.0, **OPTIONS)
    assert plan_once_a_node(lambda: plan, None) is plan


@pytest.mark.slow
def test_two_ranks_map_what_one_of_them_made(tmp_path):
    (tmp_path / "tmp").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "tests.training.batches.node_ranks", str(tmp_path)]
    ranks = [subprocess.Popen(command, env={**os.environ, **world, "RANK": rank, "LOCAL_RANK": rank}) for rank in "01"]
    try:
        assert [rank.wait(timeout=300) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in "01")
    plan = list(plan_rows(LENGTHS, LENGTHS * 1.0, **OPTIONS))
    assert first["whole"] == {"made": 1, "mapped": True, "plan": plan}
    assert second["whole"] == {"made": 0, "mapped": True, "plan": plan}
    assert first["no room"] == second["no room"] == {"made": 1, "mapped": False, "plan": plan}
    assert first["faulty"]["fault"] == second["faulty"]["fault"] == "a conversation is too long"
    assert list((tmp_path / "tmp").iterdir()) == [], "the file is gone"
