"""The model card, filled from what is known of a model: config, training recipes, results, and its owner's facts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from string import Template
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml

from ...disk import fingerprint
from ...evaluation.results import card_scores
from ...fields import parse_yaml, shortened, shown
from ...modeling.configuration_amalia_vl import AmaliaVLConfig
from ...processing.image_processing_amalia_vl import AmaliaVLImageProcessor
from ...processing.tiling_amalia_vl import (
    UNTILED,
    TileLayout,
    generate_pinpoints,
    num_visual_tokens,
)
from ...quantisation import LIBRARIES
from ...training.recipe import TRAINING_LOG, Recipe, recipe_from
from ..checkpoints import read_saved
from ..provenance import (
    RECORD,
    CheckpointSource,
    Provenance,
    read_provenance,
)
from ..quantise import Quantisation, read_quantisation
from ..tensor_files import read_checkpoint

TEMPLATE = Path(__file__).with_name("model_card.md")
NO_RESULTS = "Não foram publicados resultados com estes pesos."

HUB_ID = r"[\w.-]+/[\w.-]+"
# What only a person knows: how each fact must look; one string or a list of them where the pattern is in a list.
FACTS: Mapping[str, str | list[str]] = {
    "license": r"[a-z0-9.-]+",
    "base_model": [HUB_ID],
    "datasets": [HUB_ID],
    "widget_image": r"https://[^\s\"'<>]+",
}

_FACT_OF = {"widget": "widget_image"}  # slots that are worded from a fact of another name
_WIDGET = Template("""\
widget:
  - messages:
      - role: user
        content:
          - type: image
            image_url: $widget_image
          - type: text
            text: "Descreve a imagem numa frase."
""")


class CardError(ValueError):
    """A card that cannot be filled; `problems` says why, a line each, and names the slots."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class Score:
    """One figure of an evaluation.

    Args:
        dataset: Hub id of the benchmark.
        task: Which of its tasks.
        metric: What is counted.
        value: The figure, as the benchmark gives it.
    """

    dataset: str
    task: str
    metric: str
    value: float


@dataclass(frozen=True)
class Place:
    """Where a card stands.

    Args:
        repo_id: The model's repository, `organisation/name`.
        export_id: That of its `llava_next` export, if it has one.
        is_export: Whether the card is the export's.
        private: Whether the repository is private: its card may be without an example picture, which is a public one.
    """

    repo_id: str
    export_id: str | None = None
    is_export: bool = False
    private: bool = False


def build_card(directory: Path, place: Place, facts: Mapping[str, Any], scores: Sequence[Score]) -> str:
    """Fill the template.

    Args:
        directory: The model, also for the card of its export.
        place: Where the card stands.
        facts: As `read_facts` gives them.
        scores: As `read_results` gives them; without any the card says so.

    Returns:
        The card, its YAML metadata first; with scores these hold a `model-index` of them.

    Raises:
        CardError: Slots have no value.
    """
    architecture = _architecture(directory)
    slots: dict[str, str] = {
        **fact_slots(facts, needs_picture=not place.private),
        **architecture,
        **_usage(place, architecture["export_format"]),
    }
    return fill(TEMPLATE, slots, directory, scores)


def fact_slots(facts: Mapping[str, Any], *, needs_picture: bool) -> dict[str, str]:
    """Word what only a person knows; facts that are not there leave their slots empty-handed."""
    slots = {name: json.dumps(facts[name], ensure_ascii=False) for name in ("base_model", "datasets") if name in facts}
    if "license" in facts:
        slots["license"] = facts["license"]
    if "widget_image" in facts:
        slots["widget"] = _WIDGET.substitute(widget_image=json.dumps(facts["widget_image"]))
    elif not needs_picture:
        slots["widget"] = ""
    return slots


def fill(template_file: Path, slots: Mapping[str, str], directory: Path, scores: Sequence[Score]) -> str:
    """Fill a template with these slots and the stages that the directory's records tell.

    Raises:
        CardError: Slots have no value.
    """
    template = Template(template_file.read_text(encoding="utf-8"))
    problems = [
        f"slot {name} has no value: card.yaml must give {name}, {_form_of(name)}"
        for name in (_FACT_OF.get(slot, slot) for slot in template.get_identifiers() if slot not in slots)
        if name in FACTS
    ]
    try:
        evaluation = _score_table(scores) if scores else NO_RESULTS
        slots = {**slots, **_stages(directory), "evaluation": evaluation}
    except CardError as error:
        problems += error.problems
    if problems:
        raise CardError(problems)
    card = ModelCard(template.substitute(slots))
    if scores:
        index = [_model_index_entry(score) for score in scores]
        metadata = card.data.to_dict()  # type: ignore[no-untyped-call]
        card.data = ModelCardData(**metadata, model_name=slots["model_name"], eval_results=index)
    return str(card)


