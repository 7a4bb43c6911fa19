"""`amalia-vl ask`: images and a question in, the model's answer out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_command
from .failures import UsageError

if TYPE_CHECKING:
    from .arguments import Commands

DEMO_MODEL = "runs/demo/3_prefer"
EXAMPLES = """\
  amalia-vl ask foto.jpg "O que se vê na imagem?"
  amalia-vl ask antes.png depois.png "O que mudou?" --model amalia-llm/AMALIA-VL-DPO"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "ask", "Answer a question about one or more images.", EXAMPLES, run)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image file")
    parser.add_argument("question", metavar="QUESTION", help="question, in quotes")
    parser.add_argument("--model", help=f"directory or Hub id of an amalia_vl or llava_next model ({DEMO_MODEL})")
    parser.add_argument("--max-new-tokens", type=int, default=256, metavar="N", help="longest answer, in tokens (256)")


def run(arguments: argparse.Namespace) -> None:
    """Print the answer."""
    require_files(arguments.images)
    if not arguments.model and not Path(DEMO_MODEL).is_dir():
        raise UsageError(f"there is no {DEMO_MODEL} yet: run `amalia-vl demo` first, or name a model with --model")
    print(_answer(arguments.model or DEMO_MODEL, arguments.images, arguments.question, arguments.max_new_tokens))


def require_files(paths: Sequence[str]) -> None:
    """Look for images before anything slow is loaded.

    Raises:
        UsageError: Some of them are not there.
    """
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        raise UsageError(f"no such image: {', '.join(missing)}")


def _answer(name: str, images: list[str], question: str, max_new_tokens: int) -> str:
    import torch

    from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLProcessor

    device = "cuda" if torch.cuda.is_available() else "cpu"
    processor = AmaliaVLProcessor.from_pretrained(name)
    content = [{"type": "image", "image": image} for image in images] + [{"type": "text", "text": question}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    model = AmaliaVLForConditionalGeneration.from_pretrained(name, dtype="auto").to(device)
    tokens = model.generate(**inputs.to(device), max_new_tokens=max_new_tokens, do_sample=False)
    return str(processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)).strip()
