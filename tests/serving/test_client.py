"""The client sends pixels as they are, in the order that the model is trained with, and says what went wrong."""

import base64
import io

import pytest
from PIL import Image

from amalia_vl_hf.evaluation.tasks import TASKS
from amalia_vl_hf.processing.image_loading_amalia_vl import load_image
from amalia_vl_hf.serving import client
from amalia_vl_hf.serving.client import data_url, stream_answer, user_turn
from amalia_vl_hf.serving.presets import PRESETS
from tests.asking.model_server import silent_address
from tests.serving.test_server import CHATS, LENGTH, expected, picture


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(url):
    return base64.b64decode(url.partition(",")[2])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_png_and_jpeg_files_are_sent_byte_for_byte(tmp_path, kind):
    path = tmp_path / "a"
    path.write_bytes(encoded(picture(40, 30), kind))
    assert decoded(data_url(path)) == decoded(data_url(path.read_bytes())) == path.read_bytes()
    assert data_url(path).startswith(f"data:image/{kind.lower()};base64,")


def test_others_are_sent_as_png_with_equal_pixels(tmp_path):
    path = tmp_path / "a.bmp"
    picture(40, 30).save(path)
    for image in (path, picture(40, 30)):
        assert load_image(decoded(data_url(image)), 0).tobytes() == picture(40, 30).tobytes()


def test_a_large_jpeg_keeps_its_size_in_pixels(monkeypatch):
    large = encoded(Image.effect_noise((300, 200), 90).convert("RGB"), "JPEG", quality=100, subsampling=0)
    monkeypatch.setattr(client, "JPEG_LIMIT", len(large) - 1)
    sent = decoded(data_url(large))
    assert len(sent) < len(large)
    assert Image.open(io.BytesIO(sent)).size == (300, 200)


def test_images_stand_before_the_text():
    (turn,) = user_turn("que cor tem?", [picture(8, 8), picture(9, 9)])
    assert [part["type"] for part in turn["content"]] == ["image_url", "image_url", "text"]
    assert turn["content"][-1]["text"] == "que cor tem?"


def test_a_preset_asks_in_the_words_of_the_evaluation():
    (turn,) = user_turn("que {cor} tem?", [], preset="frase")
    assert turn["content"][-1]["text"] == "que {cor} tem?\nResponde à pergunta utilizando uma palavra ou frase."
    assert user_turn("onde?", [], preset="caixa")[0]["content"][-1]["text"].endswith("esta frase descreve: onde?")
    for prompt in PRESETS.values():
        assert prompt in {task.prompt for task in TASKS.values()}
        assert prompt.count("{") == prompt.count("{question}") == 1
    with pytest.raises(ValueError, match=r"preset 'frasse' .*frase"):
        user_turn("", [], preset="frasse")


def test_an_answer_comes_in_pieces_and_is_that_of_generate(parts, server):
    chat = user_turn("que cor tem?", [picture(64, 64)])
    pieces = list(stream_answer(server, chat, max_tokens=LENGTH, temperature=0))
    assert len(pieces) > 1
    assert ("".join(piece.text for piece in pieces), pieces[-1].prompt_tokens) == expected(parts, CHATS[0])


def test_an_address_that_says_nothing_at_all_is_given_up_within_ten_seconds(monkeypatch):
    assert 3 * client.CONNECT + 2 < 10  # three tries, and the pauses between them
    monkeypatch.setattr(client, "CONNECT", 0.1)
    with silent_address() as url, pytest.raises(OSError, match=rf"nobody answers at {url}.*is the server running"):
        next(stream_answer(url, CHATS[0]))


def test_a_refusal_and_a_dead_server_are_one_line(server):
    with pytest.raises(ValueError, match=r"refuses \(400\): max_tokens must be a number from 1 to"):
        next(stream_answer(server, CHATS[7], max_tokens=0))
    with pytest.raises(OSError, match=r"nobody answers at http://127.0.0.1:9"):
        next(stream_answer("http://127.0.0.1:9", CHATS[7], model="tiny"))
