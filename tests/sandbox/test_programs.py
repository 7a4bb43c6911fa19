"""Both sandboxes run all of Python's grammar, and print the same."""

import ast
import concurrent.futures
import io
import keyword
import tokenize

import pytest

from amalia_vl_hf.sandbox import SnippetLimits, run_snippet

from .bubblewrap import needs_bubblewrap
from .programs import FORMS, MODULES, programs

PATIENT = SnippetLimits(wall_seconds=60)
ALL = [*FORMS, *MODULES]
NODES = (ast.stmt, ast.expr, ast.pattern, ast.excepthandler, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
# Old names that no parser gives, and what came after 3.11.
OTHERS = {
    "Num",
    "Str",
    "Bytes",
    "NameConstant",
    "Ellipsis",
    "Index",
    "ExtSlice",
    "Suite",
    "AugLoad",
    "AugStore",
    "Param",
}
LATER = {"TypeAlias", "TemplateStr", "Interpolation"}


def words(code):
    return {
        token.string for token in tokenize.generate_tokens(io.StringIO(code).readline) if token.type == tokenize.NAME
    }


def test_the_programs_are_200_and_have_every_keyword_and_every_form():
    codes = [code for form in ALL for code in programs(form)]
    assert len(set(codes)) == len(codes) >= 200
    missing = {*keyword.kwlist, *keyword.softkwlist} - set().union(*(words(code) for code in FORMS.values()))
    assert not missing
    forms = {type(node).__name__ for code in codes for node in ast.walk(ast.parse(code))}
    named = {node.__name__ for base in NODES for node in base.__subclasses__()}
    assert named - OTHERS - LATER <= forms


@needs_bubblewrap
@pytest.mark.parametrize("form", ALL)
def test_a_form_prints_the_same_in_both_sandboxes_wherever_it_stands(form):
    def run(job):
        return run_snippet(job[0], PATIENT, job[1], seeds=1)[:3]

    codes = programs(form)
    jobs = [(code, backend) for code in codes for backend in ("bubblewrap", "wasm")]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, jobs))
    for code, first, second in zip(codes, results[::2], results[1::2], strict=True):
        assert first == second, code
        assert first[0] == "ok", first[2]
        assert first[1], code


@pytest.mark.parametrize("word", [*keyword.kwlist, *keyword.softkwlist])
def test_a_program_with_any_keyword_runs_where_there_is_webassembly_alone(word):
    form = next(form for form, code in FORMS.items() if word in words(code))
    status, printed, errors, _ = run_snippet(FORMS[form], PATIENT, "wasm", seeds=1)
    assert (status, errors) == ("ok", "")
    assert printed
