"""Intervals draw the right units, and a model does not differ from itself."""

import random

import pytest

from amalia_vl_hf.evaluation.statistics import compare, interval, unit_of
from amalia_vl_hf.evaluation.tasks import PROTOCOLS, TASKS


def rows(task, count, seed=0):
    """Make rows with answers, half of them right."""
    rng = random.Random(seed)
    words = {"yes_no": ("sim", "não"), "letter": ("A", "B"), "text": ("um gato preto no muro", "dois cães na praia")}
    kind = "yes_no" if task.scorer.startswith("yes_no") else "letter" if task.scorer.startswith("letter") else "text"
    made = []
    for number in range(count):
        answer, reference = rng.choice(words[kind]), rng.choice(words[kind])
        made.append(
            {
                **{"key": str(number), "answer": answer, "references": [reference], "options": []},
                **{
                    "category": ("x", "y")[number // 2 % 2],
                    "question_id": number // 2,
                    "image": f"image {number // 4}",
                },
            }
        )
    return made


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ["mme_pt", "pope_pt", "mmstar_pt", "coco2017_cap_pt", "multi30k", "ocrbench_pt"])
def test_an_interval_is_around_the_figure_and_a_model_does_not_differ_from_itself(name, protocol):
    task = TASKS[name]
    items = rows(task, 40)
    once = interval(task, items, protocol, seed=1)
    assert once.low < once.value < once.high
    assert once == interval(task, items, protocol, seed=1)
    assert once != interval(task, items, protocol, seed=2)
    same = compare(task, items, items, protocol)
    assert (same.difference.value, same.difference.low, same.difference.high) == (0, 0, 0)


def test_units_are_rows_images_or_pairs():
    items = rows(TASKS["mme_pt"], 8)
    assert interval(TASKS["mme_pt"], items, "published").units == 4
    assert interval(TASKS["pope_pt"], items, "published").units == 8
    boxes = [{**item, "references": [0, 0, 1, 1], "answer": "[0, 0, 1, 1]"} for item in items]
    assert interval(TASKS["refcoco_bbox_rec_pt"], boxes, "published").units == 2
    assert unit_of(TASKS["refcoco_bbox_rec_pt"], {"references": []}, 3) == 3


def test_rows_that_share_an_image_widen_the_interval():
    image = [
        {"score": score, "image": str(number // 10)} for number in range(200) for score in [float(number // 10 % 2)]
    ]
    apart = [{**item, "image": str(number)} for number, item in enumerate(image)]
    widths = [
        entry.high - entry.low
        for entry in (interval(TASKS["refcoco_bbox_rec_pt"], items, "published") for items in (image, apart))
    ]
    assert widths[0] > 2 * widths[1]


def test_a_pair_that_is_drawn_twice_stays_two_pairs():
    pair = [{"question_id": 1, "category": "count", "score": 1.0}] * 2
    both = [*pair, *({**item, "question_id": 2} for item in pair)]
    assert interval(TASKS["mme_pt"], both, "published") == interval(TASKS["mme_pt"], both, "published", seed=5)
    assert interval(TASKS["mme_pt"], both, "published").low == 200


def test_a_paired_difference_is_tighter_than_two_intervals():
    task = TASKS["pope_pt"]
    items = rows(task, 200)
    better = [
        {**item, "answer": item["references"][0]} if number % 10 == 0 else item for number, item in enumerate(items)
    ]
    difference = compare(task, items, better, "corrected").difference
    assert 0 < difference.low <= difference.value <= difference.high
    alone = interval(task, items, "corrected")
    assert difference.high - difference.low < alone.high - alone.low


def test_other_rows_are_refused():
    task = TASKS["pope_pt"]
    items = rows(task, 4)
    with pytest.raises(ValueError, match="4 rows of the first and 3 of the second are not the same, from row 3 on"):
        compare(task, items, items[:3], "published")
    with pytest.raises(ValueError, match="from row 1 on"):
        compare(task, items, [items[0], items[2], items[1], items[3]], "published")
