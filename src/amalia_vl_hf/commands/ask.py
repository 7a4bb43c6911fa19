"""`amalia-vl ask`: images, videos and a question in, the model's answer out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import add_command, at_least, require_model
from .failures import UsageError, first_line

if TYPE_CHECKING:
    from .arguments import Commands

DEMO_MODEL = "runs/demo/3_prefer"
CLIPS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".ogv", ".flv", ".wmv", ".3gp")
Answers = Callable[[Sequence[str]], Iterator[str]]  # images to the pieces of an answer
EXAMPLES = """\
  amalia-vl ask foto.jpg "O que se vê na imagem?"
  amalia-vl ask clip.mp4 "O que acontece?" --model utter-project/TowerVideo-2B
  amalia-vl ask antes.png depois.png "O que mudou?" --model amalia-llm/AMALIA-VL-DPO
  amalia-vl ask digitalizações/ "Transcreve o texto." --model DIR --out respostas.jsonl
  amalia-vl ask foto.jpg "Onde está o gato?" --endpoint http://127.0.0.1:8000 --boxes caixas.png"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "ask", "Answer a question about images or videos.", EXAMPLES, run)
    parser.add_argument("images", nargs="+", metavar="FILE", help="image or video, or with --out a folder of them")
    parser.add_argument("question", metavar="QUESTION", help="question, in quotes")
    parser.add_argument("--model", help=f"directory or Hub id of an amalia_vl or LLaVA model ({DEMO_MODEL})")
    parser.add_argument("--endpoint", metavar="URL", help="ask a server instead of loading a model here")
    parser.add_argument(
        "--out", metavar="JSONL", help="ask about each image by itself, and append answers here; goes on after a stop"
    )
    parser.add_argument("--boxes", metavar="PNG", help="draw the boxes that the answer names on the last image")
    parser.add_argument(
        "--preset",
        metavar="NAME",
        help="ask in the evaluation's words: frase, palavra, curta, letra or caixa (the question as it is)",
    )
    parser.add_argument(
        "--max-new-tokens", type=at_least(1), default=256, metavar="N", help="longest answer, in tokens (256)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the answer, or write one line for each image; 1 if images could not be used."""
    from ..serving.presets import worded

    question = worded(arguments.question, arguments.preset)
    images = _list_images(arguments.images) if arguments.out else arguments.images
    require_files(images, "; with --out answers.jsonl each image in it is asked about")
    if is_clip(images[-1]) and arguments.boxes:
        raise UsageError("--boxes draws on a picture, and the last file is a video")
    if arguments.endpoint and (clips := [image for image in images if is_clip(image)]):
        raise UsageError(f"a server is asked about images; leave --endpoint out for {clips[0]}")
    if arguments.out and arguments.boxes:
        raise UsageError("--boxes draws on one picture; leave it or --out out")
    if not arguments.endpoint and not arguments.model and not Path(DEMO_MODEL).is_dir():
        raise UsageError(f"there is no {DEMO_MODEL} yet: run `amalia-vl demo` first, or name a model with --model")
    if arguments.model and not arguments.endpoint:
        require_model(arguments.model)
    answers = _served(arguments, question) if arguments.endpoint else _local(arguments, question)
    if arguments.out:
        return _answer_each(images, Path(arguments.out), question, answers)
    answer = ""
    for piece in answers(images):
        print(piece, end="", flush=True)
        answer += piece
    print()
    if arguments.boxes:
        _draw_boxes(answer, images[-1], arguments.boxes)
    return 0


def _list_images(names: Sequence[str]) -> list[str]:
    """Replace folders by the image files in them, by name."""
    from ..processing.decoding_amalia_vl import SUFFIXES

    listed = []
    for name in names:
        inside = sorted(str(path) for path in Path(name).iterdir()) if Path(name).is_dir() else [name]
        listed += [path for path in inside if path == name or Path(path).suffix.lower() in (*SUFFIXES, *CLIPS)]
    if not listed:
        raise UsageError(f"no images in {', '.join(names)}: {', '.join((*SUFFIXES, *CLIPS))}")
    return listed


def _answer_each(images: Sequence[str], out: Path, question: str, answers: Answers) -> int:
    """Append one line an image; those that are there already are not asked again, those that failed are."""
    from ..disk import append_lines, cut_last_line, sole_writer

    out.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    with sole_writer(out.with_name(f".{out.name}.lock"), f"writing {out}"):
        cut_last_line(out)
        lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
        there = {(line["image"], line["question"]) for line in map(json.loads, lines)}
        for number, image in enumerate(images, start=1):
            if (image, question) in there:
                continue
            try:
                answer = "".join(answers([image]))
            except ValueError as error:  # one bad image does not cost the others
                failures += 1
                print(f"{image}: {first_line(error)}", file=sys.stderr)
                continue
            line = {"image": image, "question": question, "answer": answer}
            append_lines(out, json.dumps(line, ensure_ascii=False) + "\n")
            print(f"{number} of {len(images)}: {image}", file=sys.stderr)
    print(
        f"{len(images) - failures} answers in {out}" + (f"; {failures} images could not be used" if failures else "")
    )
    return 1 if failures else 0


def is_clip(path: str) -> bool:
    """Tell a video from an image by its name."""
    return Path(path).suffix.lower() in CLIPS


def require_files(paths: Sequence[str], of_folder: str = "") -> None:
    """Look for images and videos before anything slow is loaded.

    Args:
        paths: Of the files.
        of_folder: What may be done with a folder of them, for the error.

    Raises:
        UsageError: Some of them are not there, or are folders.
    """
    if folders := [path for path in paths if Path(path).is_dir()]:
        raise UsageError(f"{folders[0]} is a folder, no image{of_folder}")
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        kind = "video" if is_clip(missing[0]) else "image"
        raise UsageError(f"no such {kind}: {', '.join(missing)}")


def _local(arguments: argparse.Namespace, question: str) -> Answers:
    """Give what answers about images; the model is loaded once, by the first that needs an answer."""
    from ..serving.loading import load_model

    load = cache(load_model)

    def answer(images: Sequence[str]) -> Iterator[str]:
        model, processor = load(arguments.model or DEMO_MODEL)
        kinds = ["video" if is_clip(image) else "image" for image in images]
        pairs = zip(kinds, images, strict=True)
        content: list[dict[str, Any]] = [{"type": kind, kind: Path(image)} for kind, image in pairs]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": [*content, {"type": "text", "text": question}]}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(model.device)
        tokens = model.generate(**inputs, max_new_tokens=arguments.max_new_tokens, do_sample=False)
        yield str(processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)).strip()

    return answer


def _served(arguments: argparse.Namespace, question: str) -> Answers:
    """Give what asks a server about images."""
    from ..serving.client import stream_answer, user_turn

    options = {"max_tokens": arguments.max_new_tokens, "temperature": 0}

    def answer(images: Sequence[str]) -> Iterator[str]:
        turns = user_turn(question, images)
        yield from (piece.text for piece in stream_answer(arguments.endpoint, turns, arguments.model, **options))

    return answer


def _draw_boxes(answer: str, image: str, out: str) -> None:
    from ..processing.image_loading_amalia_vl import load_image
    from ..serving.boxes import boxes_in, draw_boxes

    boxes = boxes_in(answer)
    if not boxes:
        raise UsageError(f"the answer names no box, so {out} is not written")
    draw_boxes(load_image(Path(image), 0), boxes).save(out)
    print(f"{len(boxes)} boxes drawn in {out}")
