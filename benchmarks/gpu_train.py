"""What `amalia-vl train` runs, at the real width on one GPU: speed, MFU, HFU, and peak memory against `estimate`'s.

Ours is `training.build_trainer` on the recipes of `recipes/amalia_vl`, with their precision, optimiser and DataLoader,
from JPEG files; of a recipe only what one GPU cannot have is changed (ranks, batches a step, the decoder's layers).
Stock is TRL's own trainer on LLaVA-NeXT with the same weights, samples and arguments, batches of four, whole
conversations. Stage 1 has no tiles; stock cannot leave them off and gets the fewest, one.

    python benchmarks/gpu_train.py --layers 12               # no layer checkpointed
    python benchmarks/gpu_train.py --layers 42 --kept 14 --lora   # all layers, 28 of them checkpointed, under adapters
    python benchmarks/gpu_train.py --tiny                    # tiny sizes on the CPU, to see that all of it runs

MFU counts what the tokens of a way take without padding, nothing twice, and a shared prompt once; HFU what is
computed: padding, logits that TRL computes again, and the forward pass of checkpointed layers. Both count causal
attention by half; a test holds them to torch's own counter. Without a GPU nothing is measured, and no utilisation is
printed.
"""

import argparse
import contextlib
import copy
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset, Image, List
from PIL import Image as Pictures
from transformers import LlavaNextForConditionalGeneration, LlavaNextProcessor, TrainerCallback
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches
from transformers.utils import is_flash_attn_2_available
from trl import DPOTrainer, SFTTrainer
from trl.kernels.chunked_logprob import _use_triton
from trl.trainer.utils import get_peak_flops

from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLImageProcessor, AmaliaVLProcessor
from amalia_vl_hf.training.batches.balance import CostModel
from amalia_vl_hf.training.building import build_trainer
from amalia_vl_hf.training.estimate import GIB, estimate_memory, model_without_weights
from amalia_vl_hf.training.ranks import planned_sharing
from amalia_vl_hf.training.recipe import Recipe, load_recipe

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script sees its own folder alone
from benchmarks import packing, preference
from benchmarks.preference import REAL, Sizes
from tests.tiny import tiny_tokenizer

TINY = Sizes(64, 128, 4, 2, 512, 32, 64, 4, 2, 2, 4, 5, 3)
WARM_UP, BATCH = 2, 4  # steps; rows of stock's padded batch
BYTES_A_PARAMETER = 22  # fp32 weight, its copy in bf16, gradient, AdamW's two states, the reference's weight
ACTIVATIONS = 0.3  # share of the memory left to them
WORDS = "aceodnpqstu"  # each a token, with a space before it


class Stage(NamedTuple):
    """A recipe, and how much of it a step is."""

    recipe: str
    samples: int  # a step
    batch: int  # of them at once, where they are not packed


STAGES = (Stage("1_align", 16, 16), Stage("2_instruct", 16, 1), Stage("3_prefer", 2, 1))


class Way(NamedTuple):
    """A model and how its decoder attends."""

    name: str
    ours: bool
    attention: str


class Scene(NamedTuple):
    """What is trained, on what, and how."""

    folder: Path
    sizes: Sizes
    steps: int
    kept: int  # decoder layers that are not checkpointed
    workers: int
    lora: bool


class Shown(NamedTuple):
    """What one forward and backward pass saw."""

    lengths: Any  # tokens attended from and to, of each sequence, without padding: (sequences, 2)
    computed: Any  # the same with padding
    tiles: int
    scored: Any  # positions that the loss counts
    projected: Any  # positions that the head computes


class Figures(NamedTuple):
    """What was measured."""

    seconds: float  # a step, loading of data included
    samples: int  # a step
    tokens: float  # a step, without padding
    useful: float  # FLOPs a step
    executed: float
    peak: float  # GiB
    predicted: float  # GiB
    loss: float


def ways() -> list[Way]:
    """Ours, and stock with each attention that is there."""
    stock = ["sdpa", *(["flash_attention_2"] if is_flash_attn_2_available() else [])]
    return [Way("ours", True, "sdpa"), *(Way(f"stock, {attention}", False, attention) for attention in stock)]


