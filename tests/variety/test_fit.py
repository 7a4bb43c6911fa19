import json
import random

import numpy as np
import pytest
from safetensors import safe_open

from amalia_vl_hf.variety import fit
from amalia_vl_hf.variety.classifier import load_classifier, save_classifier
from amalia_vl_hf.variety.corpus import Pair
from amalia_vl_hf.variety.features import fold, hashes, slots_and_fingerprints
from amalia_vl_hf.variety.fit import JOINED, TEXTS, fit_weights, main, pair_up
from tests.variety.test_corpus import catalogue

THINGS = ["imagem", "pasta", "janela", "tabela", "página", "mensagem", "lista", "figura"]
ENDINGS = ["agora", "depois", "antes", "hoje", "sempre", "primeiro"]


def corpus(package, seed, count=60):
    rng = random.Random(seed)
    pairs = []
    for _ in range(count):
        thing, ending = rng.choice(THINGS), rng.choice(ENDINGS)
        european = f"guarde o ficheiro com a {thing} no ecrã {ending}"
        pairs.append(Pair(package, european, f"salve o arquivo com a {thing} na tela {ending}"))
    return pairs


def test_training_tells_the_sides_apart(tmp_path):
    weights, fingerprints = fit_weights(corpus("x", 0), epochs=3)
    assert weights.shape == fingerprints.shape == (2**18,)
    save_classifier(tmp_path / "w.safetensors", weights, fingerprints, {})
    classifier = load_classifier(tmp_path / "w.safetensors")
    assert classifier("o ficheiro da figura no ecrã") > 0.5
    assert classifier("o arquivo da figura na tela") < -0.5
    assert abs(classifier("com a figura, agora, depois")) < 0.5


def test_the_same_seed_gives_the_same_weights():
    first, second, other = (fit_weights(corpus("x", 0), epochs=2, seed=seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_too_few_pairs_are_refused():
    with pytest.raises(ValueError, match="3 pairs are too few to train on"):
        fit_weights(corpus("x", 0, max(JOINED) - 1))


def packages(folder):
    for package, seed in (("libreoffice-l10n", 0), ("okular", 1)):
        pairs = dict(enumerate(corpus(package, seed)))
        for locale, side in (("pt", "european"), ("pt_BR", "brazilian")):
            name = {"pt": "pt_7", "pt_BR": "pt-br_7"}[locale]
            messages = {f"Message {key}": getattr(pair, side) for key, pair in pairs.items()}
            catalogue(folder, f"{package}-{name}", locale, messages)


@pytest.mark.parametrize(
    ("options", "licence", "sources"),
    [([], "MPL-2.0", 2), (["--all"], "various; see each package's copyright file", 4)],
)
def test_the_command_trains_and_records_its_sources(options, licence, sources, tmp_path, capsys):
    packages(tmp_path / "packages")
    out = tmp_path / "w.safetensors"
    main([str(tmp_path / "packages"), "--out", str(out), *options])
    assert f"written: {out}" in capsys.readouterr().out
    with safe_open(out, framework="numpy") as file:
        facts = file.metadata()
    assert facts["licence_of_sources"] == licence
    assert set(json.loads(facts["sources"]).values()) == {"7"}
    assert len(json.loads(facts["sources"])) == sources
    assert load_classifier(out)("guarde o ficheiro no ecrã") > load_classifier(out)("salve o arquivo na tela")


def test_folders_of_either_variety_are_trained_on(tmp_path, capsys):
    for side in ("european", "brazilian"):
        (tmp_path / side).mkdir()
        texts = [getattr(pair, side) for pair in corpus("x", 0)][: 40 if side == "european" else 60]
        (tmp_path / side / "texts.txt").write_text("\n\n".join(texts), encoding="utf-8")
    out = tmp_path / "w.safetensors"
    folders = ["--european", str(tmp_path / "european"), "--brazilian", str(tmp_path / "brazilian")]
    main(["--out", str(out), *folders, "--licence", "CC0-1.0"])
    assert "written" in capsys.readouterr().out
    assert load_classifier(out)("guarde o ficheiro no ecrã") > load_classifier(out)("salve o arquivo na tela")
    with safe_open(out, framework="numpy") as file:
        facts = file.metadata()
    assert json.loads(facts["folders"]) == ["european", "brazilian"]
    assert facts["licence_of_sources"] == "CC0-1.0"


def test_a_text_counts_as_often_as_it_is_said_to(monkeypatch):
    programs = corpus("x", 0)
    texts = [Pair(TEXTS, pair.brazilian, pair.european) for pair in corpus("y", 1, 30)]  # says the opposite
    sentence = "guarde o ficheiro com a imagem no ecrã agora"
    sums = []
    for rounds in (1, 8):
        monkeypatch.setattr(fit, "ROUNDS_OF_TEXTS", rounds)
        weights, fingerprints = fit_weights(programs + texts, epochs=3)
        slots, marks = slots_and_fingerprints(np.concatenate([*hashes(fold(sentence))]))
        sums.append(weights[slots[fingerprints[slots] == marks]].sum())
    assert sums[0] > 0 > sums[1]


def test_the_fewer_texts_come_round_again():
    pairs = pair_up(["a", "b"], ["1", "2", "3", "4", "5"])
    assert sorted(pair.brazilian for pair in pairs) == ["1", "2", "3", "4", "5"]
    assert {pair.european for pair in pairs} == {"a", "b"}
    with pytest.raises(ValueError, match="0 European and 1 Brazilian texts: both sides are needed"):
        pair_up([], ["1"])


def test_nothing_to_train_on_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path / "w.safetensors")])
    assert "name PACKAGES, or folders" in capsys.readouterr().err
