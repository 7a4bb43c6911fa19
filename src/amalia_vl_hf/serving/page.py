"""The chat page: asks a server, streams its answer, draws the boxes it names and the tiles an image is cut into.

Everything a person reads on it is European Portuguese. The page asks nobody but the server.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from PIL import Image

from ..inspection import ImageReport, draw_tiles
from ..processing.image_loading_amalia_vl import load_image
from ..processing.image_processing_amalia_vl import AmaliaVLImageProcessor
from .boxes import boxes_in, draw_boxes
from .client import Chat, stream_answer, user_turn

EXAMPLES = (
    "O que se vê na imagem?",
    "Transcreve o texto da imagem.",
    "Quantos objetos há na imagem?",
    "Onde está o objeto principal? Responde com as coordenadas [x1, y1, x2, y2].",
)
MOST_TOKENS = 2048  # of an answer
TITLE = "AMALIA-VL"
INTRODUCTION = (
    "Pergunta em português europeu sobre uma ou mais imagens. Podes juntar imagens ao texto, ou arrastá-las."
)
Updates = tuple[str, Any, Any, str]  # the answer so far, picture with boxes, pictures of tiles, what it took


def build_page(
    endpoint: str, model: str | None = None, image_processor: AmaliaVLImageProcessor | None = None
) -> gr.Blocks:
    """Build the page of a server.

    Args:
        endpoint: Address of the server.
        model: What the server calls the model; the only one it has when left out.
        image_processor: Says how images are tiled, for the drawing; AMALIA-VL's when left out.
    """
    tiling = image_processor or AmaliaVLImageProcessor()
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_height=True) as page:
        boxes = gr.Image(label="Caixas na imagem", interactive=False, render=False, visible=False)
        tiles = gr.Gallery(
            label="Como a imagem é dividida", columns=1, object_fit="contain", render=False, visible=False
        )
        cost = gr.Markdown(render=False)
        system = gr.Textbox(label="Instrução de sistema", lines=2, render=False)
        most_tiles = gr.Slider(0, tiling.max_tiles, tiling.max_tiles, step=1, label="Máximo de mosaicos", render=False)
        length = gr.Slider(16, MOST_TOKENS, 512, step=16, label="Máximo de tokens da resposta", render=False)

        def reply(
            message: Mapping[str, Any], history: Sequence[Mapping[str, Any]], system: str, most: int, length: int
        ) -> Iterator[Updates]:
            turn = {
                "role": "user",
                "content": [*({"file": {"path": path}} for path in message["files"]), message["text"]],
            }
            try:
                yield from answer_steps([*history, turn], system, int(most), int(length), endpoint, model, tiling)
            except (ValueError, OSError) as error:
                raise gr.Error(str(error), title="Não foi possível responder", print_exception=False) from error

        with gr.Row(scale=1):
            with gr.Column(scale=2):
                _conversation(reply, [system, most_tiles, length], [boxes, tiles, cost])
            with gr.Column(scale=1):
                for part in (cost, boxes, tiles):
                    part.render()
    return page


def _conversation(
    reply: Callable[..., Iterator[Updates]],
    options: list[gr.components.Component],
    shown: list[gr.components.Component],
) -> None:
    """Lay out the conversation itself: what is typed and chosen goes into `reply`, and what that gives is shown."""
    question = gr.MultimodalTextbox(
        label="Pergunta",
        placeholder="Escreve uma pergunta…",
        file_types=["image"],
        file_count="multiple",
        submit_btn=True,
        stop_btn=True,
        show_label=False,
    )
    gr.ChatInterface(
        reply,
        multimodal=True,
        title=TITLE,
        description=INTRODUCTION,
        chatbot=gr.Chatbot(label="Conversa", show_label=False, scale=1, buttons=["copy"]),
        textbox=question,
        examples=[[{"text": text, "files": []}] for text in EXAMPLES],
        examples_label="Exemplos",
        run_examples_on_click=False,
        cache_examples=False,
        additional_inputs=options,
        additional_inputs_accordion=gr.Accordion("Opções", open=False, render=False),
        additional_outputs=shown,
        analytics_enabled=False,
    )


def answer_steps(
    turns: Sequence[Mapping[str, Any]],
    system: str | None,
    most_tiles: int,
    length: int,
    endpoint: str,
    model: str | None,
    tiling: AmaliaVLImageProcessor,
) -> Iterator[Updates]:
    """Ask the server, and give what the page shows as the answer grows.

    Raises:
        ValueError: A picture cannot be used, nothing is asked, or the server refuses.
        OSError: Nobody answers there.
    """
    chat, pictures = chat_of(turns, system)
    drawings = [draw_tiles(picture, tiling, most_tiles, tiles_in_portuguese) for picture in pictures]
    hidden = gr.update(visible=False)
    began, answer, tokens = time.monotonic(), "", None
    yield answer, hidden, gr.update(value=drawings, visible=True) if drawings else hidden, "a responder…"
    extra = {"chat_template_kwargs": {"max_tiles": most_tiles}}
    for piece in stream_answer(endpoint, chat, model, max_tokens=length, temperature=0, extra_body=extra):
        answer, tokens = answer + piece.text, piece.prompt_tokens or tokens
        yield answer, gr.skip(), gr.skip(), gr.skip()
    boxes = boxes_in(answer) if pictures else []
    picture = gr.update(value=draw_boxes(pictures[-1], boxes), visible=True) if boxes else hidden
    counted = f"{tokens} tokens de pergunta e imagens" if tokens else "tokens desconhecidos"
    yield answer, picture, gr.skip(), f"{counted}, {time.monotonic() - began:.1f} s"


def tiles_in_portuguese(report: ImageReport) -> str:
    """Say in one line what the drawing of an image's tiles shows."""
    rows, cols = report.layout.grid
    tiles = f"miniatura (0) e {rows} x {cols} mosaicos" if rows else "miniatura (0), sem mosaicos"
    hatched = "; tracejado: margem cortada" if report.layout.pad_rows or report.layout.pad_cols else ""
    return f"{tiles}: {report.visual_tokens} tokens visuais{hatched}"


