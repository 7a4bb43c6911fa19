"""Whole checkpoints: where they come from, and how a converted one is written."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from json import JSONDecodeError
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import snapshot_download
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import PreTrainedModel, ProcessorMixin
from transformers.utils import logging

from ..disk import fingerprint, new_directory
from ..fields import shown
from ..modeling.configuration_amalia_vl import require_modest
from .provenance import RECORD, VERIFICATION, Provenance
from .rules import (
    TIED_HEAD,
    Shapes,
    TensorPlan,
    require_complete,
)
from .shards import LazyTensor, write_shards
from .tensor_files import FLOATS, INDEX, read_checkpoint

DTYPES = {"bf16": "BF16", "fp16": "F16", "fp32": "F32"}  # as users write them: as safetensors does
MAX_SHARD_SIZE = "4GB"
MAX_SETTINGS = 2**22  # bytes of a JSON file, but for those that grow with the vocabulary or the model
LARGE_FILES = frozenset((INDEX, "tokenizer.json", "vocab.json", "training.json", RECORD, VERIFICATION))
# What a conversion reads: no pickles, no code.
HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]


class Conversion(NamedTuple):
    """What a conversion did."""

    directory: Path
    tensors: int
    size: int  # bytes of weights
    dropped: dict[str, str]  # source name -> why it was left behind
    added: tuple[str, ...]  # tensors that no source holds
    record: Provenance  # as it lies beside the weights


def find_source(source: str | Path, revision: str | None = None) -> Path:
    """Give the directory of a checkpoint, downloaded first if it is named by a Hub id.

    Raises:
        FileNotFoundError: There is neither such a directory nor such a repository, or it holds no `config.json`.
    """
    directory = Path(source)
    if not directory.exists() and str(source).count("/") == 1:
        try:
            directory = Path(snapshot_download(str(source), revision=revision, allow_patterns=HUB_FILES))
        except (OSError, ValueError) as error:  # Hub and network errors are OSErrors, malformed ids ValueErrors
            reason = str(error).strip().splitlines()[0]
            raise FileNotFoundError(f"{source} is no directory, and the Hub did not give it: {reason}") from error
    if not directory.exists():
        raise FileNotFoundError(f"there is no directory {source}, and a Hub id is written organisation/name")
    if not (directory / "config.json").is_file():
        raise FileNotFoundError(f"{source} holds no config.json: it is no model's directory")
    require_modest_files(directory)
    return directory


def require_modest_files(directory: Path) -> None:
    """Refuse settings that would keep transformers busy for minutes; who reads them says what else is wrong.

    Raises:
        ValueError: A JSON file is larger, or holds more, than any model's.
    """
    for path in sorted(directory.glob("*.json")):
        if path.name in LARGE_FILES or not path.is_file():
            continue
        if (size := path.stat().st_size) > MAX_SETTINGS:
            raise ValueError(f"{path} has {size} bytes; settings of a model have at most {MAX_SETTINGS}")
        try:
            require_modest(json.loads(path.read_bytes()), str(path))
        except RecursionError as error:
            raise ValueError(f"{path} has lists in one another by the thousand") from error
        except (JSONDecodeError, UnicodeDecodeError):
            continue


def file_hashes(directory: Path) -> dict[str, str]:
    """Give the SHA-256 of every file that a model is read from, weights and all else, by name."""
    names = {path.name for pattern in HUB_FILES for path in directory.glob(pattern) if path.is_file()}
    files = sorted(names - {RECORD, VERIFICATION})
    with ThreadPoolExecutor() as pool:  # hashing leaves Python's lock to others
        return dict(zip(files, pool.map(lambda name: fingerprint(directory / name), files), strict=True))


def model_type(directory: Path) -> str:
    """Read what kind of model a directory holds.

    Raises:
        ValueError: Its config cannot be read.
    """
    path = directory / "config.json"
    try:
        return str(json.loads(path.read_bytes())["model_type"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} names no model_type: {error!r}") from error


def require_type(directory: Path, kinds: Collection[str], remedy: str) -> None:
    """Refuse another kind of checkpoint.

    Raises:
        ValueError: It is one.
    """
    if (actual := model_type(directory)) not in kinds:
        expected = " or ".join(map(repr, kinds))
        raise ValueError(f"{directory} is a {shown(actual)} checkpoint, not {expected}; {remedy}")


def stored_dtype(dtype: str | None) -> str | None:
    """Translate what a user calls a dtype.

    Raises:
        ValueError: There is no such dtype.
    """
    if dtype is None:
        return None
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; it may be {', '.join(DTYPES)}")
    return DTYPES[dtype]


def empty_model(model_class: type[PreTrainedModel], config: Any) -> PreTrainedModel:
    """Build a model without memory for its weights.

    Raises:
        ValueError: The config describes no model.
    """
    try:
        with torch.device("meta"):
            return model_class(config)
    except Exception as error:  # a hostile config fails anywhere inside transformers and torch
        raise ValueError(f"the config describes no {model_class.__name__}: {error!r}") from error


def read_saved(saved_class: Any, directory: Path, **options: Any) -> Any:
    """Load a config, a tokenizer, a processor or a model from a directory, whose code is never run.

    Raises:
        ValueError: Its files cannot be used.
    """
    try:
        return saved_class.from_pretrained(directory, trust_remote_code=False, **options)
    except Exception as error:  # KeyError for unknown parts, validation errors of huggingface_hub, tokenizers' own...
        reason = str(error).strip().splitlines()[0] if isinstance(error, ValueError | OSError) else repr(error)
        raise ValueError(f"{directory} gives no {saved_class.__name__}: {reason}") from error


def own_shapes(model: PreTrainedModel) -> dict[str, tuple[int, ...]]:
    """List the tensors that a model's checkpoint must hold, tied ones once."""
    shapes = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        shapes.pop("lm_head.weight")
    return shapes


