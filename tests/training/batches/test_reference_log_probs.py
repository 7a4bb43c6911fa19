import copy
import os
import signal
import time
import traceback
from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from torch import nn

from amalia_vl_hf.training.batches import reference_log_probs
from amalia_vl_hf.training.batches.collation import Encoder
from amalia_vl_hf.training.batches.reference_log_probs import ReferenceLogProbs, digest, read_parts
from amalia_vl_hf.training.batches.shared_prompt import SharedPromptCollator
from tests.training.batches.preference import MPO, pair, policy, spread, trainer_for, user

ORIGIN = {"data_sha256": "0123", "max_tiles": 4}
PATIENCE = 60  # seconds


@pytest.fixture(scope="module")
def tiny(parts):
    return policy(parts)


@pytest.fixture
def rows(pictures):
    """Nine pairs, so that neither files nor batches come out even."""
    answers = ["um sol", "uma lua", "nada", "dois pontos", "um quadrado"]
    return [
        {
            **pair([user("Qual?")], answers[n % 5], answers[(n + 1) % 5] + " não", [pictures / f"{n % 4}.png"]),
            "index": n,
        }
        for n in range(9)
    ]


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    monkeypatch.setattr(reference_log_probs, "PAIRS_A_FILE", 3)


@pytest.fixture
def start(tiny, rows, tmp_path):
    """Build a trainer with precomputed values, as a run that starts or starts again would."""

    def build(folder="reference", origin=ORIGIN, model=tiny[0], **options):
        reference = ReferenceLogProbs(tmp_path / folder, origin)
        collator = SharedPromptCollator(Encoder(tiny[1], 4, 512), reference)
        trainer = trainer_for(
            model, tiny[1], rows, collator, tmp_path / "checkpoints", shared=True, reference=reference, **options
        )
        return trainer, reference

    return build


@pytest.fixture
def passes(monkeypatch):
    """Count the batches that go through the reference."""
    counted = []
    computing = reference_log_probs.DPOTrainer.compute_ref_log_probs

    def count(trainer, model, inputs):
        counted.append(len(inputs["completion_mask"]) // 2)
        return computing(trainer, model, inputs)

    monkeypatch.setattr(reference_log_probs.DPOTrainer, "compute_ref_log_probs", count)
    return counted


def on_the_fly(tiny, rows, folder):
    collator = SharedPromptCollator(Encoder(tiny[1], 4, 512))
    trainer = trainer_for(*tiny, rows, collator, folder, shared=True)
    values = [torch.stack(trainer.compute_ref_log_probs(trainer.ref_model, collator([row])), 1) for row in rows]
    return torch.cat(values)


@pytest.mark.parametrize("workers", [0, 2])
def test_values_are_those_of_the_reference_itself(tiny, rows, start, tmp_path, workers):
    trainer, reference = start(dataloader_num_workers=workers)
    torch.testing.assert_close(reference.values, on_the_fly(tiny, rows, tmp_path), atol=1e-4, rtol=0)
    batch = trainer.data_collator([rows[7], rows[2]])
    assert torch.equal(batch["ref_chosen_logps"], reference.values[[7, 2], 0])
    assert torch.equal(batch["ref_rejected_logps"], reference.values[[7, 2], 1])


def test_training_is_the_same_but_for_the_reference_in_memory(tiny, rows, start, tmp_path):
    known, reference = start(max_steps=3, **MPO)
    computing = trainer_for(
        *tiny, rows, SharedPromptCollator(Encoder(tiny[1], 4, 512)), tmp_path, shared=True, max_steps=3, **MPO
    )
    assert known.ref_model is None
    for trainer in (known, computing):
        trainer.train()
    histories = [[entry for entry in t.state.log_history if "loss" in entry] for t in (known, computing)]
    assert len(histories[0]) == 3
    for one, other in zip(*histories, strict=True):
        assert one.pop("reference_seconds") == pytest.approx(reference.seconds, abs=0.01)
        assert {name: one[name] for name in other} == pytest.approx(other, rel=1e-3, abs=1e-4)


def test_a_second_start_computes_nothing(start, passes):
    _, first = start()
    assert sum(passes) == 10, "nine pairs, and one more to fill the last batch"
    passes.clear()
    _, second = start()
    assert passes == []
    assert torch.equal(first.values, second.values)
    assert second.seconds == pytest.approx(first.seconds)


@pytest.mark.parametrize("damage", ["missing", "torn", "gap", "flipped"])
def test_what_is_damaged_is_computed_again(start, passes, damage):
    _, first = start(per_device_train_batch_size=1)
    files = sorted(first.folder.glob("*/*.safetensors"))
    assert [len(load_file(path)["log_probs"]) for path in files] == [3, 3, 3]
    if damage in ("missing", "gap"):
        files[1 if damage == "gap" else 2].unlink()
    else:
        content = bytearray(files[2].read_bytes())
        content[-1] ^= 1  # of a value
        files[2].write_bytes(content if damage == "flipped" else content[:50])
    passes.clear()
    _, second = start(per_device_train_batch_size=1)
    assert sum(passes) == (6 if damage == "gap" else 3)
    assert torch.equal(first.values, second.values)


def test_another_origin_or_other_weights_do_not_find_the_values(start, passes, tiny):
    start()
    passes.clear()
    start(origin={**ORIGIN, "max_tiles": 2})
    assert sum(passes) == 10
    passes.clear()
    start(model=spread(copy.deepcopy(tiny[0]), seed=4))
    assert sum(passes) == 0, "the reference is what counts, and it is the same"
    start(model=nudged(tiny[0]))
    assert sum(passes) == 10


def nudged(model):
    """The same model but for one number, which its reference keeps."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed.base_model.image_newline.weight[0] += 1e-3
    return changed


def test_a_sharded_model_is_known_by_its_shards():
    """Under ZeRO-3 a parameter itself is empty."""
    model = nn.Linear(1, 1)
    found = []
    for share in (1.0, 2.0):
        for parameter in model.parameters():
            parameter.data = torch.empty(0)
            parameter.ds_tensor = torch.tensor([share], dtype=torch.bfloat16)
        found.append(digest(model))
    assert found[0] != found[1]


def test_training_does_not_depend_on_whether_the_pass_ran(start):
    """What else is drawn, as dropout is, comes from torch's generator."""
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        trainer, _ = start()
        trainer.train()
        drawn.append((torch.rand(3), trainer.model.state_dict()))
    (one, weights), (other, again) = drawn
    assert torch.equal(one, other)
    assert all(torch.equal(weight, again[name]) for name, weight in weights.items())


def test_a_resumed_mpo_run_ends_with_the_same_weights(start):
    """The bco_pair loss of TRL keeps no state of its own between steps."""
    options = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "save_only_model": False, **MPO}
    whole, _ = start(**options)
    whole.train()
    resumed, _ = start(**options)
    resumed.train(resume_from_checkpoint=f"{resumed.args.output_dir}/checkpoint-2")
    assert resumed.state.global_step == 4
    weights = whole.model.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in resumed.model.state_dict().items())
    losses = [[entry["loss"] for entry in t.state.log_history if "loss" in entry] for t in (whole, resumed)]
    assert losses[0] == losses[1]


