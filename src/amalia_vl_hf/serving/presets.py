"""The evaluation's own ways of asking, in European Portuguese: an answer in the form that it was trained to give."""

from __future__ import annotations

from ..evaluation.tasks import find_task
from ..fields import unknown

# By what comes back; the benchmark of each has the words.
PRESETS = {
    "frase": find_task("docvqa_pt").prompt,  # a word or a phrase
    "palavra": find_task("chartqa_pt").prompt,
    "curta": find_task("ocrbench_pt").prompt,
    "letra": find_task("mmstar_pt").prompt,  # of options that the question lists
    "caixa": find_task("refcoco_bbox_rec_pt").prompt,  # x1, y1, x2, y2 from 0 to 1 of what the question describes
}


def worded(question: str, preset: str | None = None) -> str:
    r"""Word a question as the evaluation does; as it is where no preset is named.

    Raises:
        ValueError: There is no such preset.

    >>> worded("Que cor tem?", "palavra")
    'Que cor tem?\nResponde à pergunta com uma única palavra.'
    """
    if preset is None:
        return question
    if preset not in PRESETS:
        raise ValueError(unknown("preset", preset, PRESETS))
    return PRESETS[preset].format(question=question)