def save_checkpoint(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    tensors: Mapping[str, LazyTensor],
    out: Path,
    max_shard_size: int | str,
    shapes: Shapes,
    record: Provenance,
) -> int:
    """Write a checkpoint that appears under its final name when it is whole.

    Args:
        model: Without weights; saves its config, its generation config and its code.
        processor: Saved beside it.
        tensors: The weights.
        out: Must not exist yet.
        max_shard_size: Most bytes of a file of weights.
        shapes: What the weights must have.
        record: Written beside them.

    Returns:
        Bytes of weights.

    Raises:
        ValueError: The weights are not those of the model; nothing is written then.
        OSError: See `new_directory` and `write_shards`.
    """
    require_complete({name: tensor.shape for name, tensor in tensors.items()}, shapes)
    size = sum(tensor.size for tensor in tensors.values())
    with new_directory(out) as staging:
        _save_without_weights(model, staging)
        processor.save_pretrained(staging)
        (staging / RECORD).write_text(record.json(), encoding="utf-8")
        with tqdm(total=size, desc=f"writing {out.name}", unit="B", unit_scale=True, disable=None) as progress:
            write_shards(tensors, staging, max_shard_size=max_shard_size, advance=progress.update)
        require_complete({name: tensor.shape for name, tensor in read_checkpoint(staging).items()}, shapes)
    return size


def _save_without_weights(model: PreTrainedModel, directory: Path) -> None:
    """Have transformers write everything but the weights, without its progress bar over no files."""
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(directory, state_dict={})
    finally:
        if bar:
            logging.enable_progress_bar()


def require_tied_heads(plan: TensorPlan, source: Mapping[str, LazyTensor]) -> None:
    """Refuse to drop a head as tied that is not the input embeddings after all.

    Raises:
        ValueError: It holds other values.
    """
    embeddings = source.get(plan.copied.get("model.language_model.embed_tokens.weight", ""))
    for name, why in plan.dropped.items():
        if why == TIED_HEAD and (embeddings is None or not _same(source[name], embeddings)):
            raise ValueError(f"the config ties {name} to the input embeddings, but its weights are others")


def _same(first: LazyTensor, second: LazyTensor) -> bool:
    if (first.shape, first.dtype) != (second.shape, second.dtype):
        return False
    return all(one.equal(other) for one, other in zip(first.blocks(), second.blocks(), strict=True))


def give_dtypes(model: PreTrainedModel, dtypes: Mapping[str, str]) -> None:
    """Give an empty model's weights the dtypes that they will be stored in, which its config will name."""
    for name, weight in model.named_parameters():
        if name in dtypes:
            weight.data = weight.data.to(FLOATS[dtypes[name]])
