"""What lmms-eval's entry point `lmms_eval.models` finds: `--model amalia_vl`."""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """Name the model to lmms-eval; nothing of it is loaded before it is asked for."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest("amalia_vl", chat_class_path="amalia_vl_hf.evaluation.lmms.model.AmaliaVLForLmmsEval")
