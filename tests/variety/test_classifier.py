import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from amalia_vl_hf.variety.classifier import (
    SHIPPED,
    NgramClassifier,
    load_classifier,
    save_classifier,
)
from amalia_vl_hf.variety.corpus import LANGUAGE_SUFFIX
from amalia_vl_hf.variety.features import (
    TABLE_BITS,
    fold,
    hashes,
    slots_and_fingerprints,
)
from amalia_vl_hf.variety.fit import PERMISSIVE

SLOTS = 1 << TABLE_BITS


def test_the_log_odds_are_the_weights_over_the_root_of_their_number():
    weights, fingerprints = np.zeros(SLOTS, np.int8), np.zeros(SLOTS, np.uint16)
    text = "uma casa azul"
    hashed = np.concatenate(list(hashes(fold(text))))
    slots, marks = slots_and_fingerprints(hashed)
    weights[slots[7]], fingerprints[slots[7]] = 64, marks[7]
    occurrences = int(((slots == slots[7]) & (marks == marks[7])).sum())
    expected = 0.5 * 64 * occurrences / np.sqrt(len(hashed))
    assert NgramClassifier(weights, fingerprints, 0.5)(text) == pytest.approx(expected)
    fingerprints[slots[7]] ^= 1
    assert NgramClassifier(weights, fingerprints, 0.5)(text) == 0


def test_weights_come_back_rounded(tmp_path):
    rng = np.random.default_rng(0)
    weights, fingerprints = rng.normal(size=SLOTS), rng.integers(2**16, size=SLOTS, dtype=np.uint16)
    save_classifier(tmp_path / "w.safetensors", weights, fingerprints, {"licence": "MPL-2.0"})
    loaded = load_classifier(tmp_path / "w.safetensors")
    np.testing.assert_allclose(loaded.weights, weights, atol=np.abs(weights).max() / 254 * 1.001)
    np.testing.assert_array_equal(loaded.fingerprints, fingerprints)


def test_shipped_weights_are_small_and_say_where_they_come_from():
    assert SHIPPED.stat().st_size < 1_000_000
    with safe_open(SHIPPED, framework="numpy") as file:
        facts = file.metadata()
    sources = json.loads(facts["sources"])
    assert facts["licence_of_sources"] == "Apache-2.0, BSD-3-Clause, CC-BY-SA-4.0, ISC, MPL-2.0"
    assert {LANGUAGE_SUFFIX.sub("", name) for name in sources} == PERMISSIVE.keys()
    assert json.loads(facts["folders"]) == ["pt", "br"]
    assert "unknown" not in sources.values()


@pytest.mark.parametrize(
    ("weights", "fingerprints", "scale", "fault"),
    [
        (
            np.zeros(8, np.int8),
            np.zeros(SLOTS, np.uint16),
            1.0,
            r"weights .* must be int8 \(262144,\), not int8 \(8,\)",
        ),
        (np.zeros(SLOTS, np.int8), np.zeros(SLOTS, np.int64), 1.0, "fingerprints .* must be uint16 .*, not int64"),
        (np.zeros(SLOTS, np.int8), np.zeros(SLOTS, np.uint16), float("nan"), "positive number, not nan"),
        (np.zeros(SLOTS, np.int8), np.zeros(SLOTS, np.uint16), 0.0, "positive number, not 0"),
    ],
)
def test_wrong_tables_are_refused(weights, fingerprints, scale, fault):
    with pytest.raises(ValueError, match=fault):
        NgramClassifier(weights, fingerprints, scale)


def test_wrong_files_are_refused(tmp_path):
    (tmp_path / "text.safetensors").write_text("no weights at all")
    with pytest.raises(ValueError, match=r"text\.safetensors: not a safetensors file"):
        load_classifier(tmp_path / "text.safetensors")
    save_file({"weights": np.zeros(SLOTS, np.int8)}, tmp_path / "part.safetensors")
    with pytest.raises(ValueError, match=r"part\.safetensors: no weights .*lacks fingerprints, scale"):
        load_classifier(tmp_path / "part.safetensors")
    with pytest.raises(FileNotFoundError):
        load_classifier(tmp_path / "absent.safetensors")
