"""A preference step against TRL with stock LLaVA-NeXT, same weights, pairs and loss: CPU time on one pinned thread.

A pair about one image of 12 tiles. The real model is 8 times as wide and 5 times as deep, and its tiles have 9 times
as many patches; widths, depths and lengths shrink so that each part keeps its share of the work, which the first lines
show (operations of one forward pass, causal attention counted by half). Stock is TRL's `DPOTrainer` with its
head on the labelled positions alone, as on a GPU; on a CPU it would score every position. Nothing is checkpointed.
"""

import copy
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from datasets import Dataset
from PIL import Image
from tokenizers import Tokenizer, models
from transformers import (
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)
from trl import DPOConfig, DPOTrainer

from amalia_vl_hf import (
    AmaliaVLConfig,
    AmaliaVLForConditionalGeneration,
    AmaliaVLImageProcessor,
    AmaliaVLProcessor,
)
from amalia_vl_hf.modeling.configuration_amalia_vl import from_llava_next
from amalia_vl_hf.processing.tiling_amalia_vl import TileLayout, generate_pinpoints, num_visual_tokens
from amalia_vl_hf.training.batches.balance import CostModel
from amalia_vl_hf.training.batches.shared_prompt import pack_pairs, pair_row, share_prompts

LAYOUT = TileLayout(rows=3, cols=4, pad_rows=0, pad_cols=0)
PAIRS = 5
MPO = {"loss_type": ["sigmoid", "bco_pair", "sft"], "loss_weights": [0.8, 0.2, 1.0]}


class Sizes(NamedTuple):
    """What the work of a step follows from."""

    d_text: int
    d_inner: int
    heads: int
    layers: int
    vocab: int
    d_vision: int
    d_vision_inner: int
    vision_heads: int
    vision_layers: int
    side: int  # patches along a tile
    words: int  # text tokens of the prompt
    chosen: int  # tokens
    rejected: int  # tokens

    @property
    def prompt(self) -> int:
        """Tokens of the prompt, visual ones included."""
        return num_visual_tokens(LAYOUT, self.side) + self.words


REAL = Sizes(4096, 12288, 32, 42, 128_000, 1152, 4304, 16, 27, 24, 60, 130, 100)
SCALED = Sizes(512, 1536, 8, 8, 3000, 144, 544, 4, 4, 8, 7, 15, 11)


def work(sizes: Sizes) -> dict[str, float]:
    """FLOPs of one conversation's forward pass, by part."""
    costs, tokens = CostModel.of(own_config(sizes)), sizes.prompt + sizes.chosen
    return {
        "tower": costs.tile * LAYOUT.num_tiles,
        "decoder": costs.token * tokens,
        "attention": costs.pair * tokens**2,
        "head": 2 * sizes.chosen * sizes.d_text * sizes.vocab,
    }


def own_config(sizes: Sizes) -> AmaliaVLConfig:
    """Our configuration of the same model."""
    return AmaliaVLConfig(**from_llava_next(stock_config(sizes).to_dict()))


def stock_config(sizes: Sizes) -> LlavaNextConfig:
    """A model of these sizes; its tower has no layer or head that it would compute in vain."""
    vision = SiglipVisionConfig(
        hidden_size=sizes.d_vision,
        intermediate_size=sizes.d_vision_inner,
        num_hidden_layers=sizes.vision_layers,
        num_attention_heads=sizes.vision_heads,
        image_size=16 * sizes.side,
        patch_size=16,
        vision_use_head=False,
    )
    text = LlamaConfig(
        vocab_size=sizes.vocab,
        hidden_size=sizes.d_text,
        intermediate_size=sizes.d_inner,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.heads // 4,
        max_position_embeddings=16384,
    )
    return LlavaNextConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=sizes.vocab - 1,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[list(size) for size in generate_pinpoints(12, 16 * sizes.side)],
    )


def pair_of_models(sizes: Sizes) -> tuple[AmaliaVLForConditionalGeneration, LlavaNextForConditionalGeneration]:
    """Ours and stock, with the same weights."""
    config = stock_config(sizes)
    torch.manual_seed(0)
    stock = LlavaNextForConditionalGeneration(config)
    ours = AmaliaVLForConditionalGeneration(own_config(sizes))
    weights = stock.state_dict()
    ours.load_state_dict({key: weights[key.replace("newline.weight", "newline")] for key in ours.state_dict()})
    return ours, stock


def batches(sizes: Sizes) -> tuple[dict[str, Any], dict[str, Any]]:
    """One pair, as our collator and as TRL's would give it, of the same random tiles and words."""
    image = sizes.vocab - 1
    text = torch.randint(5, image, (sizes.words + sizes.chosen + sizes.rejected,))
    words, *answers = text.split([sizes.words, sizes.chosen, sizes.rejected])
    prompt = torch.cat((words[:2], torch.full((sizes.prompt - sizes.words,), image), words[2:]))
    whole = [torch.cat((prompt, answer)) for answer in answers]
    scored = [torch.arange(len(ids)) >= len(prompt) for ids in whole]
    tiles = torch.randn(LAYOUT.num_tiles, 3, 16 * sizes.side, 16 * sizes.side)
    layouts = torch.tensor([LAYOUT] * LAYOUT.num_tiles)
    ours = {**pack_pairs([pair_row(*whole, *scored)]), "pixel_values": tiles, "tile_layouts": layouts}
    padded = torch.nn.utils.rnn.pad_sequence(whole, batch_first=True)
    stock = {
        "input_ids": padded,
        "attention_mask": torch.nn.utils.rnn.pad_sequence([torch.ones_like(ids) for ids in whole], batch_first=True),
        "completion_mask": torch.nn.utils.rnn.pad_sequence([mask.long() for mask in scored], batch_first=True),
        "pixel_values": torch.stack((tiles, tiles)),  # TRL gives each answer the image
        "image_sizes": torch.tensor([[LAYOUT.rows, LAYOUT.cols]] * 2) * 16 * sizes.side,
    }
    return ours, stock


