"""vLLM's entry point `vllm.general_plugins`: our type runs on vLLM's transformers backend."""

ARCHITECTURE = "AmaliaVLForConditionalGeneration"
BACKEND = "vllm.model_executor.models.transformers:TransformersMultiModalForCausalLM"


def register() -> None:
    """Name the architecture to vLLM; called by vLLM in each of its processes."""
    from vllm import ModelRegistry

    import amalia_vl_hf  # noqa: F401  the Auto classes know ours afterwards

    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(ARCHITECTURE, BACKEND)