def read_facts(path: Path) -> dict[str, Any]:
    """Read what only a person knows; a file that is not there tells nothing.

    Raises:
        CardError: A fact is unknown or does not look as it must.
    """
    if not path.is_file():
        return {}
    try:
        facts = parse_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CardError([f"{path} is not YAML: {error}"]) from error
    if not isinstance(facts, dict):
        raise CardError([f"{path} must hold `name: value` lines for {', '.join(FACTS)}"])
    problems = [
        f"{path}: {shortened(str(name), 100)} fills no slot; known: {', '.join(FACTS)}"
        for name in facts
        if name not in FACTS
    ]
    problems += [
        f"{path}: {name} is {shown(facts[name])}, but must be {_form_of(name)}"
        for name in FACTS
        if name in facts and not _fits(facts[name], FACTS[name])
    ]
    if problems:
        raise CardError(problems)
    return facts


def read_results(path: Path, directories: Sequence[Path]) -> list[Score]:
    """Read evaluation results: a run's `results.json`, or a list of `dataset`, `task`, `metric` and `value`.

    Args:
        path: The file.
        directories: Of the model that they must be of; whose a list is, its writer answers for.

    Raises:
        CardError: Another form, a value that is no finite number, or figures of other weights.
    """
    keys = {entry.name for entry in fields(Score)}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CardError([f"{path} is not JSON: {error}"]) from error
    if isinstance(rows, dict) and "tasks" in rows:
        try:
            rows = card_scores(rows, directories)
        except (ValueError, LookupError, TypeError) as error:
            raise CardError([f"{path}: {error}"]) from error
    if not isinstance(rows, list) or not rows:
        raise CardError([f"{path} must be a list of results, at least one"])
    problems = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != keys:
            problems.append(f"{path}: result {number} must have exactly {', '.join(sorted(keys))}")
        elif type(row["value"]) not in (int, float) or not math.isfinite(row["value"]):
            problems.append(f"{path}: result {number} has the value {shown(row['value'])}, which is no finite number")
        elif not _fits(row["dataset"], HUB_ID) or not all(_fits(row[key], r"[^|\n]+") for key in ("task", "metric")):
            problems.append(f"{path}: result {number} needs a Hub id as dataset, and one line each as task and metric")
    if problems:
        raise CardError(problems)
    return [Score(**row) for row in rows]


def results_yaml(scores: Sequence[Score]) -> str:
    """Write the results in the Hub's own format, for a file in `.eval_results/`."""
    entries = [EvalResultEntry(score.dataset, score.task, score.value, notes=score.metric) for score in scores]
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), allow_unicode=True, sort_keys=False)


def training_recipes(directory: Path) -> list[Recipe]:
    """List the stages that a model went through, as its training log tells; first stage first.

    Logs that know their own stage alone are followed back by their hashes.

    Raises:
        CardError: There is no log, one is damaged, or the one of the stage before is no longer there.
    """
    recipes: list[Recipe] = []
    log = directory / TRAINING_LOG
    if not log.is_file():
        raise CardError([f"slot stages has no value: neither {log} of `amalia-vl train` nor {RECORD} is there"])
    while True:
        stages, before = _logged_stages(log)
        recipes = [*stages, *recipes]
        if before is None:
            return recipes
        log = _log_before(log, recipes[0].model, before)