def layers_that_fit(memory: int) -> int:
    """Decoder layers of the real width whose whole weights can be trained in `memory` bytes, at most all of them."""
    one, two = _parameters(1), _parameters(2)
    room = memory * (1 - ACTIVATIONS) / BYTES_A_PARAMETER - one
    return max(1, min(REAL.layers, 1 + int(room / (two - one))))


@lru_cache
def _parameters(layers: int) -> int:
    """Count the parameters of a model of the real width."""
    with torch.device("meta"):
        return AmaliaVLForConditionalGeneration(preference.own_config(REAL._replace(layers=layers))).num_parameters()


# What is trained: a model, and samples with JPEG files, on disk.


def write_scene(scene: Scene) -> None:
    """Write model, processor, pictures and samples."""
    torch.manual_seed(0)
    tokenizer, config = tiny_tokenizer(), preference.own_config(scene.sizes)
    config.image_token_id = tokenizer.convert_tokens_to_ids("<image>")
    dtype = torch.float32 if scene.sizes is TINY else torch.bfloat16
    with torch.device("cuda" if scene.sizes is not TINY and torch.cuda.is_available() else "cpu"):
        model = AmaliaVLForConditionalGeneration._from_config(config, dtype=dtype)
    model.save_pretrained(scene.folder / "model")
    images = AmaliaVLImageProcessor(size=packing.PATCH * scene.sizes.side, patch_size=packing.PATCH)
    AmaliaVLProcessor(images, tokenizer).save_pretrained(scene.folder / "model")
    for stage in STAGES:
        _write_samples(scene, stage)


def _write_samples(scene: Scene, stage: Stage) -> None:
    """Write samples as long as Table 1's mixture for every step, of noise and single letters."""
    generator = np.random.default_rng(0)
    mix, rows = packing.length_mix(stage.samples * (scene.steps + WARM_UP), scene.sizes.side), []
    for number, one in enumerate(mix):
        row: dict[str, Any] = {"images": []}
        if one.size is not None:
            name = f"{stage.recipe}-{number}.jpg"
            soft = Pictures.fromarray(generator.integers(0, 256, (9, 9, 3), np.uint8)).resize(one.size[::-1])
            soft.save(scene.folder / name, quality=90)
            row["images"] = [name]
        short = min(one.words, 150) if stage.recipe == "1_align" else one.words  # captions
        spoken = max(1, int(0.6 * short))
        prompt = [{"role": "user", "content": _words(generator, max(1, short - spoken))}]
        answers = [{"role": "assistant", "content": _words(generator, spoken)} for _ in range(2)]
        if stage.recipe == "3_prefer":
            row |= {"prompt": prompt, "chosen": answers[:1], "rejected": answers[1:]}
        else:
            row |= {"messages": [*prompt, answers[0]]}
        rows.append(row)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (scene.folder / f"{stage.recipe}.jsonl").write_text(text, encoding="utf-8")


def _words(generator: np.random.Generator, count: int) -> str:
    return " ".join(generator.choice(list(WORDS), count))


def recipe_of(scene: Scene, stage: Stage) -> Recipe:
    """Read the stage's recipe for one GPU and these samples."""
    changes = [
        *(f"{name}=null" for name in ("accelerate", "processes", "global_batch", "epochs")),
        f"model={scene.folder / 'model'}",
        f"data={scene.folder / stage.recipe}.jsonl",
        f"output={scene.folder / 'trained'}",
        *(f"steps={scene.steps + WARM_UP}", f"workers={scene.workers}", "log_steps=1", "max_bad_share=0"),
        *(f"batch_size={stage.batch}", f"accumulation={stage.samples // stage.batch}"),
        f"gradient_checkpointing={'true' if scene.kept < scene.sizes.layers else 'false'}",
        *(["max_length=2048"] if scene.sizes is TINY else []),
    ]
    adapters = "_lora" if scene.lora and stage.recipe != "1_align" else ""
    return load_recipe(f"amalia_vl/{stage.recipe}{adapters}", changes)


def our_trainer(scene: Scene, stage: Stage) -> Any:
    """Build the trainer that `amalia-vl train` runs; nothing is saved."""
    trainer = build_trainer(recipe_of(scene, stage), scene.folder / "checkpoints")
    trainer.args.save_strategy = "no"
    return trainer


