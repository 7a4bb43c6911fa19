"""Mega-concepts: the shipped file, and the nearest of them."""

import numpy as np
import pytest

from amalia_vl_hf.data.photos import concepts as concepts_module
from amalia_vl_hf.data.photos.concepts import MegaConcept, concept_vectors, nearest_concepts, read_concepts


def test_there_are_60_with_captions_of_their_own():
    concepts = read_concepts()
    captions = [caption for concept in concepts for caption in concept.captions]
    assert len(concepts) == 60
    assert len(set(captions)) == len(captions) >= 120


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("birds\n", "needs `name | caption; caption`"),
        ("birds | ;\n", "needs `name | caption; caption`"),
        ("| a bird\n", "needs `name | caption; caption`"),
        ("# none\n", "holds no concept"),
        ("birds | a bird\nbirds | two birds\n", "line 2: the concept 'birds' stands twice"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, fault):
    path = tmp_path / "concepts.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=fault):
        read_concepts(path)


def test_a_concept_is_the_mean_of_its_captions():
    concepts = [MegaConcept("a", ("one", "two")), MegaConcept("b", ("three",))]
    vectors = concept_vectors(np.array([[2.0, 0], [0, 5], [0, -1]]), concepts)
    np.testing.assert_allclose(vectors, [[0.5**0.5, 0.5**0.5], [0, -1]], rtol=1e-6)
    with pytest.raises(ValueError, match="1 embeddings for 3 captions of 2 concepts"):
        concept_vectors(np.zeros((1, 2)), concepts)


def test_images_go_to_the_nearest_whatever_their_length_and_the_block(monkeypatch):
    rng = np.random.default_rng(0)
    concepts = concepts_module.normalised(rng.normal(size=(60, 32)))
    expected = rng.integers(60, size=101)
    images = (concepts[expected] * rng.uniform(0.1, 9, (101, 1)) + rng.normal(0, 0.01, (101, 32))).astype(np.float16)
    monkeypatch.setattr(concepts_module, "BLOCK", 10)
    assert nearest_concepts(images, concepts).tolist() == expected.tolist()
    with pytest.raises(ValueError, match="two encoders"):
        nearest_concepts(images[:, :8], concepts)
    with pytest.raises(ValueError, match="at most 256"):
        nearest_concepts(images, np.zeros((257, 32), np.float32))
