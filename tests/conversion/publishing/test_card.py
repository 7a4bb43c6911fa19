"""The card says what is known, in European Portuguese first, and refuses to be published with a gap."""

import json
import re
import shutil

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results

from amalia_vl_hf import AmaliaVLProcessor
from amalia_vl_hf.conversion.provenance import RECORD, CheckpointSource, Provenance
from amalia_vl_hf.conversion.publishing.card import (
    NO_RESULTS,
    CardError,
    Place,
    build_card,
    read_facts,
    read_results,
    results_yaml,
    training_recipes,
)
from amalia_vl_hf.conversion.publishing.repository import gather
from amalia_vl_hf.conversion.quantise import RECORD as QUANTISATION
from amalia_vl_hf.conversion.quantise import read_quantisation
from amalia_vl_hf.evaluation.results import weights_digest
from tests.conversion.publishing.publishable import (
    FACTS,
    FIGURES,
    SCORES,
    write_log,
    write_model,
)

REPO = "amalia-llm/exemplo"
PLACE = Place(REPO)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("card") / "model")


@pytest.fixture(scope="module")
def facts(model):
    return read_facts(model / "card.yaml")


def write_record(directory, kind, **sources):
    """Write what a conversion records; `sources` are Hub ids or directories."""
    named = {
        part: CheckpointSource(name, None if name.startswith("/") else "c" * 40) for part, name in sources.items()
    }
    (directory / RECORD).write_text(Provenance(kind, named, ["BF16"], "amalia-vl-hf 0.1.0").json())


@pytest.fixture
def untrained(model, tmp_path):
    return shutil.copytree(model, tmp_path / "untrained", ignore=shutil.ignore_patterns("training.json"))


@pytest.fixture
def scores(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(SCORES))
    return read_results(path, [])


def test_metadata_are_what_the_hub_reads(model, facts):
    card = ModelCard(build_card(model, PLACE, facts, []))
    metadata = yaml.safe_load(card.content.split("---")[1])
    assert metadata["language"] == ["pt", "en"]
    assert metadata["pipeline_tag"] == "image-text-to-text"
    assert metadata["library_name"] == "transformers"
    assert {"conversational", "pt-PT"} <= set(metadata["tags"])
    for name, value in yaml.safe_load(FACTS).items():
        if name != "widget_image":
            assert metadata[name] == value
    (message,) = metadata["widget"][0]["messages"]
    assert message["content"][0] == {"type": "image", "image_url": "https://example.pt/fotografia.jpg"}
    assert card.data.to_dict() == metadata
    assert "model-index" not in metadata


def test_portuguese_comes_first_and_no_slot_is_left(model, facts):
    text = build_card(model, PLACE, facts, [])
    assert text.index("## Utilização") < text.index("## English")
    assert "$" not in text
    assert f'from_pretrained("{REPO}", trust_remote_code=True)' in text
    assert NO_RESULTS in text


def test_an_export_has_a_card_of_its_own(model, facts):
    export = "amalia-llm/exemplo-llava-next"
    own = build_card(model, Place(REPO, export), facts, [])
    assert f"vllm serve {export}\n" in own
    card = build_card(model, Place(REPO, export, is_export=True), facts, [])
    assert f'AutoProcessor.from_pretrained("{export}")' in card
    assert "trust_remote_code" not in card
    assert f"pelo Pillow; de `{REPO}`" in card
    assert "amalia-vl convert export DIRETORIA" in build_card(model, PLACE, facts, [])


def test_figures_are_the_models_own(model, facts):
    text = build_card(model, PLACE, facts, [])
    processor = AmaliaVLProcessor.from_pretrained(model)
    most = max(processor.num_visual_tokens(32 * rows, 32 * cols) for rows in (1, 2, 3, 4) for cols in (1, 2, 3, 4))
    assert f"até 4 mosaicos de 32 px; até {most} elementos visuais" in text
    assert "| parâmetros | 85 824 |" in text  # of tensors in the safetensors file
    assert "SigLIP, 3 camadas de 32, partes de 8 px" in text
    assert "llama, 2 camadas de 32, vocabulário de 512" in text


