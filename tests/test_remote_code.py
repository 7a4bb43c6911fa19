"""Code of a checkpoint runs only where the user says so: every loader says no itself, and none asks the user."""

import ast
import json
from pathlib import Path

import pytest
from PIL import Image

import amalia_vl_hf
from amalia_vl_hf.cli import main
from tests.conversion.publishing.publishable import write_model

SOURCE = Path(amalia_vl_hf.__file__).parent
LOADERS = {"from_pretrained", "from_config"}
WITHOUT_CODE = {"PeftModel", "super"}  # adapters carry none; a class that passes on what it was called with


def loading_calls(path):
    """Calls of a module that load something by name, with the keywords they say."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOADERS:
            owner = node.func.value.func if isinstance(node.func.value, ast.Call) else node.func.value
            if getattr(owner, "id", "") not in WITHOUT_CODE:
                yield node


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_loader_says_that_no_code_is_run(path):
    for call in loading_calls(path):
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        place = f"{path.name}, line {call.lineno}"
        assert "trust_remote_code" in keywords or None in keywords, place  # None: what the caller passes on
        assert getattr(keywords.get("trust_remote_code"), "value", False) is False, place


@pytest.fixture
def hostile(tmp_path):
    """A model whose tokenizer, processor and config name code that leaves a trace."""
    directory = write_model(tmp_path / "model")
    trace = tmp_path / "run"
    (directory / "evil.py").write_text(f"open({str(trace)!r}, 'w')\nclass Any: pass\n")
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        values = json.loads((directory / name).read_text())
        names = ("AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoProcessor", "AutoImageProcessor")
        values["auto_map"] = dict.fromkeys(names, "evil.Any") | {"AutoTokenizer": ["evil.Any", "evil.Any"]}
        for part in ("text_config", "vision_config"):
            if part in values:
                values[part]["auto_map"] = dict.fromkeys(names, "evil.Any")
        if name == "tokenizer_config.json":
            values["tokenizer_class"] = "Any"
        (directory / name).write_text(json.dumps(values))
    return directory, trace


@pytest.mark.parametrize(
    "words",
    [
        ["ask", "IMAGE", "O que se vê?", "--model", "MODEL"],
        ["inspect", "IMAGE", "--model", "MODEL", "--out", "OUT.png"],
        ["train", "tiny/1_align", "model=MODEL", "data=DATA", "output=OUT"],
        ["data", "check", "DATA", "--model", "MODEL"],
        ["convert", "export", "MODEL", "--out", "OUT"],
        ["convert", "verify", "MODEL", "MODEL"],
        ["push", "MODEL", "a/b", "--dry-run", "--unverified"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_no_command_runs_or_asks(hostile, words, tmp_path, monkeypatch, capfd):
    directory, trace = hostile
    image, data = tmp_path / "image.png", tmp_path / "data.jsonl"
    Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(image)
    turns = [{"role": "user", "content": "Olá"}, {"role": "assistant", "content": "Bom dia"}]
    data.write_text(json.dumps({"messages": turns, "images": []}))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question at the terminal"))
    places = {"MODEL": directory, "IMAGE": image, "DATA": data, "OUT": tmp_path / "out"}
    main([replaced(word, places) for word in words])
    assert not trace.exists()
    assert "Traceback" not in capfd.readouterr().err


def replaced(word, places):
    for name, path in places.items():
        word = word.replace(name, str(path)) if word.isupper() or "=" in word or word == "OUT.png" else word
    return word