def chat_of(turns: Sequence[Mapping[str, Any]], system: str | None) -> tuple[Chat, list[Image.Image]]:
    """Write a conversation of the page as messages: turns of one side that follow each other are one.

    Args:
        turns: As the page keeps them, with `content` a text, or a list of texts and files.
        system: Instruction that comes first; nothing for an empty one or none.

    Returns:
        The messages, and the pictures of the user in order.

    Raises:
        ValueError: A picture cannot be used, or nothing is asked.
    """
    joined: list[tuple[str, list[str], list[str]]] = []
    for turn in turns:
        if not joined or joined[-1][0] != turn["role"]:
            joined.append((turn["role"], [], []))
        content = turn["content"]
        for part in content if isinstance(content, list) else [content]:
            text, path = _text_of(part), _path_of(part)
            joined[-1][1].extend([path] if path else [])
            joined[-1][2].extend([text] if text else [])
    chat: Chat = [{"role": "system", "content": system.strip()}] if system and system.strip() else []
    pictures: list[Image.Image] = []
    for role, paths, texts in joined:
        if role == "user":
            if not any(text.strip() for text in texts):
                raise ValueError("falta a pergunta: escreve o que queres saber sobre a imagem")
            pictures += [load_image(Path(path), number) for number, path in enumerate(paths)]
            chat += user_turn("\n".join(texts), [Path(path) for path in paths])
        else:
            chat.append({"role": role, "content": "\n".join(texts)})
    return chat, pictures


def _path_of(part: Any) -> str | None:
    file = part.get("file") if isinstance(part, Mapping) else None
    return file["path"] if isinstance(file, Mapping) else None


def _text_of(part: Any) -> str | None:
    return part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None


def open_page(page: gr.Blocks, host: str, port: int, block: bool = True) -> str:
    """Serve a page, on this machine alone unless another host is named; returns its address.

    Raises:
        OSError: The port is taken.
    """
    _, address, _ = page.queue(default_concurrency_limit=4).launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=not block,
        footer_links=[],
    )
    return str(address)
