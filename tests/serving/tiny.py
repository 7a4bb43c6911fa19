"""A tiny model that serves, and a server of it."""

import socket

from tests.test_registration import tiny_processor
from tests.tiny import tiny_config, tiny_model, tiny_text_config

NAME = "tiny"


def served_parts(**text_options):
    processor = tiny_processor()
    text = tiny_text_config(vocab_size=len(processor.tokenizer), **text_options)
    return tiny_model(tiny_config(text=text, image_token_id=processor.image_token_id)), processor


def listening():
    """Take a port of loopback; its address goes with it."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


def start_server(model, processor):
    import uvicorn  # not in every environment that these models are made in

    from amalia_vl_hf.serving.server import build_app

    listener, address = listening()
    config = uvicorn.Config(build_app(NAME, model, processor), log_level="warning")
    return uvicorn.Server(config), listener, address
