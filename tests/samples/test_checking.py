import copy
import json

import pytest
from PIL import Image

from amalia_vl_hf.processing.processing_amalia_vl import AmaliaVLProcessor
from amalia_vl_hf.samples.checking import DROPPED, CheckReport, check
from amalia_vl_hf.samples.lengths import measure
from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.samples.text_processor import TextProcessor


@pytest.fixture(scope="module")
def processor(base):
    return AmaliaVLProcessor.from_pretrained(base)


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        Image.effect_noise((40, 40), 10 + ord(name)).save(tmp_path / f"{name}.png")
    (tmp_path / "same.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "torn.png").write_bytes((tmp_path / "a.png").read_bytes()[:-200])
    return tmp_path


def dialogue(question="O que é?", answer="sim"):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


SLOT = {"type": "image"}
# A sample, and the kinds of findings it must give.
CASES = [
    ({"images": ["a.png"], "messages": dialogue()}, ()),
    ({"images": ["b.png"], "messages": dialogue()}, ()),
    ({"images": ["a.png"], "messages": dialogue("E mais?")}, ()),
    ({"images": ["same.png"], "messages": dialogue()}, ("duplicate",)),
    ({"images": ["torn.png"], "messages": dialogue()}, ("image",)),
    ({"images": ["gone.png"], "messages": dialogue()}, ("image",)),
    ({"images": ["https://h/a.png"], "messages": dialogue()}, ("image",)),
    ({"images": ["a.png"], "messages": dialogue([SLOT, SLOT])}, ("slots",)),
    ({"images": [], "messages": dialogue("Olá!")[:1]}, ("answer",)),
    ({"images": [], "messages": dialogue("Olá!", "")}, ("answer",)),
    ({"images": [], "messages": dialogue("O que faz <s> e <|im_end|>?")}, ("special token",)),
    ({"images": [], "messages": dialogue("<image> \ufdd0")}, ("row",)),
    ({"images": [], "messages": dialogue("palavra " * 60)}, ()),
    ({"images": [], "text": "sem turnos"}, ("row",)),
]


def write(folder, rows):
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder / "data.jsonl"


def checked(path, method="sft", **options):
    return list(check(load_samples(path, method, every_row=False), method, **options))


def kinds(result):
    return tuple(finding.kind for finding in result.findings)


def test_each_kind_of_fault_is_found_and_named(folder):
    results = checked(write(folder, [row for row, _ in CASES]))
    assert [kinds(result) for result in results] == [expected for _, expected in CASES]
    for number, result in enumerate(results, start=1):
        assert all(f"data.jsonl, line {number}: " in finding.reason for finding in result.findings)
        assert result.dropped == bool(set(kinds(result)) & set(DROPPED))
    assert results[3].findings[0].reason.endswith("line 4: the same as " + str(folder / "data.jsonl") + ", line 1")
    assert results[10].findings[0].reason.endswith("line 11: <s>, <|im_end|>")


def test_with_a_processor_lengths_count_and_forged_names_are_found(folder, processor):
    path = write(folder, [row for row, _ in CASES])
    results = checked(path, processor=processor, max_tiles=4, max_length=120)
    assert kinds(results[11]) == ("row",)
    assert kinds(results[12]) == ("length",)
    samples = load_samples(path, "sft", every_row=False)
    for result, sample in zip(results, samples, strict=True):
        if result.size is not None:
            assert result.size == measure(sample, processor, 4)
    assert [result.index for result in results if result.size] == [0, 1, 2, 3, 10, 12]


def test_workers_find_the_same_whoever_looks_at_which_sample(folder, processor):
    path = write(folder, [row for row, _ in CASES] * 3)  # more than two chunks; the second and third time duplicates
    alone, shared = (
        checked(path, processor=processor, max_tiles=4, max_length=120, workers=workers) for workers in (0, 2)
    )
    assert shared == alone
    assert [result.index for result in shared] == list(range(3 * len(CASES)))
    twice = [result.findings[-1].reason for result in shared[len(CASES) :] if kinds(result)[-1:] == ("duplicate",)]
    assert f"{path}, line 43: the same as {path}, line 1" not in twice, "of 42 lines"
    assert f"{path}, line 29: the same as {path}, line 1" in twice


def test_a_row_that_the_model_cannot_take_costs_no_other(folder, processor):
    reader = TextProcessor.of(copy.deepcopy(processor.tokenizer))
    rows = [row for row, _ in CASES[:2]] + [{"images": [], "messages": dialogue()}]
    results = checked(write(folder, rows), processor=reader)
    assert [kinds(result) for result in results] == [("row",), ("row",), ()]
    assert (
        results[1]
        .findings[0]
        .reason.endswith("line 2: it has an image, but the model reads text alone; leave the sample out")
    )
    assert [result.size is None for result in results] == [True, True, False]


def test_a_row_that_the_template_does_not_take_costs_no_other(folder, processor):
    tokenizer = copy.deepcopy(processor.tokenizer)
    tokenizer.chat_template = (
        "{% for turn in messages %}{% if turn.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
        "{% generation %}{{ turn.content }}{% endgeneration %}{% endfor %}"
    )
    rows = [dialogue(), [{"role": "system", "content": "Sê breve."}, *dialogue()], dialogue("E mais?")]
    path = write(folder, [{"messages": turns} for turns in rows])
    results = checked(path, processor=TextProcessor.of(tokenizer))
    assert [kinds(result) for result in results] == [(), ("row",), ()]
    assert results[1].findings[0].reason == f"{path}, line 2: the chat template cannot be rendered: no system turns"


def test_pairs_are_checked_in_both_answers(folder):
    prompt, yes, no = dialogue()[:1], dialogue()[1:], dialogue(answer="não")[1:]
    rows = [
        {"images": ["a.png"], "prompt": prompt, "chosen": yes, "rejected": no},
        {"images": ["a.png"], "prompt": prompt, "chosen": yes, "rejected": yes},
        {"images": ["a.png"], "prompt": prompt, "chosen": yes, "rejected": prompt},
        {"images": ["a.png"], "prompt": prompt, "chosen": yes, "rejected": dialogue(answer="</s>")[1:]},
    ]
    results = checked(write(folder, rows), "dpo")
    assert [kinds(result) for result in results] == [(), ("answer",), ("answer",), ("special token",)]


def test_the_report_counts_what_it_was_given(folder):
    report = CheckReport()
    for result in checked(write(folder, [row for row, _ in CASES])):
        report.add(result)
    assert (report.samples, report.kept) == (14, [0, 1, 2, 10, 12])
    assert report.table().splitlines() == [
        "14 samples checked, 9 to drop",
        "         2  row",
        "         3  image",
        "         1  slots",
        "         2  answer",
        "         1  duplicate",
        "         1  special token in a text: trained on as text",
    ]
