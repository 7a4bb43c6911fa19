"""Two real ranks on gloo: whatever shares the model among them, and whatever they hold, they learn as one process."""

import json
import os
import signal
import socket
import time
from functools import partial

import pytest
import torch
from safetensors.torch import load_file

from amalia_vl_hf.training.run import train
from tests.forked import forked
from tests.training.ranks import CASES, RUNS, case_recipe, losses, run_rank
from tests.training.tiny_run import assistant, user

VALUES = (
    "epochs=null",
    "steps=4",
    "save_steps=2",
    "log_steps=1",
    "warmup=0",
    "workers=0",
    "gradient_checkpointing=true",
)
PATIENCE = 400  # s, of a machine that is busy
TEXT_ONLY = 14  # conversations without an image, beside eight with one


@pytest.fixture(scope="module")
def folder(samples, base, tmp_path_factory):
    """Data whose conversations have an image or none, and preference pairs."""
    folder = tmp_path_factory.mktemp("ranks")
    for picture in samples["sft"].parent.glob("*.png"):
        (folder / picture.name).write_bytes(picture.read_bytes())
    texts = [
        json.dumps({"messages": [user(f"Olá {index}"), assistant(f"olá, {index}")]}) for index in range(TEXT_ONLY)
    ]
    images = samples["sft"].read_text(encoding="utf-8").splitlines()
    (folder / "sft.jsonl").write_text("\n".join([*texts, *images]), encoding="utf-8")
    (folder / "dpo.jsonl").write_text(samples["dpo"].read_text(encoding="utf-8"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def ranks(folder, base):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    values = (*VALUES, f"model={base}", "batch_size=2")

    def work(rank):
        os.environ.update(world, CUDA_VISIBLE_DEVICES="")
        run_rank(rank, folder, *values)

    # Forked, the ranks do not import again what takes longer than their training.
    assert ended([forked(partial(work, rank)) for rank in (0, 1)]) == [0, 0]
    return [json.loads((folder / f"{rank}.json").read_text(encoding="utf-8")) for rank in "01"]


def ended(processes):
    """Wait for processes to end, and give their exit codes; one that fails ends the others, who would wait for it."""
    codes, until = {}, time.monotonic() + PATIENCE
    while len(codes) < len(processes):
        for process in set(processes) - codes.keys():
            done, status = os.waitpid(process, os.WNOHANG)
            if done:
                codes[process] = os.waitstatus_to_exitcode(status)
            elif any(codes.values()) or time.monotonic() > until:
                os.killpg(process, signal.SIGKILL)
        time.sleep(0.02)
    return [codes[process] for process in processes]


@pytest.fixture(scope="module")
def alone(folder, base):
    """The same steps in one process, which takes the batches of both ranks one after the other."""

    def run(case):
        accumulation = 4 if case == "prefer" else 2  # twice what each of two ranks does
        values = [*VALUES, f"model={base}", "batch_size=2", f"accumulation={accumulation}"]
        output = train(case_recipe(case, folder, *values, f"output={folder / case}_alone"))
        return losses(json.loads((output / "training.json").read_text(encoding="utf-8"))["log_history"])

    return {case: run(case) for case in CASES}


def test_ranks_held_text_images_and_both(ranks):
    pairs = set(zip(ranks[0]["kinds"], ranks[1]["kinds"], strict=True))
    assert {kind for pair in pairs for kind in pair} == {"text", "images", "mixed"}
    assert any("text" in pair and pair != ("text", "text") for pair in pairs), (
        "one of them had no image, the other had"
    )


@pytest.mark.parametrize("name", [name for name in RUNS if "refused" not in name])
def test_losses_and_gradients_are_those_of_one_process(name, ranks, alone):
    assert ranks[0][name] == ranks[1][name]
    actual, expected = torch.tensor(ranks[0][name]), torch.tensor(alone[name.split()[0]])
    torch.testing.assert_close(actual, expected, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["ddp", "zero3"])
def test_ranks_that_died_end_with_the_weights_of_those_that_did_not(kind, ranks, folder):
    whole, resumed = (
        load_file(folder / f"instruct_{kind}{ending}" / "model.safetensors") for ending in ("", "_interrupted")
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_what_shares_the_model_does_not_change_the_weights(ranks, folder):
    ddp, zero2, zero3 = (
        load_file(folder / f"instruct_{kind}" / "model.safetensors") for kind in ("ddp", "zero2", "zero3")
    )
    for name in ddp:
        torch.testing.assert_close(zero2[name], ddp[name], rtol=0, atol=2e-4, msg=name)
        torch.testing.assert_close(zero3[name], ddp[name], rtol=0, atol=2e-4, msg=name)


def test_adapters_are_merged_once_all_ranks_are_done(ranks, alone, folder):
    merged, expected = (load_file(folder / f"adapters_{kind}" / "model.safetensors") for kind in ("zero3", "alone"))
    assert merged.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(merged[name], expected[name], rtol=0, atol=2e-4, msg=name)


def test_accelerate_does_not_fall_back_without_a_word(ranks):
    for rank in ranks:
        assert rank["instruct fsdp refused"] == (
            "FSDP was asked for, but accelerate uses MULTI_CPU; on CPUs it does DDP or DeepSpeed"
        )