def test_python_in_the_card_is_python(model, facts):
    for block in re.findall(r"```python\n(.*?)```", build_card(model, PLACE, facts, []), re.DOTALL):
        compile(block, "card", "exec")


def test_results_become_a_table_a_model_index_and_a_results_file(model, facts, scores):
    card = ModelCard(build_card(model, PLACE, facts, scores))
    assert "| amalia-llm/POPE-PT | pope_pt | f1 | 89.4 |" in card.text
    assert NO_RESULTS not in card.text
    name, entries = model_index_to_eval_results(card.data.to_dict()["model-index"])
    assert name == "exemplo"
    assert [(entry.dataset_type, entry.metric_type, entry.metric_value) for entry in entries] == [
        (score["dataset"], score["metric"], score["value"]) for score in SCORES
    ]
    parsed = parse_eval_result_entries(yaml.safe_load(results_yaml(scores)))
    assert [(entry.dataset_id, entry.task_id, entry.value, entry.notes) for entry in parsed] == [
        (score["dataset"], score["task"], score["value"], score["metric"]) for score in SCORES
    ]


def test_every_stage_back_to_the_first_is_tabled(model, facts, tmp_path):
    first, second = shutil.copytree(model, tmp_path / "1_align"), shutil.copytree(model, tmp_path / "2_instruct")
    write_log(second, "instruct", before=first, steps=7, learning_rates={"tower": 3e-5}, max_tiles=4)
    rows = [
        line for line in build_card(second, PLACE, facts, []).splitlines() if line.startswith(("| align", "| inst"))
    ]
    assert rows == [
        "| align | sft | connector 0.001 | constant | 2 × 4 | épocas: 1 | 0 |",
        "| instruct | sft | tower 3e-05, connector 0.0001, decoder 2e-05 | cosine | 2 × 4 | passos: 7 | 4 |",
    ]


def test_stages_are_told_by_the_log_alone_where_it_copied_them(model, tmp_path):
    second = tmp_path / "2"
    write_log(second, "instruct", before=model, steps=7)
    record = json.loads((second / "training.json").read_text())
    first = json.loads((model / "training.json").read_text())["origin"]
    (second / "training.json").write_text(json.dumps({**record, "before": [first]}))
    assert [recipe.stage for recipe in training_recipes(second.rename(tmp_path / "away"))] == ["align", "instruct"]


def test_one_base_model_may_be_a_string(model, tmp_path):
    (tmp_path / "card.yaml").write_text(
        FACTS.replace("[google/siglip2-so400m-patch16-384, amalia-llm/AMALIA-9B]", "a/b")
    )
    card = build_card(model, PLACE, read_facts(tmp_path / "card.yaml"), [])
    assert yaml.safe_load(card.split("---")[1])["base_model"] == "a/b"


def test_stages_that_were_moved_together_are_still_found(model, tmp_path):
    (tmp_path / "old").mkdir()
    first, second = shutil.copytree(model, tmp_path / "old" / "1"), tmp_path / "old" / "2"
    write_log(second, "instruct", before=first, steps=7)
    (tmp_path / "old").rename(tmp_path / "new")
    assert [recipe.stage for recipe in training_recipes(tmp_path / "new" / "2")] == ["align", "instruct"]


def test_a_stage_whose_log_is_gone_or_another_is_an_error(model, tmp_path):
    first, second = shutil.copytree(model, tmp_path / "1"), tmp_path / "2"
    write_log(second, "instruct", before=first, steps=7)
    write_log(first, "align", epochs=2)  # trained anew since
    with pytest.raises(CardError, match=r"slot stages has no value: .* began with .*1, whose training log is not"):
        training_recipes(second)


def test_slots_without_a_value_are_named_together(untrained):
    facts = {"license": "apache-2.0", "datasets": []}
    with pytest.raises(CardError) as caught:
        build_card(untrained, PLACE, facts, [])
    named = [re.match(r"slot (\w+) has no value", problem)[1] for problem in caught.value.problems]
    assert sorted(named) == ["base_model", "stages", "widget_image"]