def test_a_killed_pass_continues_from_its_files(start, passes):
    _, whole = start("whole", per_device_train_batch_size=1)
    folder = whole.folder.with_name("killed")
    child = fork(lambda: start("killed", per_device_train_batch_size=1))
    patience = time.monotonic() + PATIENCE
    while not list(folder.glob("*/*.safetensors")):
        assert time.monotonic() < patience, "the child wrote nothing"
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (key,) = folder.iterdir()
    kept = len(read_parts(key)[0])
    assert kept in (3, 6, 9)
    passes.clear()
    _, resumed = start("killed", per_device_train_batch_size=1)
    assert sum(passes) == 9 - kept
    assert torch.equal(resumed.values, whole.values)


def test_two_ranks_get_all_values_and_only_the_first_writes(start, tmp_path):
    _, alone = start("alone")
    ranks = [fork(lambda rank=rank: be_rank(rank, start, tmp_path)) for rank in range(2)]
    assert [os.waitpid(child, 0)[1] for child in ranks] == [0, 0]
    for rank in range(2):
        assert torch.equal(load_file(tmp_path / f"{rank}.safetensors")["values"], alone.values)
    assert [path.name for path in sorted((tmp_path / "shared").glob("*/*"))] == [
        f"{first:09d}.safetensors" for first in (0, 3, 6)
    ]


def be_rank(rank, start, folder):
    """One of two gloo ranks; they meet at a file."""
    AcceleratorState._reset_state(reset_partial_state=True)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    unused = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}  # accelerate wants them, although the group exists
    os.environ.update({name: str(value) for name, value in (place | unused).items()})
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    trainer, reference = start("shared", ddp_backend="gloo", per_device_train_batch_size=1)
    assert trainer.accelerator.num_processes == 2
    save_file({"values": reference.values}, folder / f"{rank}.safetensors")


def fork(work):
    """Run something in a process of its own, which ends with 0 if it went well."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def test_adapters_under_deepspeed_are_refused(start):
    trainer, reference = start()
    trainer.is_deepspeed_enabled = True
    with pytest.raises(ValueError, match="under DeepSpeed the precomputed reference needs a model of its own"):
        reference.compute(trainer, "weights")


def test_no_value_is_rounded_on_its_way_to_the_loss(start, rows, monkeypatch):
    """DeepSpeed in bf16 turns every float of a batch into bf16; a log-probability of -200 would be off by a half."""
    trainer, reference = start()
    batch = trainer.data_collator(rows[:2])
    plugin = SimpleNamespace(hf_ds_config=SimpleNamespace(dtype=lambda: torch.bfloat16))
    monkeypatch.setattr(trainer, "is_deepspeed_enabled", True)
    monkeypatch.setattr(trainer, "accelerator", SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=plugin)))
    prepared = trainer._prepare_inputs(batch)
    assert prepared["pixel_values"].dtype == torch.bfloat16
    assert torch.equal(prepared["ref_chosen_logps"], reference.values[:2, 0])
    assert torch.equal(prepared["ref_rejected_logps"], reference.values[:2, 1])
