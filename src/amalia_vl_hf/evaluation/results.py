"""What a run found, read back: figures of its tasks, means, Table 3 of the paper, and what a card takes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import disk
from ..disk import fingerprint
from .tasks import AMALIA_VL_EVAL_PT, PORTEXTO_PT, PROTOCOLS

RESULTS = "results.json"
_WEIGHTS = ("*.safetensors", "*.json", "*.jinja", "*.model")  # what decides on the answers of a directory
_RECORDS = (RESULTS, "training.json", "conversion.json", "verify.json", "trainer_state.json")  # what does not
MME = 2800  # the most points of MME's two sums; Table 3's mean takes MME as a share of it


def write_results(out: Path) -> dict[str, Any]:
    """Collect the figures of a run's tasks into `results.json`."""
    scores = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(out.glob("*/scores.json"), key=lambda path: _order(path.parent.name))
    ]
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    results = {
        "model": manifest["run"]["model"],
        "weights": manifest["run"]["weights"],
        "limit": manifest["run"]["limit"],
        "means": {protocol: means(scores, protocol) for protocol in PROTOCOLS},
        "tasks": scores,
    }
    disk.write_json(out / RESULTS, results)
    return results


def read_run(out: Path) -> dict[str, Any]:
    """Read a run's figures.

    Raises:
        FileNotFoundError: There is no finished run in the folder.
    """
    path = out / RESULTS
    if not path.is_file():
        raise FileNotFoundError(f"{out} holds no finished run: there is no {RESULTS}; `amalia-vl eval run` writes it")
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def means(scores: Sequence[Mapping[str, Any]], protocol: str) -> dict[str, float]:
    """Give the means that the tasks of a run are enough for.

    Returns:
        `mean` and `held_out`, the same without the benchmarks whose training set the paper trained on, when all 18 of
        Table 3 are there; `portexto_pt`, weighted by size, when its four are.
    """
    figures = {score["task"]: score for score in scores}
    result = {}
    suite = [task for task in AMALIA_VL_EVAL_PT if task.name in figures]
    if len(suite) == len(AMALIA_VL_EVAL_PT):
        shares = {task.name: _share(figures[task.name], protocol) for task in suite}
        held_out = [shares[task.name] for task in suite if not task.held_in]
        result = {"mean": sum(shares.values()) / len(shares), "held_out": sum(held_out) / len(held_out)}
    parts = [figures[task.name] for task in PORTEXTO_PT if task.name in figures]
    if len(parts) == len(PORTEXTO_PT):
        sizes = [part["questions"] for part in parts]
        values = [part["protocols"][protocol]["value"] for part in parts]
        result["portexto_pt"] = sum(size * value for size, value in zip(sizes, values, strict=True)) / sum(sizes)
    return result


def _share(score: Mapping[str, Any], protocol: str) -> float:
    value = float(score["protocols"][protocol]["value"])
    return 100 * value / MME if score["task"] == "mme_pt" else value


def table3() -> dict[str, Any]:
    """Read the paper's Table 3."""
    table: dict[str, Any] = json.loads(Path(__file__).with_name("table3.json").read_text(encoding="utf-8"))
    return table


def weights_digest(directory: Path) -> str:
    """Give one SHA-256 for all files of a model's directory that its answers depend on."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _WEIGHTS for path in directory.glob(pattern)}):
        if path.name not in _RECORDS:
            digest.update(f"{path.name} {fingerprint(path)}\n".encode())
    return digest.hexdigest()


def card_scores(results: Mapping[str, Any], directories: Sequence[Path]) -> list[dict[str, Any]]:
    """Give a run's published figures as a model's card takes them: `dataset`, `task`, `metric`, `value`.

    A task of one's own whose data have no id on the Hub is left out, and a run with a limit gives none.

    Args:
        results: What `results.json` holds.
        directories: Where the model is that the card is of; adapters may have been measured merged, which is another.

    Raises:
        ValueError: The run was limited, so that its figures are not the benchmarks', or measured other weights.
    """
    if results["limit"] is not None:
        raise ValueError(
            f"the run took {results['limit']} rows of each task only; a card takes figures of whole tasks"
        )
    measured, known = results.get("weights"), [weights_digest(directory) for directory in directories]
    if measured not in known:
        raise ValueError(
            f"these figures are of {results['model']}, weights {_short(measured)}, but {directories[0]} has"
            f" {' or '.join(map(_short, known))}; were its files changed, or were they measured on the Hub or behind a"
            f" server? Measure this directory: amalia-vl eval run --model {directories[0]}"
        )
    return [
        {
            "dataset": score["dataset"],
            "task": score["task"],
            "metric": f"{score['metric']} (published protocol)",
            "value": score["protocols"]["published"]["value"],
        }
        for score in results["tasks"]
        if score["dataset"].count("/") == 1 and not Path(score["dataset"]).suffix
    ]


def _short(weights: Any) -> str:
    """Shorten a SHA-256; what else stands for weights is said whole."""
    text = "unknown" if weights is None else str(weights)
    return f"{text[:12]}..." if len(text) == 64 else text


def text_table(results: Mapping[str, Any]) -> str:
    """Table a run's figures, a task a line."""
    limit = "" if results["limit"] is None else f"  (only the first {results['limit']} rows of each task)"
    lines = [f"{results['model']}{limit}", f"{'task':<28}{'published':>10}  {'95 %':<18}{'corrected':>10}   answers"]
    for score in results["tasks"]:
        published, corrected = (score["protocols"][protocol] for protocol in PROTOCOLS)
        low, high = published["interval"]
        between = f"[{low:.1f}, {high:.1f}]"
        counts = ", ".join(counted(score))
        mark = "†" if score["held_in"] else ""
        lines.append(
            f"{score['task'] + mark:<28}{published['value']:>10.2f}  {between:<18}{corrected['value']:>10.2f}"
            f"   {score['questions']}{f' ({counts})' if counts else ''}"
        )
    for name in results["means"]["published"]:
        values = [results["means"][protocol][name] for protocol in PROTOCOLS]
        lines.append(f"{name:<28}{values[0]:>10.2f}  {'':<18}{values[1]:>10.2f}")
    return "\n".join(lines)


def counted(score: Mapping[str, Any]) -> list[str]:
    """Word what was counted beside a task's figures: answers that were not understood, cut, translated."""
    words = [f"{count} {name}" for name, count in score["counts"].items() if count]
    if translated := score.get("translated"):
        words.append(f"{translated['count']} of {translated['of']} translated")
    return words


def _order(name: str) -> tuple[int, str]:
    names = [task.name for task in AMALIA_VL_EVAL_PT]
    return (names.index(name) if name in names else len(names), name)
