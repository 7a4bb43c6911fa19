"""The chat page as a Hub Space: answers with the model that the variable `MODEL` names."""

import os
import sys

from amalia_vl_hf import cli

MODEL = os.environ.get("MODEL", "amalia-llm/AMALIA-VL-DPO")
PORT = os.environ.get("GRADIO_SERVER_PORT", "7860")  # where a Space is looked for
HOST = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")  # noqa: S104  a Space stands behind the Hub's proxy

if __name__ == "__main__":
    sys.exit(cli.main(["chat", "--model", MODEL, "--host", HOST, "--port", PORT]))
