"""A checkpoint with its decoder in fewer bits, and how far that is from the original.

Quantised are the linear layers of the decoder's blocks alone: the tower, the connector, the newline and the head stay
as they are. `int8` (torchao: weights in 8 bits) and `nf4` (bitsandbytes: normal floats of 4 bits) are written and
loaded by transformers wherever the two libraries are. `fp8` and `w4a16` are written by llm-compressor, which has an
environment of its own (docs/serve.md), and loaded by compressed-tensors.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, ProcessorMixin

from ..disk import new_directory, write_json
from ..fields import shown
from ..modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration
from ..processing.processing_amalia_vl import AmaliaVLProcessor
from ..quantisation import KEPT, METHODS, SCHEMES, check_layers, check_widths, quantisation_settings
from .checkpoints import find_source
from .provenance import NAME, source_at
from .tensor_files import read_checkpoint
from .verify import QUESTION, Sample, pictures_of

RECORD = "quantisation.json"
NEW_TOKENS = 32


@dataclass(frozen=True)
class Quantisation:
    """How far a quantised checkpoint is from its original, over the answers that the original gives.

    Args:
        method: One of `METHODS`.
        source: Hub id of the original, or its directory's own name.
        parameters: Of the original; a quantised file holds several in a byte, and scales beside them.
        positions: Tokens of the original's greedy answers that both were asked for.
        divergence: Kullback-Leibler divergence of the quantised distribution from the original, nats a token.
        argmax_equal: Share of the positions whose likeliest token is the same.
        answers_equal: Share of the answers that are the same word for word when both write freely.
        reload_difference: Largest difference of logits between the model that was saved and the same read again.
        bytes_before: Of the original's weights.
        bytes_after: Of the quantised weights.
        layers: How many layers there are of each kind of weight, in the decoder's blocks.
    """

    method: str
    source: str
    parameters: int
    positions: int
    divergence: float
    argmax_equal: float
    answers_equal: float
    reload_difference: float
    bytes_before: int
    bytes_after: int
    layers: dict[str, int]

    def table(self) -> str:
        """Lay it out for reading."""
        return (
            f"{self.method} of {self.source}: {self.bytes_before / 1e9:.3g} GB to {self.bytes_after / 1e9:.3g} GB\n"
            f"over {self.positions} tokens: divergence {self.divergence:.2g} nats, likeliest token equal "
            f"{self.argmax_equal:.3f}, whole answers equal {self.answers_equal:.2f}\n"
            f"loaded again: logits differ by {self.reload_difference:.2g}"
        )


def quantise_checkpoint(
    source: str | Path,
    out: str | Path,
    method: str,
    *,
    images: str | Path | None = None,
    revision: str | None = None,
    history: Sequence[str] = (),
) -> Quantisation:
    """Write a quantised checkpoint, load it as any user does, and measure it against the original.

    Args:
        source: Directory or Hub id of an `amalia_vl` or `llava_next` checkpoint.
        out: Directory to write; must not exist yet.
        method: One of `METHODS`.
        images: Directory of pictures to measure on; made-up ones when left out.
        revision: Branch, tag or commit of a Hub id.
        history: Files of the source that say what its weights went through, for the card; copied where they are.

    Raises:
        ValueError: There is no such method, the model's widths do not suit it, or a layer was quantised, or left, that
            should not have been.
        ImportError: What writes that method is not installed.
        OSError: The source is not there, or `out` is.
    """
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; there are {', '.join(METHODS)}")
    directory = find_source(source, revision)
    processor = AmaliaVLProcessor.from_pretrained(directory, trust_remote_code=False)
    samples = [Sample("text only", None), *pictures_of(images, processor)]
    with new_directory(Path(out)) as staging:
        saved = _write(directory, staging, method, processor)
        processor.save_pretrained(staging)
        original, quantised = _load(directory), _load(staging)
        layers = check_layers(quantised)
        difference = (_logits(quantised, processor) - saved).abs().max().item()
        positions, divergence, equal, answers = compare(original, quantised, processor, samples)
        before, after = (
            sum(file.stat().st_size for file in folder.glob("*.safetensors")) for folder in (directory, staging)
        )
        parameters = sum(math.prod(tensor.shape) for tensor in read_checkpoint(directory).values())
        origin = source_at(directory)
        name = origin.name if origin.is_on_hub else re.sub(r"[^\w.-]+", "_", directory.resolve().name)
        figures = (positions, divergence, equal, answers, difference, before, after)
        report = Quantisation(method, name, parameters, *figures, layers)
        write_json(staging / RECORD, asdict(report))
        for file in history:
            if (directory / file).is_file():
                shutil.copyfile(directory / file, staging / file)
    return report


def read_quantisation(directory: Path) -> Quantisation | None:
    """Read how a checkpoint was quantised; None where nothing says that it is.

    Raises:
        ValueError: The record is not one of `amalia-vl convert quantise`.
    """
    path = directory / RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_bytes())
        report = Quantisation(**record)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not a record of `amalia-vl convert quantise`: {error!r:.500}") from error
    numbers = [getattr(report, field.name) for field in fields(report) if field.type in ("int", "float")]
    counts = report.layers.items() if isinstance(report.layers, dict) else [("", None)]
    sound = (
        report.method in METHODS
        and isinstance(report.source, str)
        and NAME.fullmatch(report.source) is not None
        and not report.source.startswith("/")
        and all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        and all(kind.isidentifier() and type(count) is int for kind, count in counts)
    )
    if not sound:
        raise ValueError(f"{path} is not a record of `amalia-vl convert quantise`: {shown(record)}")
    return report


@torch.inference_mode()
def compare(
    original: PreTrainedModel, quantised: PreTrainedModel, processor: ProcessorMixin, samples: Sequence[Sample]
) -> tuple[int, float, float, float]:
    """Let the original answer, and ask both for every token of its answers.

    Returns:
        Positions, divergence in nats a token, share of equal likeliest tokens, and of equal free answers.
    """
    positions, divergence, equal, answers = 0, 0.0, 0, 0
    for sample in samples:
        inputs = _inputs(processor, sample)
        length = inputs["input_ids"].shape[1]
        written = original.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
        free = quantised.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
        answers += torch.equal(written, free)
        whole = {**inputs, "input_ids": written, "attention_mask": torch.ones_like(written)}
        whole.pop("mm_token_type_ids", None)
        kept = written.shape[1] - length + 1
        expected, actual = (
            model(**whole, logits_to_keep=kept).logits[0, :-1].double().log_softmax(-1)
            for model in (original, quantised)
        )  # (answer tokens, vocabulary)
        divergence += (expected.exp() * (expected - actual)).sum().item()
        equal += int((expected.argmax(-1) == actual.argmax(-1)).sum())
        positions += len(expected)
    return positions, divergence / positions, equal / positions, answers / len(samples)


def _write(directory: Path, staging: Path, method: str, processor: ProcessorMixin) -> torch.Tensor:
    """Quantise and save, before anything runs: what runs on a CPU is packed anew, or taken apart.

    Returns:
        What the saved model says, see `_logits`.
    """
    if method in SCHEMES:
        return _write_compressed(directory, staging, SCHEMES[method], processor)
    model = _load(directory, quantization_config=quantisation_settings(method))
    check_layers(model)
    model.save_pretrained(staging)
    return _logits(model, processor)


def _write_compressed(directory: Path, staging: Path, scheme: str, processor: ProcessorMixin) -> torch.Tensor:
    """Let llm-compressor choose the scales, and save as our model does.

    llm-compressor's own `save_pretrained` would lay the source's `config.json` over ours, which is another model's
    where the source is a `llava_next` one, and add files that no repository of a model holds.
    """
    os.environ.setdefault("LLM_COMPRESSOR_LOG_LEVEL", "ERROR")  # read once; it tells every step, on the output
    from compressed_tensors.compressors import ModelCompressor
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier

    model = _load(directory)
    if scheme == SCHEMES["w4a16"]:
        check_widths(model)
    kept = [rf"re:{re.escape(name)}(\.|$)" for name in KEPT]
    recipe = QuantizationModifier(targets=["Linear"], scheme=scheme, ignore=kept)
    oneshot(model=model, processor=processor, recipe=recipe, tie_word_embeddings=True)
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    check_layers(model)
    type(model).save_pretrained(model, staging)
    compressor.update_config(staging)
    return _logits(model, processor)


@torch.inference_mode()
def _logits(model: PreTrainedModel, processor: ProcessorMixin) -> torch.Tensor:
    """Ask without a picture, and give what the model thinks of every next token, `(prompt tokens, vocabulary)`."""
    logits: torch.Tensor = model(**_inputs(processor, Sample("text only", None))).logits[0]
    return logits.float().cpu()


def _load(directory: Path, **options: Any) -> PreTrainedModel:
    model: PreTrainedModel = AmaliaVLForConditionalGeneration.from_pretrained(
        directory, dtype="auto", device_map=_device(), trust_remote_code=False, **options
    )
    return model.eval()


def _device() -> str:
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator.type if accelerator else "cpu"


def _inputs(processor: ProcessorMixin, sample: Sample) -> dict[str, Any]:
    pictures = [] if sample.picture is None else [{"type": "image", "image": sample.picture}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": [*pictures, {"type": "text", "text": QUESTION}]}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    return dict(inputs.to(_device()))