def _logged_stages(log: Path) -> tuple[list[Recipe], str | None]:
    """Read the recipes that a training log knows, first stage first, and the hash of the log before the first of them.

    Raises:
        CardError: It is no training log.
    """
    try:
        record = json.loads(log.read_bytes())
        origins = [*record.get("before", []), record["origin"]]  # a log of before 0.2 knows its own stage alone
        keys = [entry.name for entry in fields(Recipe)]
        recipes = [recipe_from({key: origin[key] for key in keys if key in origin}) for origin in origins]
        return recipes, origins[0]["model_log_sha256"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = shortened(repr(error), 500)
        raise CardError([f"slot stages has no value: {log} is not a training log: {reason}"]) from error


def _log_before(log: Path, model: str, sha256: str) -> Path:
    """Find the log of the model that a stage began with: where the recipe says, or beside the stage's own folder."""
    candidates = [Path(model) / TRAINING_LOG, log.parent.parent / Path(model).name / TRAINING_LOG]
    for candidate in candidates:
        if candidate.is_file() and fingerprint(candidate) == sha256:
            return candidate
    raise CardError(
        [f"slot stages has no value: {log} began with {model}, whose training log is not in {candidates[0].parent}"]
    )


def _usage(place: Place, export_format: str) -> dict[str, str]:
    """Say how the repository is loaded and served."""
    repo_id, trust = place.repo_id, ", trust_remote_code=True"
    form = "o código vem no repositório; com `amalia-vl-hf` instalado e importado, `trust_remote_code` é dispensável"
    if place.is_export and place.export_id:
        repo_id, trust = place.export_id, ""
        form = (
            f"formato `{export_format}`, sem código próprio, imagens redimensionadas pelo Pillow; de `{place.repo_id}`"
        )
    exporting = "amalia-vl convert export DIRETORIA --out EXPORTACAO\nvllm serve EXPORTACAO"
    return {
        "repo_id": repo_id,
        "model_name": repo_id.split("/")[-1],
        "form": form,
        "trust": trust,
        "serving": f"vllm serve {place.export_id}" if place.export_id else exporting,
    }


def _architecture(directory: Path) -> dict[str, str]:
    """Describe the model by its config, its processor and its tensors' shapes."""
    config = read_saved(AmaliaVLConfig, directory)
    images = read_saved(AmaliaVLImageProcessor, directory)
    vision, text = config.vision_config, config.text_config
    layouts = _full_layouts(images)
    tiles = max(layout.num_tiles for layout in layouts) - 1
    side, pool = config.patches_per_side, config.pool_above_tiles
    tokens = max(num_visual_tokens(layout, side, pool) for layout in layouts)
    quantised = read_quantisation(directory)
    stored = sum(math.prod(tensor.shape) for tensor in read_checkpoint(directory).values())
    parameters = quantised.parameters if quantised else stored
    return {
        "export_format": "llava_next" if config.video_token_id is None else "llava_onevision",
        "vision_tower": f"SigLIP, {vision.num_hidden_layers} camadas de {vision.hidden_size}, "
        f"partes de {vision.patch_size} px",
        "decoder": f"{text.model_type}, {text.num_hidden_layers} camadas de {text.hidden_size}, "
        f"vocabulário de {text.vocab_size}",
        "connector": f"perceptrão de duas camadas, {config.connector_act}",
        "tiling": f"miniatura e até {tiles} mosaicos de {vision.image_size} px; "
        f"até {tokens} elementos visuais por imagem",
        "parameters": f"{parameters:,}".replace(",", " "),
    }


def _full_layouts(images: AmaliaVLImageProcessor) -> list[TileLayout]:
    """List every grid that the processor allows, without padding: an image has at most their tokens."""
    tile, most_tiles = images.size["height"], images.max_tiles
    allowed = images.image_grid_pinpoints
    canvases = generate_pinpoints(most_tiles, tile) if allowed is None else allowed
    grids = [(height // tile, width // tile) for height, width in canvases]
    return [TileLayout(rows, cols, 0, 0) for rows, cols in grids if rows * cols <= most_tiles] or [UNTILED]


def _stages(directory: Path) -> dict[str, str]:
    """Say what the weights went through: training here, or where there was none, the conversion that made them."""
    trained, quantised = (directory / TRAINING_LOG).is_file(), read_quantisation(directory)
    record = None if trained else read_provenance(directory)
    before = _stages_before(directory, trained, record, quantised)
    if quantised is None:
        return before
    return {
        "stages": f"{before['stages']}\n\n{_quantised_in_portuguese(quantised)}",
        "stages_english": f"{before['stages_english']} {_quantised_in_english(quantised)}",
    }


def _stages_before(
    directory: Path, trained: bool, record: Provenance | None, quantised: Quantisation | None
) -> dict[str, str]:
    if quantised and not trained and record is None:
        source = quantised.source
        return {"stages": f"Pesos de `{source}`; nada foi treinado aqui.", "stages_english": f"Weights of `{source}`."}
    if record is None:
        table = _stage_table(training_recipes(directory))
        return {"stages": table, "stages_english": "The training stages are in the table under *Treino*."}
    return {"stages": _in_portuguese(record.published()), "stages_english": _in_english(record.published())}


def _quantised_in_portuguese(report: Quantisation) -> str:
    return (
        f"### Quantização\n\nAs camadas lineares do descodificador estão em `{report.method}`; o resto está como em "
        f"`{report.source}`; carregar o modelo pede `{LIBRARIES[report.method]}`. "
        f"De {_gigabytes(report.bytes_before)} GB para {_gigabytes(report.bytes_after)} GB. "
        f"Em {report.positions} tokens de respostas do original: "
        f"divergência de {report.divergence:.2g} nats por token, "
        f"token mais provável igual em {report.argmax_equal:.1%}, "
        f"respostas inteiras iguais em {report.answers_equal:.0%}; "
        f"lido de novo, difere em {report.reload_difference:.2g} nos logits."
    )


def _quantised_in_english(report: Quantisation) -> str:
    return (
        f"The decoder's linear layers are stored as `{report.method}`, the rest as in `{report.source}`: "
        f"{_gigabytes(report.bytes_before)} GB to {_gigabytes(report.bytes_after)} GB; over {report.positions} tokens "
        f"of the original's answers {report.divergence:.2g} nats of divergence a token, likeliest token equal in "
        f"{report.argmax_equal:.1%}, whole answers in {report.answers_equal:.0%}; loaded again, logits differ by "
        f"{report.reload_difference:.2g}."
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g}"


def _in_portuguese(record: Provenance) -> str:
    named = {part: _named(source, "revisão", "diretoria local") for part, source in record.sources.items()}
    by = f"por {record.tool}, em {', '.join(record.dtypes)}"
    if record.kind == "compose":
        return (
            f"Pesos compostos {by}: torre de visão de {named['vision']}, modelo de linguagem de {named['text']}; "
            "o conector tem valores aleatórios e nada foi treinado aqui."
        )
    return f"Pesos convertidos de {named['model']} {by}; nada foi treinado aqui."


def _in_english(record: Provenance) -> str:
    named = {part: _named(source, "revision", "a local directory") for part, source in record.sources.items()}
    by = f"by {record.tool}, stored as {', '.join(record.dtypes)}"
    if record.kind == "compose":
        return (
            f"The weights were composed {by}: vision tower of {named['vision']}, language model of {named['text']}; "
            "the connector's values are random, and nothing was trained here."
        )
    return f"The weights were converted from {named['model']} {by}; nothing was trained here."


def _named(source: CheckpointSource, revision: str, local: str) -> str:
    if not source.is_on_hub:
        return f"`{source.name}` ({local})"
    return f"`{source.name}` ({revision} `{source.revision}`)" if source.revision else f"`{source.name}`"


def _stage_table(recipes: Sequence[Recipe]) -> str:
    rows = ["etapa", "método", "taxas de aprendizagem", "variação", "lote", "duração", "mosaicos"]
    lines = [_row(rows), _row(["---"] * len(rows))]
    for recipe in recipes:
        stage = recipe.training_stage
        rates = ", ".join(f"{module} {rate:g}" for module, rate in stage.learning_rates.items())
        duration = f"passos: {recipe.steps}" if recipe.steps else f"épocas: {recipe.epochs:g}"
        batch = f"{recipe.batch_size} × {recipe.accumulation}"
        lines.append(_row([stage.name, stage.method, rates, stage.schedule, batch, duration, str(stage.max_tiles)]))
    return "\n".join(lines)


def _score_table(scores: Sequence[Score]) -> str:
    lines = [_row(["conjunto", "tarefa", "medida", "valor"]), _row(["---"] * 4)]
    lines += [_row([score.dataset, score.task, score.metric, f"{score.value:g}"]) for score in scores]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _model_index_entry(score: Score) -> EvalResult:
    return EvalResult(
        task_type="image-text-to-text",
        dataset_type=score.dataset,
        dataset_name=score.task,
        metric_type=score.metric,
        metric_value=score.value,
    )


def _fits(value: Any, pattern: str | list[str]) -> bool:
    if isinstance(pattern, list):
        return _fits(value, pattern[0]) or (isinstance(value, list) and all(_fits(item, pattern[0]) for item in value))
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _form_of(name: str) -> str:
    return {
        "license": "the Hub's short name of a licence, such as apache-2.0",
        "base_model": "a Hub id, or a list of them",
        "datasets": "a Hub id, or a list of them, which may be empty",
        "widget_image": "the https address of an image",
    }[name]
