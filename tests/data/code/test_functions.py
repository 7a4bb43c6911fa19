"""Functions to draw and run: the seeded ones run and print the same always; of the user's, those that fit are read."""

import ast
import subprocess
import sys
from hashlib import sha256
from random import Random
from string import Template

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from amalia_vl_hf.data.code import pt_outputs_to_code, sepic, simple_code_ocr
from amalia_vl_hf.data.code.code_pictures import MAX_LETTERS, MAX_LINES
from amalia_vl_hf.data.code.function_shapes import SHAPES
from amalia_vl_hf.data.code.function_words import CONSTANTS, KINDS, WORDS
from amalia_vl_hf.data.code.functions import (
    OUTPUT_LETTERS,
    OUTPUT_LINES,
    Function,
    draw_function,
    read_function,
    read_functions,
    run_call,
    run_calls,
    statement,
    write_function,
)
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.typefaces import GLYPHS
from amalia_vl_hf.variety import judge
from tests.data.rows import MATERIALS, drawn_row

SEEDS = 300


@pytest.fixture(scope="module")
def functions():
    return [write_function(Random(seed), seed) for seed in range(SEEDS)]


def shape_of(function):
    return next(shape for shape in SHAPES if any(function.name in names for names in shape.names.values()))


def of(source):
    return read_function(source)


def test_every_shape_comes_up_in_both_languages(functions):
    assert len(SHAPES) >= 24
    seen = {(id(shape_of(function)), function.language) for function in functions}
    assert len(seen) > 1.6 * len(SHAPES)
    assert {language for _, language in seen} == {"pt", "en"}
    portuguese = sum(function.language == "pt" for function in functions)
    assert 0.4 * SEEDS < portuguese < 0.6 * SEEDS


def test_shapes_have_no_two_functions_of_a_name_and_no_idle_words():
    names = [name for shape in SHAPES for names in shape.names.values() for name in set(names)]
    assert max(map(names.count, names)) <= 2  # the same word in both languages
    assert {kind for shape in SHAPES for kind in shape.arguments.values()} == set(KINDS)
    text = " ".join(
        " ".join([shape.body, *shape.doc.values(), *map("${}".format, shape.arguments)]) for shape in SHAPES
    )
    assert {*WORDS, *CONSTANTS} == set(Template(text).get_identifiers()) - {"f"}


def test_seeded_functions_are_written_as_the_users_are_read(functions):
    for function in functions:
        assert read_function(function.source) == Function(function.name, function.source)
        assert set(function.source) <= GLYPHS | {" ", "\n"}
        assert max(map(len, function.source.split("\n"))) <= MAX_LETTERS
        assert len(set(function.calls)) >= 3
        assert all(ast.parse(call).body[0].value.func.id == function.name for call in function.calls)


def test_every_seeded_call_runs_and_prints_the_same_under_every_hash_seed(functions):
    one_each = {shape_of(function).body: function for function in functions}.values()
    assert len(one_each) == len(SHAPES)
    outputs = run_calls([(function, call) for function in one_each for call in function.calls], seeds=8)
    assert [output for output in outputs if isinstance(output, RejectedError)] == []
    assert len(set(outputs)) > 2 * len(SHAPES)


@pytest.mark.slow
def test_many_seeded_calls_run_alone_under_every_hash_seed_and_print_what_they_print_together(functions):
    for function in functions[:30]:
        together = run_calls([(function, call) for call in function.calls], seeds=1)
        assert together == [run_call(function, call) for call in function.calls]


def test_portuguese_texts_of_functions_are_european(functions):
    docs = "\n".join(shape.doc["pt"] for shape in SHAPES)
    assert judge(docs).is_pt_pt
    names = [function for function in functions if function.language == "pt"]
    assert not any(word in function.source for function in names for word in ("tela", "arquivo", "time "))


def test_a_sample_is_asked_about_in_the_language_of_its_function():
    for seed in range(20):
        function, language = draw_function(Random(seed), seed, MATERIALS)
        assert function.language == language
    theirs = MATERIALS._replace(functions=lambda rng, index: Function("f", "def f():\n    return 1"))
    assert {draw_function(Random(seed), seed, theirs)[1] for seed in range(20)} == {"pt", "en"}


