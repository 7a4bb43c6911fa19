"""AMALIA-VL, the open vision-language model for European Portuguese, for Hugging Face Transformers.

Importing the package makes every Auto class know its classes. They, torch and transformers are loaded when they are
used for the first time.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .registration import register

if TYPE_CHECKING:
    # The name that Transformers 4 had for it. An alias: a subclass would look for another name in an auto_map.
    from transformers import AutoModelForImageTextToText as AutoModelForVision2Seq

    from .modeling.configuration_amalia_vl import AmaliaVLConfig
    from .modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration, AmaliaVLModel
    from .processing.image_processing_amalia_vl import AmaliaVLImageProcessor
    from .processing.processing_amalia_vl import AmaliaVLProcessor

__version__ = "0.1.0"

__all__ = [
    "AmaliaVLConfig",
    "AmaliaVLForConditionalGeneration",
    "AmaliaVLImageProcessor",
    "AmaliaVLModel",
    "AmaliaVLProcessor",
    "AutoModelForVision2Seq",
]

# Where each public name is, and what it is called there.
_HOMES = {
    "AmaliaVLConfig": (".modeling.configuration_amalia_vl", "AmaliaVLConfig"),
    "AmaliaVLForConditionalGeneration": (".modeling.modeling_amalia_vl", "AmaliaVLForConditionalGeneration"),
    "AmaliaVLImageProcessor": (".processing.image_processing_amalia_vl", "AmaliaVLImageProcessor"),
    "AmaliaVLModel": (".modeling.modeling_amalia_vl", "AmaliaVLModel"),
    "AmaliaVLProcessor": (".processing.processing_amalia_vl", "AmaliaVLProcessor"),
    "AutoModelForVision2Seq": ("transformers", "AutoModelForImageTextToText"),
}
_ROOMS = ("evaluation", "modeling", "processing", "sandbox", "variety")  # `amalia_vl_hf.variety.judge(text)`

if not TYPE_CHECKING:  # a type checker would believe that the package has every name

    def __getattr__(name: str) -> Any:
        if name in _ROOMS:
            return import_module(f".{name}", __name__)
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home, there = _HOMES[name]
        value = globals()[name] = getattr(import_module(home, __name__), there)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})


register(sys.modules[__name__])
