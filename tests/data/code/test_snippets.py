"""Short programs: every shape prints, a model's are held to what was asked for, and mistakes in them are small."""

import builtins
import keyword
import random

from amalia_vl_hf.data.code import snippets
from amalia_vl_hf.data.code.snippet_runs import (
    check_snippet,
    output_of,
    outputs_of,
)
from amalia_vl_hf.data.code.snippets import MAX_LINES, shapes, write_snippet


def each_shape(monkeypatch, seed):
    """Write every shape in both languages."""
    known = shapes()
    written = []
    for shape in known:
        monkeypatch.setattr(snippets, "shapes", lambda shape=shape: (shape,))
        written += [write_snippet(random.Random(seed), language) for language in ("pt", "en")]
    return written


def test_every_shape_is_a_short_program_that_prints_in_both_languages(monkeypatch):
    assert len(set(shapes())) == len(shapes()) >= 24
    written = each_shape(monkeypatch, 0) + each_shape(monkeypatch, 1)
    for source in written:
        check_snippet(source)
        assert len(source.splitlines()) <= MAX_LINES
        assert "$" not in source
    assert None not in outputs_of(written)


def test_names_of_two_slots_are_never_the_same():
    for slots in snippets._NAMES.values():
        names = [name for some in slots.values() for name in some]
        assert len(set(names)) == len(names)
        assert not set(names) & (set(dir(builtins)) | set(keyword.kwlist))
    assert set(snippets._NAMES["pt"]) == set(snippets._NAMES["en"])


def test_the_same_seed_writes_the_same_program_and_others_differ():
    written = [write_snippet(random.Random(seed), "pt") for seed in range(40)]
    assert written == [write_snippet(random.Random(seed), "pt") for seed in range(40)]
    assert len(set(written)) == 40


def test_programs_print_the_same_under_every_hash_seed(monkeypatch):
    written = each_shape(monkeypatch, 2)
    assert outputs_of(written, seeds=8) == outputs_of(written)
    assert outputs_of([*written[:2], "print({'a', 'b', 'c', 'd'})"], seeds=8) == [*outputs_of(written[:2]), None]


def test_a_program_prints_the_same_alone_and_among_others():
    written = [write_snippet(random.Random(seed), "en") for seed in range(8)]
    assert outputs_of(written) == [output_of(source, seeds=1) for source in written]
