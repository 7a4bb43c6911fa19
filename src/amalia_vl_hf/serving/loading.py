"""Loads a model to answer with."""

from __future__ import annotations

from typing import Any

from transformers.utils import logging

from ..memory import best_device
from ..modeling.configuration_amalia_vl import AmaliaVLConfig
from ..modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration
from ..processing.processing_amalia_vl import AmaliaVLProcessor


def load_model(name: str) -> tuple[Any, Any]:
    """Load a model, on the accelerator where there is one (CUDA, MPS, ...), and its processor.

    Raises:
        ValueError: It is no model of ours, or incomplete.
        OSError: It is not there.
    """
    logging.disable_progress_bar()  # of weights, which are there in seconds; answers go to the same terminal
    AmaliaVLConfig.from_pretrained(name, trust_remote_code=False)  # a config made to hurt is refused before all else
    processor = AmaliaVLProcessor.from_pretrained(name, trust_remote_code=False)
    model = AmaliaVLForConditionalGeneration.from_pretrained(name, dtype="auto", trust_remote_code=False)
    return model.to(best_device()).eval(), processor
