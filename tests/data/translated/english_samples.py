"""200 English samples as datasets have them: dialogues, options, boxes, mathematics, code, signs, lists."""

from __future__ import annotations

from ...translation.planting import pairs

_OPTIONS = (
    ("What animal is lying on the sofa?", ("A dog", "A cat", "A bird", "None of the above"), "B"),
    ("Which colour is the umbrella?", ("Red", "Yellow", "Green", "Blue"), "A"),
    ("How many people are waiting at the bus stop?", ("2", "3", "4", "5"), "C"),
    ("Is the door open?", ("Yes", "No"), "B"),
    ("What is the boy holding?", ("A kite", "A ball", "A book", "A glass of water"), "D"),
)
_OTHERS = (
    ("<image>\nWhere is the bicycle? Give its box.", "The bicycle is at [0.12, 0.40, 0.55, 0.93]."),
    ("<image>\nSolve $3x + 5 = 20$.", "Subtract 5 from both sides to get $3x = 15$.\nDivide by 3: $x = 5$."),
    (
        "<image>\nWhat does this code print?",
        "The function `total` adds the numbers, so it prints 12.\n```py\nprint(12)\n```",
    ),
    ("<image>\nWhat does the sign say?", "Boat"),
    ("<image>\nWhat is written on the bus?", "Airport Express"),
    ("<image>\nDescribe the sign.", 'The sign reads "NO ENTRY" in white letters.'),
    ("<image>\nList what you see.", "- A wooden table\n- Two chairs\n- A vase with flowers"),
    ("Compare <image 1> with <image 2>.", "In <image 1> the window is open.\nIn <image 2> it is closed."),
    (
        "<image>\nHow do I open the file?",
        "1. Click on the menu.\n2. Choose the file.\n3. Press the button <b>Open</b>.",
    ),
    (
        "<image>\nWhich bar is the tallest?",
        "The bar of 2019 is the tallest, with 1,250 units.\nThe bar of 2020 has 980.",
    ),
    ("<image>\nTranscribe the text in the image.", "Mind the gap between the train and the platform"),
    ("<image>\nWhat is the area?", "The area is \\(6 \\cdot 4 = 24\\) square metres, or 258.3 square feet."),
    ("<image>\nWhat should the user write?", "Replace {name} with your name and ____ with your age, which is 12."),
    ("<image>\nWhat is shown?\n\nAnswer in one sentence.", "A black dog runs on the beach.\n\nIt carries a stick."),
    ("<image>\nWhere can I read more?", "See https://example.org/guide?page=2 for more details."),
)


def english_samples() -> list[dict[str, object]]:
    """Give samples in LLaVA's format, without images."""
    turns = [*_OTHERS, *map(_choice, range(len(_OPTIONS))), *_dialogues()]
    return [
        {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]}
        for question, answer in turns
    ]


def _dialogues() -> list[tuple[str, str]]:
    """Make dialogues of the pairs' English sides: a question with what comes after it, a caption of any other."""
    sources = [pair.source for which in ("development", "held") for pair in pairs(which)]
    found = []
    for text, after in zip(sources, [*sources[1:], sources[0]], strict=True):
        found.append((text, after) if text.endswith("?") else ("Describe the image.", text))
    return found


def _choice(number: int) -> tuple[str, str]:
    question, options, letter = _OPTIONS[number]
    listed = "\n".join(f"{mark}. {option}" for mark, option in zip("ABCD", options, strict=False))
    text = options["ABCD".index(letter)]
    return f"<image>\n{question}\n{listed}\nAnswer with the option's letter.", f"{letter}. {text}"