def stock_trainer(scene: Scene, stage: Stage, way: Way, arguments: Any) -> Any:
    """Build TRL's own trainer on LLaVA-NeXT, with the arguments of ours."""
    ours = AmaliaVLForConditionalGeneration.from_pretrained(scene.folder / "model", dtype=torch.float32)
    config = preference.stock_config(scene.sizes)
    config.image_token_index, side = ours.config.image_token_id, packing.PATCH * scene.sizes.side
    if stage.recipe == "1_align":
        config.image_grid_pinpoints = [[side, side]]
    config._attn_implementation = way.attention
    model = LlavaNextForConditionalGeneration(config)
    weights = {key.replace("newline.weight", "newline"): one for key, one in ours.state_dict().items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all("post_layernorm" in key for key in missing)  # which stock computes and drops
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(stage.recipe != "1_align" or "projector" in name or "newline" in name)
    processor = _stock_processor(scene, config.image_grid_pinpoints, side)
    data = _stock_data(scene, stage)
    arguments = copy.copy(arguments)
    arguments.per_device_train_batch_size = min(BATCH, stage.samples)
    arguments.gradient_accumulation_steps = stage.samples // arguments.per_device_train_batch_size
    options = {"model": model, "args": arguments, "train_dataset": data, "processing_class": processor}
    if stage.recipe == "3_prefer":
        arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps = 1, stage.samples
        return DPOTrainer(ref_model=copy.deepcopy(model).requires_grad_(False).eval(), **options)
    arguments.assistant_only_loss = True
    return SFTTrainer(**options)


def _stock_processor(scene: Scene, pinpoints: list[list[int]], side: int) -> LlavaNextProcessor:
    own = AmaliaVLProcessor.from_pretrained(scene.folder / "model")
    square, half = {"height": side, "width": side}, [0.5, 0.5, 0.5]
    images = LlavaNextImageProcessorPil(
        size=square, crop_size=square, image_grid_pinpoints=pinpoints, image_mean=half, image_std=half
    )
    options = {"patch_size": packing.PATCH, "vision_feature_select_strategy": "full"}
    return LlavaNextProcessor(images, own.tokenizer, chat_template=own.chat_template, **options)


def _stock_data(scene: Scene, stage: Stage) -> Dataset:
    rows = [json.loads(line) for line in (scene.folder / f"{stage.recipe}.jsonl").read_text().splitlines()]
    for row in rows:
        row["images"] = [{"bytes": (scene.folder / name).read_bytes(), "path": None} for name in row["images"]]
    return Dataset.from_list(rows).cast_column("images", List(Image()))


def keep_layers(model: torch.nn.Module, kept: int) -> None:
    """Turn checkpointing off in so many decoder layers, spread evenly, where it is on."""
    layers = next(module.layers for name, module in model.named_modules() if name.endswith("language_model"))
    for number in np.linspace(0, len(layers) - 1, kept).astype(int):
        layers[number].gradient_checkpointing = False


# What a step takes, in FLOPs.


def shown(inputs: dict[str, Any], config: Any) -> Shown:
    """Say what a forward pass sees.

    Args:
        inputs: Of the model.
        config: Its configuration, ours or stock's.
    """
    if inputs.get("segments"):
        lengths = computed = torch.tensor([[one.queries, one.keys] for one in inputs["segments"]])
    else:
        mask = inputs["attention_mask"]
        lengths = mask.sum(1)[:, None].expand(-1, 2)
        computed = torch.tensor([[mask.shape[1]] * 2] * len(mask))
    pixels, tiles = inputs.get("pixel_values"), 0
    if pixels is not None and pixels.ndim == 5:  # stock: images padded to the one with the most tiles, which is undone
        one = config.image_grid_pinpoints, config.vision_config.image_size
        tiles = sum(image_size_to_num_patches(size, *one) for size in inputs["image_sizes"].tolist())
    elif pixels is not None:
        tiles = len(pixels)
    shifted = inputs.get("shift_labels")
    labels = inputs["labels"][:, 1:] if shifted is None else shifted
    scored = (labels != -100).sum()
    return Shown(lengths, computed, tiles, scored, scored if _use_triton(labels.device) else labels.numel())


def flops(config: Any, seen: Shown, trainer: Any, kept: int, *, executed: bool, causal: bool = True) -> float:
    """Count the multiplications and additions of a forward and backward pass, AdamW's own left out.

    Backward, a matrix costs a pass for what flows on through it and one for its own gradient if it is trained;
    attention costs twice its forward pass.

    Args:
        config: Ours, of the model's sizes.
        seen: What it saw.
        trainer: What is trained; DPO's reference takes a forward pass beside.
        kept: Decoder layers that are not checkpointed.
        executed: Whether padding counts, and what is computed again.
        causal: Whether what causality spares is left out, as kernels for long sequences do.
    """
    costs, text, vision = CostModel.of(config), config.text_config, config.vision_config
    learns = {name: parameter.requires_grad for name, parameter in trainer.model.named_parameters()}
    tower, decoder = (any(on for name, on in learns.items() if part in name and "lora" not in name) for part in
                      ("vision_tower", "language_model"))  # fmt: skip
    queries, keys = (seen.computed if executed else seen.lengths).double().unbind(1)
    tokens = float(queries.sum())
    squares = float((keys**2 - (keys - queries) ** 2 if causal else 2 * queries * keys).sum())
    head = 2.0 * text.hidden_size * text.vocab_size * float(seen.projected if executed else seen.scored)
    total = costs.token * tokens * (2 + decoder) + 3 * costs.pair * squares + head * (2 + decoder + executed)
    patches = config.patches_per_side**2
    first, second = (2 * patches * width * text.hidden_size for width in (vision.hidden_size, text.hidden_size))
    embedding = 2 * patches * vision.hidden_size * vision.num_channels * vision.patch_size**2
    blocks = costs.tile - first - second - embedding
    total += seen.tiles * (blocks * (1 + 2 * tower) + embedding * (1 + tower) + first * (2 + tower) + 3 * second)
    if executed and trainer.args.gradient_checkpointing:  # up to the last matrix, whose output nothing needs
        again = (text.num_hidden_layers - kept) / text.num_hidden_layers
        down = 2 * text.num_hidden_layers * text.hidden_size * text.intermediate_size
        total += again * ((costs.token - down) * tokens + costs.pair * squares)
        last = 2 * patches * vision.num_hidden_layers * vision.hidden_size * vision.intermediate_size
        total += tower * seen.tiles * (blocks - last)
    if hasattr(trainer, "ref_model"):
        total += costs.tile * seen.tiles + costs.token * tokens + costs.pair * squares + head
    return total


class Stopwatch(TrainerCallback):
    """Notes when steps end and what their forward passes saw; the first `WARM_UP` steps do not count."""

    def __init__(self, model: torch.nn.Module, kept: int) -> None:
        self.kept, self.ends, self.seen, self.config = kept, [], [], model.config
        self.hook = model.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, module: Any, args: Any, inputs: dict[str, Any]) -> None:
        if torch.is_grad_enabled():  # else the reference's, under adapters
            self.seen.append((len(self.ends), shown(inputs, self.config)))

    def on_train_begin(self, *args: Any, model: torch.nn.Module, **kwargs: Any) -> None:
        """Turn checkpointing off where layers are kept; `Trainer` has just turned it on in all."""
        keep_layers(model, self.kept)

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note the time, once the device has done the step."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            if len(self.ends) + 1 == WARM_UP:
                torch.cuda.reset_peak_memory_stats()
        self.ends.append(time.perf_counter())


