"""The paper's yields as warnings."""

import pytest

from amalia_vl_hf.data.photos.yields import yield_warnings


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"variety": (100, 75), "agreement": (75, 40)}, []),
        ({"variety": (100, 50)}, ["50 of 100 stay, 50%; of the paper's it was 75%", "Brazilian"]),
        ({"variety": (100, 99)}, ["99%", "Nothing is wrong"]),
        ({"agreement": (100, 20)}, ["53%", "see the image"]),
        ({"agreement": (100, 90)}, ["yes to everything"]),
        ({"variety": (49, 0)}, []),
        ({"difficulty": (100, 1)}, []),
    ],
)
def test_far_off_is_said(counts, words):
    warnings = " ".join(yield_warnings(counts))
    assert all(word in warnings for word in words)
    assert bool(warnings) == bool(words)
