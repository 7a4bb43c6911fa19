"""Tests that our classes fail on purpose, each with its reason; one that passes is a failure, too."""

FAILURES = {
    # from transformers 5.24
    "test_multimodal_outputs_are_returned": "get_image_features gives them: in each output they outlive their forward",
}

_PACKED = "packed tiles: the first axis counts tiles, not images"
IMAGE_FAILURES = {
    "test_call_numpy": _PACKED,
    "test_call_pil": _PACKED,
    "test_call_pytorch": _PACKED,
    "test_call_numpy_4_channels": "do_convert_rgb=False is refused: the tower has three channels",
    "test_image_processor_from_dict_with_kwargs_has_attributes": "do_convert_rgb=False is refused",
    "test_new_models_require_torchvision_backend": "never torchvision: one class, and core torch for the fast path",
}