def test_converted_weights_are_said_to_be_that_and_not_to_be_trained(untrained, facts):
    write_record(untrained, "import", model="amalia-llm/AMALIA-VL-DPO")
    text = build_card(untrained, PLACE, facts, [])
    named, by = f"`amalia-llm/AMALIA-VL-DPO` ({{}} `{'c' * 40}`)", "amalia-vl-hf 0.1.0"
    assert f"\nPesos convertidos de {named.format('revisão')} por {by}, em BF16; nada foi treinado aqui.\n" in text
    english = f"converted from {named.format('revision')} by {by}, stored as BF16; nothing was trained here.\n"
    assert text.index("## English") < text.index(english)
    assert "| etapa |" not in text


def test_composed_weights_are_said_to_have_a_random_connector(untrained, facts):
    write_record(untrained, "compose", vision="google/siglip2", text="/home/ana/modelo")
    text = build_card(untrained, PLACE, facts, [])
    tower = f"`google/siglip2` ({{}} `{'c' * 40}`)"
    assert (
        f"\nPesos compostos por amalia-vl-hf 0.1.0, em BF16: torre de visão de {tower.format('revisão')}, modelo de "
        "linguagem de `modelo` (diretoria local); o conector tem valores aleatórios e nada foi treinado aqui.\n"
    ) in text
    assert (
        f"composed by amalia-vl-hf 0.1.0, stored as BF16: vision tower of {tower.format('revision')}, language model "
        "of `modelo` (a local directory); the connector's values are random, and nothing was trained here.\n"
    ) in text
    assert "/home" not in text


def test_training_is_what_the_card_of_a_trained_model_tells(model, facts):
    text = build_card(model, PLACE, facts, [])
    assert text.index("| align |") < text.index("The training stages are in the table under *Treino*.")
    assert "nada foi treinado" not in text


def test_neither_log_nor_record_is_an_error(untrained, facts):
    with pytest.raises(
        CardError, match=r"slot stages has no value: neither .*training\.json of `amalia-vl train` nor"
    ):
        build_card(untrained, PLACE, facts, [])


def test_a_damaged_log_is_an_error(tmp_path):
    (tmp_path / "training.json").write_text('{"origin": {}}')
    with pytest.raises(CardError, match="is not a training log: RecipeError"):
        training_recipes(tmp_path)


def test_no_facts_are_no_facts(tmp_path):
    assert read_facts(tmp_path / "card.yaml") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("licence: mit", "licence fills no slot; known: license"),
        ("license: [mit]", r"license is \['mit'\], but must be the Hub's short name"),
        ("base_model: b", "base_model is 'b', but must be a Hub id, or a list of them"),
        ("datasets: [b]", r"datasets is \['b'\], but must be a Hub id, or a list of them, which may be empty"),
        ("widget_image: 'javascript:x'", "must be the https address of an image"),
        ("- mit", "must hold `name: value` lines"),
        ("license: [", "is not YAML"),
        ("license: !!python/object/apply:os.system [ls]", "is not YAML"),
    ],
)
def test_wrong_facts(tmp_path, text, said):
    path = tmp_path / "card.yaml"
    path.write_text(text)
    with pytest.raises(CardError, match=said):
        read_facts(path)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "must be a list of results, at least one"),
        ([{"dataset": "a/b"}], "result 0 must have exactly dataset, metric, task, value"),
        ([{**SCORES[0], "value": True}], "result 0 has the value True, which is no finite number"),
        ([SCORES[0], {**SCORES[0], "value": float("nan")}], "result 1 has the value nan"),
        ([{**SCORES[0], "dataset": "POPE"}], "result 0 needs a Hub id as dataset"),
        ([{**SCORES[0], "task": "a | b"}], "one line each as task and metric"),
    ],
)
def test_wrong_results(tmp_path, rows, said):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(CardError, match=said):
        read_results(path, [])


