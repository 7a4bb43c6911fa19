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
  amalia-vl ask antes.png depois.png "O que mudou?" --model amalia-llm/AMALIA-VL-DPO
  amalia-vl ask foto.jpg "Onde está o gato?" --endpoint http://127.0.0.1:8000 --boxes caixas.png"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "ask", "Answer a question about one or more images.", EXAMPLES, run)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image file")
    parser.add_argument("question", metavar="QUESTION", help="question, in quotes")
    parser.add_argument("--model", help=f"directory or Hub id of an amalia_vl or llava_next model ({DEMO_MODEL})")
    parser.add_argument("--endpoint", metavar="URL", help="ask a server instead of loading a model here")
    parser.add_argument("--boxes", metavar="PNG", help="draw the boxes that the answer names on the last image")
    parser.add_argument("--max-new-tokens", type=int, default=256, metavar="N", help="longest answer, in tokens (256)")


def run(arguments: argparse.Namespace) -> None:
    """Print the answer."""
    require_files(arguments.images)
    if arguments.endpoint:
        answer = _ask_server(arguments)
    elif arguments.model or Path(DEMO_MODEL).is_dir():
        answer = _answer(arguments.model or DEMO_MODEL, arguments.images, arguments.question, arguments.max_new_tokens)
        print(answer)
    else:
        raise UsageError(f"there is no {DEMO_MODEL} yet: run `amalia-vl demo` first, or name a model with --model")
    if arguments.boxes:
        _draw_boxes(answer, arguments.images[-1], arguments.boxes)


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
    processor = AmaliaVLProcessor.from_pretrained(name, trust_remote_code=False)
    content = [{"type": "image", "image": image} for image in images] + [{"type": "text", "text": question}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    model = AmaliaVLForConditionalGeneration.from_pretrained(name, dtype="auto", trust_remote_code=False).to(device)
    tokens = model.generate(**inputs.to(device), max_new_tokens=max_new_tokens, do_sample=False)
    return str(processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)).strip()


def _ask_server(arguments: argparse.Namespace) -> str:
    """Print the answer as it comes."""
    from ..serving.client import stream_answer, user_turn

    turns, answer = user_turn(arguments.question, arguments.images), ""
    options = {"max_tokens": arguments.max_new_tokens, "temperature": 0}
    for piece in stream_answer(arguments.endpoint, turns, arguments.model, **options):
        print(piece.text, end="", flush=True)
        answer += piece.text
    print()
    return answer


def _draw_boxes(answer: str, image: str, out: str) -> None:
    from ..processing.image_loading_amalia_vl import load_image
    from ..serving.boxes import boxes_in, draw_boxes

    boxes = boxes_in(answer)
    if not boxes:
        raise UsageError(f"the answer names no box, so {out} is not written")
    draw_boxes(load_image(Path(image), 0), boxes).save(out)
    print(f"{len(boxes)} boxes drawn in {out}")