def test_a_function_is_written_as_it_is_drawn():
    read = read_function("\n\n\tdef f(x):  \n\t\tif x:\n\n\t\t\treturn 1   \n\n")
    assert read == Function("f", "def f(x):\n    if x:\n\n        return 1")
    assert read_function("@cache\ndef f():\n    pass").name == "f"


@pytest.mark.parametrize(
    "source",
    [
        "",
        "x = 1",
        "def f(:\n    pass",
        "class A:\n    def f(self):\n        pass",
        "async def f():\n    pass",
        "def f():\n    pass\n\ndef g():\n    pass",
        "def f():\n    return '\0'",
        "def f():\n" + "    x = 1\n" * MAX_LINES,
        "def f():\n    return " + "(" * 5000,
        "def f():\n    print 1",
        f"def f():\n    return '{'a' * MAX_LETTERS}'",
        "def f():\n    return '漢'",
    ],
)
def test_what_is_no_single_function_is_not_read(source):
    assert read_function(source) is None


def write_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("column", ["func_code_string", "whole_func_string", "code", "func"])
def test_functions_take_turns_and_those_that_do_not_fit_are_passed_over(tmp_path, column):
    sources = ["def a():\n    return 1", "def b(:", "function c() {}", "def d():\n    return 2", None]
    languages = ["python", "python", "javascript", "python", "python"]
    rows = [{column: source, "language": language} for source, language in zip(sources, languages, strict=True)]
    source = read_functions(write_parquet(tmp_path / "functions.parquet", rows))
    assert [source(Random(0), index).name for index in range(7)] == ["a", "d", "d", "d", "a", "a", "d"]


def test_another_language_is_passed_over_even_where_it_parses(tmp_path):
    rows = [{"code": "def f(x):\n    x", "language": "ruby"}, {"code": "def g():\n    pass", "language": "python"}]
    source = read_functions(write_parquet(tmp_path / "functions.parquet", rows))
    assert source(Random(0), 0).name == "g"


def test_functions_in_the_other_languages_take_their_turn_where_they_are_wanted(tmp_path):
    rows = [
        {"code": "def f(x):\n  x + 1\nend", "language": "ruby"},
        {"code": "  function g(x) {\n    return x;\n  }", "language": "javascript"},
        {"code": "int h(int x) { return x; }", "language": "Java"},
        {"code": "<?no php", "language": "brainfuck"},
        {"code": "func i() int {\n\treturn 1\n}", "language": "go"},
        {"code": "function j($x) { return $x; }", "language": "php"},
        {"code": "def k(:", "language": "python"},
    ]
    source = read_functions(write_parquet(tmp_path / "functions.parquet", rows))
    drawn = [source.any_language(Random(0), index) for index in range(7)]
    assert [function.code for function in drawn] == ["ruby", "javascript", "java", "go", "go", "php", "ruby"]
    assert drawn[1].source == "function g(x) {\n  return x;\n}"
    with pytest.raises(ValueError, match="none of its 7 rows is a Python function"):
        source(Random(0), 0)


def test_files_without_functions_are_refused(tmp_path):
    path = write_parquet(tmp_path / "functions.parquet", [{"text": "def f(): pass", "url": "x"}])
    with pytest.raises(ValueError, match=r"needs a column func_code_string or .* or func, has text, url"):
        read_functions(path)
    path = write_parquet(tmp_path / "others.parquet", [{"code": "x = 1"}, {"code": "y = 2"}])
    with pytest.raises(ValueError, match="none of its 2 rows is a Python function of at most 50 lines"):
        read_functions(path)(Random(0), 0)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def f():\n    return 1", "print(f())"),
        ("def f():\n    yield 1", "print(f())"),
        ("def f():\n    if 1:\n        return\n    print(2)", "f()"),
        ("def f():\n    x = [(yield)]\n    x = yield 1", "print(f())"),
        ("def f():\n    print(2)", "f()"),
        ("def f():\n    def g():\n        return 1\n    print(g())", "f()"),
    ],
)
def test_what_returns_nothing_is_only_called(source, line):
    assert statement(of(source), "f()") == line


