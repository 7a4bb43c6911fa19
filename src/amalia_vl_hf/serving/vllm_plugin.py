"""vLLM's entry point `vllm.general_plugins`: our type runs on vLLM's transformers backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..processing.image_processing_amalia_vl import AmaliaVLImageProcessor

ARCHITECTURE = "AmaliaVLForConditionalGeneration"
BACKEND = "amalia_vl_hf.serving.vllm_model:TransformersMultiModalForCausalLM"


def register() -> None:
    """Name the architecture to vLLM; called by vLLM in each of its processes."""
    from vllm import ModelRegistry

    import amalia_vl_hf  # noqa: F401  the Auto classes know ours afterwards

    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(ARCHITECTURE, BACKEND)


def costliest_size(image_processor: AmaliaVLImageProcessor) -> tuple[int, int]:
    """Find the height and width, in pixels, of an image that takes as many tokens as any can.

    It fills a canvas without a bar. Of twelve tiles that is none of the squares: nine tiles take 5,832 tokens, twelve
    in a column 7,776. Where features are pooled (LLaVA-OneVision's) long and narrow images may take a little more.
    """
    from ..processing.tiling_amalia_vl import generate_pinpoints

    settings = image_processor.settings({})
    canvases = settings.pinpoints or generate_pinpoints(settings.max_tiles, settings.tile_size)
    sizes = [(settings.tile_size, settings.tile_size), *((height, width) for height, width in canvases)]
    return max(sizes, key=lambda size: image_processor.num_visual_tokens(*size))
