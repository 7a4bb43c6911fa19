"""Our type on vLLM's transformers backend, which by itself takes large squares for the images of the most tokens.

vLLM keeps room for the features of the costliest image, and answers 400 to one that takes more: without this, to a
photo of 4:3.
"""

from vllm.model_executor.models import transformers as backend
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.parse import ImageSize

from .vllm_plugin import costliest_size


class ProcessingInfo(backend.MultiModalProcessingInfo):
    """What vLLM asks of a processor before there are images."""

    def get_image_size_with_most_features(self) -> ImageSize:
        """Give the size of an image that takes as many tokens as any can."""
        height, width = costliest_size(self.get_hf_processor().image_processor)
        return ImageSize(width=width, height=height)


@MULTIMODAL_REGISTRY.register_processor(
    backend.MultiModalProcessor, info=ProcessingInfo, dummy_inputs=backend.MultiModalDummyInputsBuilder
)
class TransformersMultiModalForCausalLM(backend.TransformersMultiModalForCausalLM):
    """The backend's own class; vLLM knows it by its name, which stays."""
