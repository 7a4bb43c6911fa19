"""The chat page in a real browser, against a server that writes slowly."""

import asyncio
import json
import socket
import threading
import time
from contextlib import closing

import pytest

from amalia_vl_hf.inspection import inspect_image
from amalia_vl_hf.processing.image_processing_amalia_vl import AmaliaVLImageProcessor
from amalia_vl_hf.serving.boxes import boxes_in, draw_boxes
from tests.serving.test_server import data_url, picture

ANSWER = "um quadrado vermelho em [0,1; 0,2; 0,5; 0,6]"


def test_boxes_are_read_in_every_convention_and_drawn_at_the_pictures_size():
    same = (0.1, 0.2, 0.5, 0.6)
    for text in (ANSWER, "[100, 200, 500, 600]", "(0.1, 0.2, 0.5, 0.6)", "0.1 0.2 0.5 0.6"):
        assert boxes_in(text) == [same], text
    assert boxes_in("são 3 gatos") == []
    drawn = draw_boxes(picture(200, 100, "black"), [same])
    assert drawn.size == (200, 100)
    assert drawn.getpixel((20, 20)) == drawn.getpixel((99, 59)) == (230, 25, 75)


@pytest.mark.parametrize(
    ("most", "said"),
    [
        (4, "miniatura (0) e 2 x 2 mosaicos: 70 tokens visuais; tracejado: margem cortada"),
        (0, "miniatura (0), sem mosaicos: 17 tokens visuais"),
    ],
)
def test_the_drawing_of_tiles_is_captioned_in_portuguese(most, said):
    pytest.importorskip("gradio")
    from amalia_vl_hf.serving.page import tiles_in_portuguese

    processor = AmaliaVLImageProcessor(size=32, patch_size=8, max_tiles=4)
    assert tiles_in_portuguese(inspect_image(picture(64, 44), processor, most)) == said


class SlowServer:
    """Streams the same answer, letter by letter; keeps what it was asked."""

    def __init__(self):
        import uvicorn
        from fastapi import FastAPI, Request
        from fastapi.responses import StreamingResponse

        from tests.serving.tiny import listening

        app, self.bodies, self.pause, self.left = FastAPI(), [], 0.01, 0

        @app.get("/v1/models")
        def models():
            return {"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "us"}]}

        @app.post("/v1/chat/completions")
        async def complete(request: Request):
            self.bodies.append(await request.json())
            return StreamingResponse(self.write(), media_type="text/event-stream")

        listener, self.address = listening()
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]})
        self.thread.start()

    async def write(self):
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
        try:
            for letter in ANSWER:
                await asyncio.sleep(self.pause)
                yield f"data: {json.dumps({**chunk, 'choices': [{'index': 0, 'delta': {'content': letter}}]})}\n\n"
            usage = {"prompt_tokens": 123, "completion_tokens": 9, "total_tokens": 132}
            yield f"data: {json.dumps({**chunk, 'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n"
        except (GeneratorExit, asyncio.CancelledError):
            self.left += 1
            raise

    def close(self):
        self.server.should_exit = True
        self.thread.join(20)


@pytest.fixture
def slow_server():
    with closing(SlowServer()) as server:
        yield server


@pytest.fixture
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, and Chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.slow
def test_an_image_and_a_question_give_a_streamed_answer_a_count_and_a_box(slow_server, browser, tmp_path):
    pytest.importorskip("gradio")
    from amalia_vl_hf.serving.page import build_page, open_page

    page = build_page(slow_server.address, None, AmaliaVLImageProcessor(size=32, patch_size=8, max_tiles=4))
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    address = open_page(page, "127.0.0.1", port, block=False)
    addresses, file = [], tmp_path / "foto.png"
    picture(200, 120).save(file)
    try:
        view = browser.new_context(locale="pt-PT", viewport={"width": 1300, "height": 900}).new_page()
        view.on("request", lambda request: addresses.append(request.url))
        view.goto(address)
        view.wait_for_selector("text=Transcreve o texto da imagem.")
        view.set_input_files("input[type=file]", str(file))
        view.wait_for_selector(".thumbnails img")
        _ask(view, "que cor tem?")
        view.wait_for_selector("text=/123 tokens de pergunta e imagens/")
        assert ANSWER in view.inner_text("body")
        view.wait_for_selector("text=Caixas na imagem")
        view.wait_for_selector("text=Como a imagem é dividida")
        _ask(view, "e onde está?")
        _until(lambda: len(slow_server.bodies) == 2)
        first, answer, second = slow_server.bodies[1]["messages"]
        assert [part["type"] for part in first["content"]] == ["image_url", "text"]
        assert first["content"][0]["image_url"]["url"] == data_url(picture(200, 120))
        assert (answer["content"], second["content"][-1]["text"]) == (ANSWER, "e onde está?")
        _until(lambda: view.locator("textarea").last.is_enabled())
        slow_server.pause = 0.5
        _ask(view, "outra vez")
        _until(lambda: len(slow_server.bodies) == 3)
        view.locator("button.stop-button").last.click()
        _until(lambda: slow_server.left == 1)
        assert all(url.startswith((address, "data:", "blob:")) for url in addresses), addresses
    finally:
        page.close()


def _ask(view, question):
    _until(lambda: view.locator("textarea").last.is_enabled())
    view.locator("textarea").last.fill(question)
    view.locator("textarea").last.press("Enter")


def _until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)