def measure(trainer: Any, scene: Scene, stage: Stage) -> Figures:
    """Train, and say what a step took; the median counts."""
    watch = Stopwatch(trainer.model, scene.kept)
    trainer.add_callback(watch)
    with contextlib.redirect_stdout(sys.stderr):  # the table stays a table
        trainer.train()
    watch.hook.remove()
    config, steps = preference.own_config(scene.sizes), scene.steps
    counted = [one for step, one in watch.seen if step >= WARM_UP]
    useful, executed = (
        sum(flops(config, one, trainer, scene.kept, executed=way) for one in counted) / steps for way in (False, True)
    )
    times = np.diff(watch.ends)[WARM_UP - 1 :]
    recipe = recipe_of(scene, stage)
    predicted = estimate_memory(recipe, model_without_weights(recipe), planned_sharing(recipe)).total
    return Figures(
        seconds=statistics.median(times),
        samples=stage.samples,
        tokens=sum(float(one.lengths[:, 0].sum()) for one in counted) / steps,
        useful=useful,
        executed=executed,
        peak=torch.cuda.max_memory_allocated() / GIB if torch.cuda.is_available() else 0.0,
        predicted=predicted / GIB,
        loss=next(entry["loss"] for entry in trainer.state.log_history if "loss" in entry),
    )