def test_outputs_are_what_the_calls_print():
    assert run_call(of("def f(x):\n    return x * 2"), "f('é')") == "éé"
    assert (
        run_call(of("def f(x):\n    for i in range(x):\n        print(i, end=' ')\n        print()"), "f(2)") == "0\n1"
    )


def test_a_call_that_spoils_a_run_does_not_spoil_the_others():
    good, bad = of("def f(x):\n    return x"), of("def g(x):\n    return set('abcdefgh')")
    outputs = run_calls([(good, "f(1)"), (bad, "g(1)"), (good, "f(2)"), (good, "f(3)")])
    assert [outputs[0], *outputs[2:]] == ["1", "2", "3"]
    assert outputs[1].reason == "a program ends as unstable"


def test_more_than_a_run_takes_is_run_in_several():
    filler = "".join(f"    # {'é' * 100}\n" for _ in range(45))
    functions = [of(f"def f(x):\n{filler}    return x + {number}") for number in range(6)]
    assert run_calls([(function, "f(1)") for function in functions], seeds=1) == ["1", "2", "3", "4", "5", "6"]


def test_functions_may_import():
    source = "def f(x):\n    import collections, re, statistics\n    return collections.Counter(re.findall(x, 'abca'))"
    assert run_call(of(source), "f('[ab]')") == "Counter({'a': 2, 'b': 1})"


def test_calls_of_a_run_do_not_see_each_other():
    keeper = of("def f():\n    global kept\n    kept = 1\n    return kept")
    looker = of("def g():\n    return 'kept' in globals()")
    failing = of("def h():\n    raise SystemExit")
    outputs = run_calls([(keeper, "f()"), (failing, "h()"), (looker, "g()")])
    assert outputs[::2] == ["1", "False"]
    assert outputs[1].reason == "a program fails"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def f():\n    return 1 / 0", "a program fails"),
        ("def f():\n    while True:\n        pass", "a program fails"),
        ("def f():\n    pass", "a program prints nothing"),
        ("def f():\n    print('  \\n ')", "a program prints nothing"),
        (f"def f():\n    print('a\\n' * {OUTPUT_LINES + 1})", f"a program prints too much: {OUTPUT_LINES + 1} lines"),
        (f"def f():\n    return 'a' * {MAX_LETTERS + 1}", "a program prints too much: 1 lines, 111 letters"),
        (f"def f():\n    return 'a{' ' * 80}\\n' * {OUTPUT_LETTERS}", "a program prints too much"),
        ("def f():\n    return '<f at 0x7f3a12345678>'", "a program prints an address"),
        ("def f():\n    return set('abcdefgh')", "a program ends as unstable"),
        ("def f():\n    import os\n    os.write(1, b'x')", "a program writes past print: x"),
        ("def f():\n    import os\n    os.write(1, b'[]')\n    os._exit(0)", r"a program writes past print: \[\]"),
        ("def f():\n    import os\n    os._exit(1)", "a program ends as failed"),
    ],
)
def test_calls_that_are_of_no_use_are_rejected(source, reason):
    with pytest.raises(RejectedError, match=reason):
        run_call(of(source), "f()")


def test_datasets_of_code_are_the_same_in_another_process():
    datasets = (simple_code_ocr, sepic, pt_outputs_to_code)
    here = sha256(repr([drawn_row(dataset, 5) for dataset in datasets]).encode()).hexdigest()
    assert here == sha256(repr([drawn_row(dataset, 5) for dataset in datasets]).encode()).hexdigest()
    script = (
        "from hashlib import sha256; from tests.data.rows import drawn_row\n"
        "from amalia_vl_hf.data.code import pt_outputs_to_code, sepic, simple_code_ocr\n"
        "rows = [drawn_row(dataset, 5) for dataset in (simple_code_ocr, sepic, pt_outputs_to_code)]\n"
        "print(sha256(repr(rows).encode()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == here