def test_results_of_an_evaluation_are_taken_but_for_those_of_a_limited_one(model, tmp_path):
    score = {"task": "pope_pt", "dataset": "amalia-llm/POPE-PT", "metric": "yes_no_pope"}
    own = {**score, "task": "faturas", "dataset": "faturas.jsonl"}
    figures = {"protocols": {"published": {"value": 89.4}, "corrected": {"value": 90.0}}}
    weights = weights_digest(model)
    run = {"model": "amalia", "weights": weights, "limit": None, "tasks": [{**score, **figures}, {**own, **figures}]}
    path = tmp_path / "results.json"
    path.write_text(json.dumps(run))
    (result,) = read_results(path, [model])
    assert (result.dataset, result.task, result.value) == ("amalia-llm/POPE-PT", "pope_pt", 89.4)
    assert result.metric == "yes_no_pope (published protocol)"
    path.write_text(json.dumps({**run, "limit": 100}))
    with pytest.raises(CardError, match="the run took 100 rows of each task only"):
        read_results(path, [model])
    path.write_text(json.dumps({**run, "tasks": [{}]}))
    with pytest.raises(CardError, match=r"results\.json: 'dataset'"):
        read_results(path, [model])


@pytest.mark.parametrize("weights", ["0" * 64, "commit abc", "served at http://127.0.0.1:8000", None])
def test_results_of_other_weights_are_refused_naming_both(model, tmp_path, weights):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"model": "outra", "weights": weights, "limit": None, "tasks": []}))
    there = re.escape("000000000000..." if weights == "0" * 64 else weights or "unknown")
    here = re.escape(f"{weights_digest(model)[:12]}...")
    with pytest.raises(CardError, match=rf"are of outra, weights {there}, but {re.escape(str(model))} has {here}"):
        read_results(path, [model])


def test_a_changed_tensor_is_another_model_and_a_record_beside_it_is_not(model, tmp_path):
    model = shutil.copytree(model, tmp_path / "changed")
    before = weights_digest(model)
    (model / "results.json").write_text("{}")
    (model / "verify.json").write_text("{}")
    assert weights_digest(model) == before
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    assert weights_digest(model) != before


def test_results_that_are_no_json(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("{")
    with pytest.raises(CardError, match="is not JSON"):
        read_results(path, [])


def test_a_quantised_models_card_says_how_far_it_is_from_the_original(model, facts, tmp_path):
    for trained in (True, False):
        folder = shutil.copytree(model, tmp_path / str(trained))
        if not trained:
            (folder / "training.json").unlink()
        (folder / QUANTISATION).write_text(json.dumps(FIGURES))
        card = build_card(folder, PLACE, facts, [])
        assert ("| align | sft |" in card) is trained
        assert ("Pesos de `amalia-llm/AMALIA-VL-DPO`; nada foi treinado aqui." in card) is not trained
        assert "em `int8`; o resto está como em `amalia-llm/AMALIA-VL-DPO`; carregar o modelo pede `torchao`" in card
        assert "De 19.2 GB para 10.8 GB. Em 141 tokens" in card
        assert "divergência de 6.6e-05 nats por token, token mais provável igual em 99.3%" in card
        assert "lido de novo, difere em 0 nos logits" in card
        assert "likeliest token equal in 99.3%, whole answers in 95%; loaded again, logits differ by 0." in card
        assert "| parâmetros | 9 595 000 000 |" in card  # of the original, not of packed bytes
        assert json.loads(gather(folder)[QUANTISATION].read_text()) == FIGURES
    assert "Quantização" not in build_card(model, PLACE, facts, [])
    (folder / QUANTISATION).write_text(json.dumps({**FIGURES, "method": "w4a16", "layers": {"int4": 294}}))
    assert "em `w4a16`; o resto" in (card := build_card(folder, PLACE, facts, []))
    assert "carregar o modelo pede `compressed-tensors`" in card


@pytest.mark.parametrize(
    "change",
    [
        {"method": "int3"},
        {"source": "/home/someone/model"},
        {"source": "a](https://example.com)"},
        {"divergence": float("nan")},
        {"bytes_after": "many"},
        {"layers": {"x | y": 1}},
        {"layers": [1]},
        {"more": 1},
    ],
)
def test_a_damaged_record_of_quantisation_is_refused(tmp_path, change):
    (tmp_path / QUANTISATION).write_text(json.dumps({**FIGURES, **change}))
    with pytest.raises(ValueError, match="is not a record of `amalia-vl convert quantise`"):
        read_quantisation(tmp_path)
