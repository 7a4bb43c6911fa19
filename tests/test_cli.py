"""The whole command line: help, what it imports, and what it says of all that can end a command."""

import json
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from amalia_vl_hf import __version__, cli
from benchmarks.imports import every_command

ROOT = Path(__file__).parents[1]


EVERY = list(every_command(cli._parser()))
HELP = """
import contextlib, io, json, sys
from amalia_vl_hf import cli

def said(words):
    with contextlib.redirect_stdout(io.StringIO()) as screen, contextlib.suppress(SystemExit):
        cli.main([*words, "--help"])
    return screen.getvalue(), sorted({{"torch", "transformers", "numpy", "PIL", "datasets"}} & set(sys.modules))

print(json.dumps([said(words) for words in {every}]))
"""


@pytest.fixture(scope="module")
def helps():
    code = HELP.format(every=[list(words) for words in EVERY])
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    return dict(zip(EVERY, json.loads(process.stdout), strict=True))


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_answers_without_torch_and_gives_examples(words, helps):
    said, heavy = helps[words]
    assert heavy == []
    assert said.startswith("usage: " + " ".join(("amalia-vl", *words)))
    examples = [line for line in said.splitlines() if line.startswith(" ".join(("  amalia-vl", *words)))]
    assert examples
    for example in examples:  # is taken as it stands; the last columns of the first help say what it is for
        line = example.split("   ")[0] if not words else example
        assert cli._parser().parse_args(shlex.split(line)[1:]).run


def test_the_first_help_says_where_to_start(helps):
    said, _ = helps[()]
    assert "start here:\n  amalia-vl demo " in said
    assert all(f"\n    {name} " in said for name in cli.COMMANDS)


def test_every_command_has_a_file():
    files = {path.stem for path in (ROOT / "src" / "amalia_vl_hf" / "commands").glob("*.py")}
    assert files - {"__init__", "arguments", "failures"} == set(cli.COMMANDS)


def test_version_is_the_packages(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"amalia-vl-hf {__version__}\n"
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == __version__


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: COMMAND; see `amalia-vl --help`"),
        (["data"], "the following arguments are required: STEP; see `amalia-vl data --help`"),
        (["inspect", "a.png", "--max-tiles", "x"], "argument --max-tiles: 'x' is not a whole number from 0 on"),
        (["data", "build", "pt-ocr", "--out", "o", "--count", "0"], "--count: '0' is not a whole number from 1 on"),
        (["ask", "a.png", "Olá?", "--max-new-tokens", "0"], "--max-new-tokens: '0' is not a whole number from 1 on"),
        (["eval", "run", "pope_pt", "--model", "M", "--out", "o", "--limit", "0"], "--limit: '0' is not a whole"),
        (["serve", "M", "--port", "70000"], "--port: '70000' is not a whole number from 0 to 65535"),
        (["taste"], "invalid choice: 'taste'"),
    ],
)
def test_arguments_are_refused_in_one_line(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("amalia-vl: ")
    assert message in said
    assert said.count("\n") == 1


def test_key_value_words_may_stand_anywhere(capsys):
    parser = cli._parser()
    for words in (["a=1", "--dry-run", "b.c=2"], ["--dry-run", "a=1", "b.c=2"], ["a=1", "b.c=2", "--dry-run"]):
        parsed = parser.parse_args(["train", "tiny/1_align", *words])
        assert (parsed.recipe, parsed.overrides, parsed.dry_run) == ("tiny/1_align", ["a=1", "b.c=2"], True)
    for line in (["train", "R", "--dry-run", "more"], ["inspect", "a.png", "--max-tiles", "3", "a=1", "--nothing"]):
        with pytest.raises(SystemExit):
            parser.parse_args(line)
        assert "unrecognized arguments" in capsys.readouterr().err
