"""AMALIA-VL, the open vision-language model for European Portuguese, for Hugging Face Transformers.

Importing the package registers its classes with every Auto class.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
)

from .modeling.configuration_amalia_vl import AmaliaVLConfig
from .modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration, AmaliaVLModel

__version__ = "0.1.0"

# The class of Transformers 4 under its old name; v5 dropped it.
AutoModelForVision2Seq = AutoModelForImageTextToText

AutoConfig.register("amalia_vl", AmaliaVLConfig, exist_ok=True)
AutoModel.register(AmaliaVLConfig, AmaliaVLModel, exist_ok=True)
AutoModelForImageTextToText.register(AmaliaVLConfig, AmaliaVLForConditionalGeneration, exist_ok=True)
AutoModelForMultimodalLM.register(AmaliaVLConfig, AmaliaVLForConditionalGeneration, exist_ok=True)

__all__ = [
    "AmaliaVLConfig",
    "AmaliaVLForConditionalGeneration",
    "AmaliaVLModel",
    "AutoModelForVision2Seq",
]
