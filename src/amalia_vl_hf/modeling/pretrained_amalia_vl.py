"""What both models share: flags, first weights, loading and saving."""

import math
import os
import re
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from .adapter_targets_amalia_vl import require_targets
from .checkpoint_names_amalia_vl import require_whole
from .configuration_amalia_vl import AmaliaVLConfig
from .connector_amalia_vl import AmaliaVLNewline
from .llava_saving_amalia_vl import save_as_llava

# `save_pretrained` would name only the class that is saved; a repository must answer every Auto class.
AUTO_MAP = {
    "AutoConfig": "configuration_amalia_vl.AmaliaVLConfig",
    "AutoModel": "modeling_amalia_vl.AmaliaVLModel",
    "AutoModelForImageTextToText": "modeling_amalia_vl.AmaliaVLForConditionalGeneration",
    "AutoModelForMultimodalLM": "modeling_amalia_vl.AmaliaVLForConditionalGeneration",
    "AutoModelForVision2Seq": "modeling_amalia_vl.AmaliaVLForConditionalGeneration",
}


class AmaliaVLPreTrainedModel(PreTrainedModel):
    """Flags, initialisation and saving shared by the two models."""

    config_class = AmaliaVLConfig
    base_model_prefix = "model"
    input_modalities = ("image", "video", "text")
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = ["past_key_values", "cache"]  # before, and from transformers 5.24
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    # PEFT and TRL ask and switch by these three names, of which transformers warns since it has others for them.
    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether activations are computed again in the backward pass."""
        return any(getattr(module, "gradient_checkpointing", False) for module in self.modules())

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Computes activations again in the backward pass instead of keeping them; arguments as in transformers."""
        base: Any = super()
        enable = getattr(base, "_activation_checkpointing_enable", base.gradient_checkpointing_enable)
        enable(gradient_checkpointing_kwargs, **kwargs)

    def gradient_checkpointing_disable(self) -> None:
        """Keeps activations for the backward pass."""
        base: Any = super()
        getattr(base, "_activation_checkpointing_disable", base.gradient_checkpointing_disable)()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, AmaliaVLNewline):
            init.normal_(module.weight, mean=0.0, std=1 / math.sqrt(self.config.text_config.hidden_size))

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "peft_config":  # which PEFT sets once it has put adapters in
            for config in value.values():
                require_targets(config, (name for name, _ in self.named_modules()))
        super().__setattr__(name, value)

    def enable_input_require_grads(self) -> None:
        """Lets gradients reach what learns behind frozen embeddings, as checkpointing wants, but not a frozen tower.

        Its layers would be computed again and passed through backwards, for nothing that learns.
        """
        super().enable_input_require_grads()
        tower = self.base_model.vision_tower
        if any(parameter.requires_grad for parameter in tower.parameters()):
            return
        patches = tower.get_input_embeddings()
        for hook in self._require_grads_hooks:
            if hook.id in patches._forward_hooks:
                hook.remove()

    @staticmethod
    def _load_pretrained_model(model: PreTrainedModel, *args: Any, **kwargs: Any) -> Any:
        """Leaves what only a `llava_next` tower has out of the report, of an adapter's weights as of a model's."""
        report, rest = PreTrainedModel._load_pretrained_model(model, *args, **kwargs)
        patterns = [re.compile(pattern) for pattern in model._keys_to_ignore_on_load_unexpected or ()]
        report.unexpected_keys = {
            key for key in report.unexpected_keys if not any(pattern.search(key) for pattern in patterns)
        }
        return report, rest

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str] | None, *model_args: Any, **kwargs: Any
    ) -> Any:
        """Loads a checkpoint that holds this model's weights, all of them and no others.

        Args:
            pretrained_model_name_or_path: Directory or Hub id of an `amalia_vl` checkpoint, or of a `llava_next` or
                `llava_onevision` one.
            model_args: As in transformers.
            kwargs: As in transformers. With `output_loading_info=True` nothing is refused: the report says it.

        Raises:
            ValueError: Weights are missing, and would be made up, or there are some that have no place here.
        """
        wants_report = kwargs.pop("output_loading_info", False)
        model, report = super().from_pretrained(
            pretrained_model_name_or_path, *model_args, output_loading_info=True, **kwargs
        )
        if wants_report:
            return model, report
        require_whole(pretrained_model_name_or_path or "the state dict", report)
        return model

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """Saves weights under the names they have here, with the code that loads them.

        A model read from a `llava_next` directory would otherwise get that directory's key names back, and a training
        run that resumes from it would lose its weights. With `save_original_format=True` they are saved as
        `llava_next`, a model of videos as `llava_onevision`: names and config, with the canvases of the checkpoint
        that was loaded or else all of at most 12 tiles; `amalia-vl convert export` writes the processor as well.
        """
        for module in self.modules():  # the parts' dtypes too, or loading would fill them in and a second save differ
            if isinstance(module, PreTrainedModel):
                module.config.dtype = module.dtype
        if kwargs.pop("save_original_format", False):
            save_as_llava(self, save_directory, *args, **kwargs)
            return
        self.config.auto_map = dict(AUTO_MAP)
        super().save_pretrained(save_directory, *args, save_original_format=False, **kwargs)


__all__ = ["AmaliaVLPreTrainedModel"]
