"""AMALIA-VL, the open vision-language model for European Portuguese, for Hugging Face Transformers.

Importing the package registers its classes with every Auto class.
"""

import sys
from typing import Any

import transformers
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
)

from .modeling.configuration_amalia_vl import AmaliaVLConfig
from .modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration, AmaliaVLModel
from .processing.image_processing_amalia_vl import AmaliaVLImageProcessor
from .processing.processing_amalia_vl import AmaliaVLProcessor

__version__ = "0.1.0"

# The name that Transformers 4 had for it. An alias: a subclass would look for another name in a repository's auto_map.
AutoModelForVision2Seq = AutoModelForImageTextToText


def _register() -> None:
    AutoConfig.register("amalia_vl", AmaliaVLConfig, exist_ok=True)
    AutoModel.register(AmaliaVLConfig, AmaliaVLModel, exist_ok=True)
    AutoModelForImageTextToText.register(AmaliaVLConfig, AmaliaVLForConditionalGeneration, exist_ok=True)
    AutoModelForMultimodalLM.register(AmaliaVLConfig, AmaliaVLForConditionalGeneration, exist_ok=True)
    AutoProcessor.register(AmaliaVLConfig, AmaliaVLProcessor, exist_ok=True)
    AutoImageProcessor.register(
        AmaliaVLConfig,
        image_processor_classes=dict.fromkeys(("pil", "torchvision"), AmaliaVLImageProcessor),
        exist_ok=True,
    )
    # TRL, `transformers serve` and pipelines look a checkpoint's class up by its name on the transformers module.
    # Importing AutoProcessor runs `transformers/__init__.py` again, which leaves a second module in sys.modules.
    modules: tuple[Any, ...] = (transformers, sys.modules["transformers"])
    for module in modules:
        module.AmaliaVLForConditionalGeneration = AmaliaVLForConditionalGeneration
        module.AutoModelForVision2Seq = AutoModelForVision2Seq


_register()

__all__ = [
    "AmaliaVLConfig",
    "AmaliaVLForConditionalGeneration",
    "AmaliaVLImageProcessor",
    "AmaliaVLModel",
    "AmaliaVLProcessor",
    "AutoModelForVision2Seq",
]
