"""Two real ranks share each layer, and the embeddings that are the head again: the logits are one process's."""

import os
import signal
import socket
import subprocess
import sys

import pytest
import torch
from torch.multiprocessing import start_processes
from transformers import DistributedConfig

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from tests.modeling.batches import MIXED, Batch
from tests.tiny import tiny_config, tiny_model, tiny_text_config

BATCH = Batch(MIXED, [6, 9, 3])


def work(rank, directory):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    model = AmaliaVLForConditionalGeneration.from_pretrained(
        directory, distributed_config=DistributedConfig(tp_size=2)
    )
    with torch.no_grad():
        logits = model.eval()(**BATCH.ours).logits
    torch.save(logits.full_tensor() if hasattr(logits, "full_tensor") else logits, f"{directory}/logits-{rank}.pt")


@pytest.mark.parametrize("tied", [False, True])
def test_two_ranks_compute_what_one_does(tmp_path, tied):
    text = tiny_text_config("gemma2", tie_word_embeddings=tied, num_key_value_heads=2)
    model = tiny_model(tiny_config(text=text, tie_word_embeddings=tied))
    model.save_pretrained(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "tests.modeling.test_tensor_parallel", str(tmp_path)]
    with subprocess.Popen(command, env={**os.environ, **world}, start_new_session=True) as process:
        try:
            assert process.wait(timeout=120) == 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    with torch.no_grad():
        expected = model(**BATCH.ours).logits
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"logits-{rank}.pt"), expected, atol=1e-5, rtol=0)


if __name__ == "__main__":
    start_processes(work, (sys.argv[1],), nprocs=2, start_method="fork")