def run_stage(scene: Scene, stage: Stage) -> Iterator[tuple[Way, Figures | None]]:
    """Measure a stage in every way; None where the memory does not suffice."""
    arguments = None
    for way in ways():
        trainer = None
        try:
            if way.ours:
                trainer = our_trainer(scene, stage)
                arguments = copy.copy(trainer.args)
            elif scene.lora and stage.recipe != "1_align":
                continue  # which layers get adapters is our recipe's word
            else:
                trainer = stock_trainer(scene, stage, way, arguments)
            yield way, measure(trainer, scene, stage)
        except torch.OutOfMemoryError:
            yield way, None
        finally:
            trainer = None
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def run_stages(scene: Scene, device: str, stages: tuple[Stage, ...] = STAGES) -> dict[str, dict[str, float | str]]:
    """Measure every stage in every way, print the table, and return what the JSON line holds."""
    best = get_peak_flops(torch.cuda.get_device_name(), "bfloat16") if torch.cuda.is_available() else None
    results: dict[str, dict[str, float | str]] = {}
    print(f"{'stage':<12}{'way':<26}{'samples/s':>10}{'tokens/s':>10}{'MFU':>8}{'HFU':>8}{'TFLOP':>9}"
          f"{'peak GiB':>10}{'predicted':>10}{'loss':>9}")  # fmt: skip
    for stage in stages:
        found = {}
        for way, one in run_stage(scene, stage):
            if one is None:
                print(f"{stage.recipe:<12}{way.name:<26}  out of memory", flush=True)
                continue
            found[way.name] = one.samples / one.seconds
            uses = [f"{count / one.seconds / best:.1%}" if best else "-" for count in (one.useful, one.executed)]
            peak = f"{one.peak:.2f}" if one.peak else "-"
            predicted = f"{one.predicted:.2f}" if way.ours else ""
            print(f"{stage.recipe:<12}{way.name:<26}{found[way.name]:>10.3g}{one.tokens / one.seconds:>10.4g}"
                  f"{uses[0]:>8}{uses[1]:>8}{one.executed / 1e12:>9.3g}{peak:>10}{predicted:>10}{one.loss:>9.4f}",
                  flush=True)  # fmt: skip
        ours = found.pop("ours", None)
        for name, stock in found.items():
            if ours:
                row = {"ours": ours, "stock": stock, "ratio": ours / stock, "unit": "samples / s"}
                results[f"training on {device}, {stage.recipe}, against {name}"] = row
    return results


def main() -> None:
    """Print the table and its JSON line."""
    parser = argparse.ArgumentParser(description="Training steps on a GPU, ours and stock.")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes on the CPU, to see that it runs")
    parser.add_argument("--layers", type=int, help="decoder layers; as many as fit when left out")
    parser.add_argument("--kept", type=int, help="decoder layers that are not checkpointed; all when left out")
    parser.add_argument("--lora", action="store_true", help="adapters in stages 2 and 3, of ours alone")
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--workers", type=int, help="processes that prepare batches; 8 when left out, --tiny none")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    if not options.tiny and not torch.cuda.is_available():
        print("no GPU here: nothing measured")
        print(json.dumps(results))
        return
    sizes, device, workers = TINY, "the CPU, tiny sizes, which mean nothing", options.workers or 0
    if not options.tiny:
        memory = torch.cuda.get_device_properties(0).total_memory
        sizes = REAL._replace(layers=options.layers or layers_that_fit(memory))
        device, workers = torch.cuda.get_device_name(), 8 if options.workers is None else options.workers
        device += f", {memory / GIB:.0f} GiB, {sizes.layers} of {REAL.layers} decoder layers"
    kept = sizes.layers if options.kept is None else min(options.kept, sizes.layers)
    print(f"on {device}; {sizes.layers - kept} layers checkpointed, {workers} workers")
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder), sizes, options.steps, kept, workers, options.lora)
        with contextlib.redirect_stdout(sys.stderr):
            write_scene(scene)
        results = run_stages(scene, device)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