def processor() -> AmaliaVLProcessor:
    """What TRL wants to see beside a model of images; the batches are made without it."""
    vocabulary = {token: index for index, token in enumerate(("<unk>", "<s>", "</s>", "<image>"))}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>")),
        unk_token="<unk>",
        pad_token="</s>",
        eos_token="</s>",
    )
    return AmaliaVLProcessor(AmaliaVLImageProcessor(), tokenizer)


def trainer_of(model: torch.nn.Module, reference: torch.nn.Module, folder: str, use_cpu: bool = True) -> DPOTrainer:
    """TRL's trainer; its own code computes the loss on both sides."""
    empty = Image.new("RGB", (8, 8))
    return DPOTrainer(
        model,
        reference,
        args=DPOConfig(
            output_dir=folder, use_cpu=use_cpu, bf16=False, gradient_checkpointing=False, report_to=[], **MPO
        ),
        train_dataset=Dataset.from_list([{"images": [empty], "prompt": "", "chosen": "", "rejected": ""}]),
        processing_class=processor(),
    )


class Side(NamedTuple):
    """One of the things compared."""

    trainer: DPOTrainer
    batch: dict[str, Any]
    optimizer: torch.optim.Optimizer


def sides(folder: str) -> dict[str, Side]:
    """Stock, ours, and ours with the reference's log-probabilities known."""
    ours, stock = pair_of_models(SCALED)
    own, other = batches(SCALED)
    made = {}
    for name, model, batch in (("stock", stock, other), ("shared", ours, own), ("precomputed", ours, own)):
        model, reference = copy.deepcopy(model), copy.deepcopy(model).requires_grad_(False).eval()
        if name != "stock":
            share_prompts(model)
            share_prompts(reference)
        trainer = trainer_of(model, reference, folder)
        if name == "precomputed":
            with torch.no_grad():
                known = trainer.compute_ref_log_probs(reference, batch)
            batch = {**batch, "ref_chosen_logps": known[0], "ref_rejected_logps": known[1]}
            trainer.ref_model, trainer.precompute_ref_logps = None, True
        made[name] = Side(trainer, batch, torch.optim.AdamW(model.parameters(), lr=1e-6))
    return made


def step(side: Side) -> float:
    """One optimiser step; returns the loss."""
    side.trainer.model.train()
    loss = side.trainer.compute_loss(side.trainer.model, dict(side.batch))
    loss.backward()
    side.optimizer.step()
    side.optimizer.zero_grad()
    return loss.item()


def reference_pass(side: Side) -> None:
    """The reference's log-probabilities of the pair, which precomputing pays once."""
    side.trainer.compute_ref_log_probs(side.trainer.ref_model, side.batch)


def cpu_seconds(action: Callable[[Side], Any], side: Side) -> float:
    """CPU time of one call, in seconds."""
    start = time.process_time()
    action(side)
    return time.process_time() - start


def check_equal(compared: dict[str, Side]) -> None:
    """Refuse to time things that differ; these are the warm-up steps as well."""
    stock, *others = compared.values()
    with torch.no_grad():
        wanted = stock.trainer.compute_ref_log_probs(stock.trainer.model, stock.batch)
        for side in others:
            found = side.trainer.compute_ref_log_probs(side.trainer.model, side.batch)
            torch.testing.assert_close(torch.stack(found), torch.stack(wanted), atol=1e-4, rtol=0)
    losses = [step(side) for side in compared.values()]
    torch.testing.assert_close(torch.tensor(losses), torch.full((3,), losses[0]), atol=1e-4, rtol=0)


def print_shares() -> None:
    """Show how the scaled step's work is made up, and the real one's."""
    for name, sizes in (("real", REAL), ("scaled", SCALED)):
        parts = work(sizes)
        shares = ", ".join(f"{part} {amount / sum(parts.values()):.1%}" for part, amount in parts.items())
        answers = (sizes.chosen + sizes.rejected) / (2 * sizes.prompt)
        print(f"{name:<8}{sizes.prompt:>6} prompt tokens, answers {answers:.1%} of it each; {shares}")


def main() -> None:
    """Print the table and its JSON line."""
    print_shares()
    # Where TRL decides whether its head sees the labelled positions alone; the kernel itself asks elsewhere.
    with tempfile.TemporaryDirectory() as folder, patch("trl.trainer.utils._use_triton", lambda device: True):
        compared = sides(folder)
        check_equal(compared)
        steps = [{name: cpu_seconds(step, side) for name, side in compared.items()} for _ in range(PAIRS)]
        passes = [
            {name: cpu_seconds(reference_pass, compared[name]) for name in ("stock", "shared")} for _ in range(3)
        ]
    results = {}
    print(f"{'one pair':<42}{'ours':>10}{'stock':>10}{'ratio':>8}  unit")
    for label, name, times in (
        ("step, reference computed", "shared", steps),
        ("step, reference known beforehand", "precomputed", steps),
        ("computing the reference beforehand, once", "shared", passes),
    ):
        ours, stock = (statistics.median(taken[side] for taken in times) for side in (name, "stock"))
        ratio = statistics.median(taken[name] / taken["stock"] for taken in times)
        results[f"preference: {label}"] = {"ours": ours, "stock": stock, "ratio": ratio, "unit": "CPU s"}
        print(f"{label:<42}{ours:>10.2f}{stock:>10.2f}{ratio:>8.3f}  CPU s", flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    main()
