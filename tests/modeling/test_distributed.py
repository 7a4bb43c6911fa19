"""Two real ranks on gloo: one may hold only text, or what the other lacks. They end as one process does."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.distributed.fsdp import fully_shard
from torch.multiprocessing import start_processes

from tests.modeling.video_batches import VideoBatch
from tests.tiny import tiny_model, tiny_video_config

# Of each step, what each rank has: images beside text only, videos beside images, both beside text only.
STEPS = [
    [[[(60, 60)], [(20, 90)]], [[], []]],
    [[[3], [2, 4]], [[(60, 60)], []]],
    [[[], []], [[3, (20, 90)], [(70, 30), 1]]],
]
LENGTHS = [6, 6]


def rank_batch(step, rank):
    """Every rank supervises as many tokens, so that the mean of the ranks' losses is the loss of all."""
    batch = VideoBatch(STEPS[step][rank], LENGTHS, seed=rank)
    labels = torch.full_like(batch.input_ids, -100)
    labels[:, -5:] = batch.input_ids[:, -5:]
    return {**batch.ours, "labels": labels}


def connector_only(model):
    """Stage 1, with checkpointing: the case that hung with stock LLaVA-NeXT."""
    model.train().gradient_checkpointing_enable()
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "multi_modal_projector" in name or "image_newline" in name
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.SGD(trained, lr=0.5)


def evaluate(model, batches):
    model.eval()
    with torch.no_grad():
        return [model(**batch, use_cache=False).loss.item() for batch in batches]


def work(rank, directory):
    """What each rank runs: three training steps, then an evaluation of the sharded model."""
    os.environ["RANK"] = str(rank)
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    model = tiny_model(tiny_video_config())
    optimizer = connector_only(model)
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    for step in range(len(STEPS)):
        optimizer.zero_grad()
        parallel(**rank_batch(step, rank)).loss.backward()
        optimizer.step()
    result = {
        "weights": [parameter.tolist() for parameter in model.model.multi_modal_projector.parameters()],
        "newline": model.model.image_newline.weight.tolist(),
        "evaluation": evaluate(gathering(model), [rank_batch(step, rank) for step in range(len(STEPS))]),
    }
    (Path(directory) / f"{rank}.json").write_text(json.dumps(result))
    torch.distributed.destroy_process_group()


def gathering(model):
    """Shards the model over the ranks (FSDP2): each layer's forward gathers its weights from all of them."""
    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (2,))
    tower, decoder = model.model.vision_tower.encoder, model.model.language_model
    for module in (*tower.layers, model.model.multi_modal_projector, *decoder.layers, model):
        fully_shard(module, mesh=mesh)
    return model


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    directory = tmp_path_factory.mktemp("ranks")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "tests.modeling.test_distributed", str(directory)]
    with subprocess.Popen(command, env={**os.environ, **world}, start_new_session=True) as process:
        try:
            assert process.wait(timeout=120) == 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return [json.loads((directory / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def single():
    """The same steps in one process: gradients of both batches, averaged."""
    model = tiny_model(tiny_video_config())
    optimizer = connector_only(model)
    for step in range(len(STEPS)):
        optimizer.zero_grad()
        for rank in range(2):
            (model(**rank_batch(step, rank)).loss / 2).backward()
        optimizer.step()
    return model


def test_training_with_a_text_only_rank_matches_one_process(ranks, single):
    assert ranks[0]["weights"] == ranks[1]["weights"]
    before = tiny_model(tiny_video_config()).model.multi_modal_projector
    for parameter, expected, start in zip(
        ranks[0]["weights"], single.model.multi_modal_projector.parameters(), before.parameters(), strict=True
    ):
        torch.testing.assert_close(torch.tensor(parameter), expected.data, atol=1e-6, rtol=1e-5)
        assert not torch.equal(expected, start)
    torch.testing.assert_close(
        torch.tensor(ranks[0]["newline"]), single.model.image_newline.weight.data, atol=1e-6, rtol=1e-5
    )


def test_evaluation_with_a_text_only_rank_matches_one_process(ranks, single):
    expected = [evaluate(single, [rank_batch(step, rank) for step in range(len(STEPS))]) for rank in range(2)]
    actual = [rank["evaluation"] for rank in ranks]
    torch.testing.assert_close(torch.tensor(actual), torch.tensor(expected), atol=1e-5, rtol=0)


if __name__ == "__main__":
    # Forked, the ranks do not import again what takes longer than their work.
    start_processes(work, (sys.argv[1],), nprocs=2, start_method="fork")
