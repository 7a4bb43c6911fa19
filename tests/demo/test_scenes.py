"""Scenes: what is drawn belongs to its split, fits its picture, and is where the scene says."""

import random

import numpy as np
import pytest

from amalia_vl_hf.demo.scenes import (
    COLOURS,
    MAX_SHAPES,
    PICTURE_SIZES,
    QUADRANTS,
    SHAPES,
    SIGN_INDEX,
    WORDS,
    Scene,
    SceneShape,
    Sign,
    draw_scene,
    object_map,
    render,
    shape_place,
    sign_box,
    split_of,
)
from amalia_vl_hf.processing.tiling_amalia_vl import generate_pinpoints, select_grid


def drawn(split, count=300, seed=0):
    rng = random.Random(seed)
    return [draw_scene(rng, split) for _ in range(count)]


def combinations(scenes):
    """What a split is about: each kind of shape with its colour, its number and the word on the sign beside it."""
    return {
        (shape.name, shape.colour, scene.count(shape.name), scene.sign.word)
        for scene in scenes
        for shape in scene.shapes
    }


def test_no_combination_of_a_test_scene_occurs_in_a_training_scene():
    train, test = combinations(drawn("train", 3000)), combinations(drawn("test", 3000))
    assert not train & test


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_leans_to_no_shape_or_colour(split):
    found = list(combinations(drawn(split, 6000)))
    for facts, part in ((SHAPES, 0), (COLOURS, 1)):
        seen = [combination[part] for combination in found]
        assert all(0.7 < seen.count(fact) * len(facts) / len(seen) < 1.3 for fact in facts)


def test_every_shape_has_every_colour_in_both_splits():
    for split in ("train", "test"):
        pairs = {combination[:2] for combination in combinations(drawn(split, 3000))}
        assert pairs == {(name, colour) for name in SHAPES for colour in COLOURS}


def test_a_fifth_of_the_combinations_is_held_out():
    splits = [
        split_of(name, colour, count, word)
        for name in SHAPES
        for colour in COLOURS
        for count in range(1, MAX_SHAPES + 1)
        for word in WORDS
    ]
    assert 0.18 < splits.count("test") / len(splits) < 0.22


@pytest.mark.parametrize("scene", drawn("train", 40))
def test_shapes_of_a_name_have_one_colour_and_there_are_two_names_at_most(scene):
    kinds = {(shape.name, shape.colour) for shape in scene.shapes}
    assert len(kinds) == len({shape.name for shape in scene.shapes}) <= 2


@pytest.mark.parametrize("split", ["train", "test"])
def test_counts_from_one_to_three_are_common(split):
    scenes = drawn(split, 1000)
    most = [max(scene.count(shape.name) for shape in scene.shapes) for scene in scenes]
    assert all(most.count(number) > 50 for number in (1, 2, 3))


def test_the_same_seed_draws_the_same_picture():
    first, again = (render(draw_scene(random.Random(3), "train")).tobytes() for _ in range(2))
    assert first == again


@pytest.mark.parametrize("scene", drawn("train", 40) + drawn("test", 40))
def test_objects_are_inside_their_quadrant_and_do_not_overlap(scene):
    seen = np.asarray(object_map(scene))
    places = {index: shape.quadrant for index, shape in enumerate(scene.shapes, start=1)}
    places[SIGN_INDEX] = scene.sign.quadrant
    assert set(np.unique(seen)) == {0, *places}
    for index, quadrant in places.items():
        rows, cols = np.nonzero(seen == index)
        assert set(2 * rows // scene.height) == {quadrant.row}
        assert set(2 * cols // scene.width) == {quadrant.col}
    top, left, bottom, right = sign_box(scene)
    assert (seen == SIGN_INDEX).sum() == (int(bottom) - int(top) + 1) * (int(right) - int(left) + 1)  # nothing on it


@pytest.mark.parametrize("name", SHAPES, ids=lambda name: name.singular)
def test_a_shape_has_its_colour_at_its_centre(name):
    scene = Scene(256, 256, (250, 248, 240), (SceneShape(name, COLOURS[1], QUADRANTS[3]),), Sign("SOL", QUADRANTS[0]))
    y, x, _ = shape_place(scene, scene.shapes[0])
    assert render(scene).getpixel((int(x), int(y))) == COLOURS[1].rgb


@pytest.mark.parametrize("word", WORDS)
def test_signs_differ_by_their_word(word):
    def picture(text):
        return render(Scene(128, 384, (250, 248, 240), (), Sign(text, QUADRANTS[0])))

    others = [picture(other).tobytes() for other in WORDS if other != word]
    assert picture(word).tobytes() not in others


def test_a_word_too_long_for_its_sign_is_refused():
    scene = Scene(256, 256, (250, 248, 240), (), Sign("OTORRINOLARINGOLOGISTA", QUADRANTS[0]))
    with pytest.raises(ValueError, match=r"'OTORRINOLARINGOLOGISTA' does not fit into 112\.0 x 36\.0 pixels"):
        render(scene)


def test_pictures_are_really_tiled_in_several_ways():
    grids = {select_grid(*size, generate_pinpoints(4, 64), 64) for size in PICTURE_SIZES}
    assert grids == {(2, 2), (1, 3)}
    assert len(PICTURE_SIZES) > len(grids)  # the same grid with and without padding


def test_the_only_shape_of_a_name():
    twice = tuple(SceneShape(SHAPES[0], COLOURS[0], quadrant) for quadrant in QUADRANTS[:2])
    scene = Scene(
        256, 256, (0, 0, 0), (*twice, SceneShape(SHAPES[1], COLOURS[1], QUADRANTS[2])), Sign("SOL", QUADRANTS[0])
    )
    assert scene.only(SHAPES[0]) is None
    assert scene.only(SHAPES[1]) == scene.shapes[2]
    assert scene.only(SHAPES[2]) is None
