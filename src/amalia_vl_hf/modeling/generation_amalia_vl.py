"""What `generate` does about images: encodes them once, marks the prompt's slots, gives each forward its own."""

from typing import Any

import torch
from transformers import Cache, GenerationConfig, GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .image_slots_amalia_vl import AmaliaVLPromptImages


class AmaliaVLGenerationMixin(GenerationMixin):
    """`generate`, which decides which images belong to the ids of each forward."""

    def _maybe_prepare_encoder_kwargs_for_generation(
        self,
        inputs_tensor: torch.Tensor,
        model_kwargs: dict[str, Any],
        model_input_name: str | None,
        generation_config: GenerationConfig,
    ) -> dict[str, Any]:
        """Encodes the images when `generate` starts, and marks which ids of its prompt take them."""
        self._refuse_to_generate_without_cache()
        encoded = dict(model_kwargs.get("mm_encoder_outputs") or {})
        origin = {name: model_kwargs.get(name) for name in ("pixel_values", "tile_layouts")}
        model_kwargs["mm_encoder_outputs"] = encoded
        cached = _cached_tokens(model_kwargs.get("past_key_values"))
        if isinstance(main := encoded.get("image"), AmaliaVLPromptImages):  # of the model that this one drafts for
            if cached < main.mark.shape[1]:
                encoded["image"] = self._seen_by_draft(main, inputs_tensor)
            return model_kwargs
        model_kwargs = super()._maybe_prepare_encoder_kwargs_for_generation(
            inputs_tensor, model_kwargs, model_input_name, generation_config
        )
        by_ids = model_input_name == "input_ids"
        mask = model_kwargs.get("attention_mask")
        known = getattr(generation_config, "_mask_length", -1) if mask is None else mask.shape[1]
        whole = not by_ids or known == inputs_tensor.shape[1]  # the cached ids are passed again
        encoded["image"] = AmaliaVLPromptImages.of(
            self.model.image_slots(inputs_tensor),
            self._visual_tokens(encoded.get("image"), inputs_tensor.device),
            past=cached if whole else 0,
            offset=0 if whole else cached,
            encoder=id(self),
            **origin,
        )
        return model_kwargs

    def _refuse_to_generate_without_cache(self) -> None:
        if self.training and any(getattr(module, "gradient_checkpointing", False) for module in self.modules()):
            raise ValueError(
                "generate in training mode with gradient checkpointing, which turns the cache off inside: every token "
                "after the first would be another one; call model.eval() before"
            )

    def _seen_by_draft(self, main: AmaliaVLPromptImages, input_ids: torch.Tensor) -> AmaliaVLPromptImages:
        """Encodes the main model's images with this model's tower, for a draft that begins without a cache."""
        slots = self.model.image_slots(input_ids[:, : main.mark.shape[1]])
        uncut = torch.equal(slots, main.mark)
        if main.pixel_values is None or (main.encoder == id(self) and uncut):
            return main
        visual = self._visual_tokens(
            self.model.get_image_features(main.pixel_values, main.tile_layouts), input_ids.device
        )
        new_only = int(main.mark.sum()) == len(visual)
        return AmaliaVLPromptImages.of(main.mark if new_only else slots, visual, past=0, offset=0, encoder=id(self))

    def _visual_tokens(self, images: BaseModelOutputWithPooling | None, device: torch.device) -> torch.Tensor:
        visual = list(images.pooler_output) if images is not None else []
        return torch.cat(visual).to(device) if visual else torch.zeros(0, 1, device=device)

    def _expand_multimodal_outputs(
        self, input_ids: torch.Tensor, mm_encoder_output: dict[str, Any], expand_size: int = 1, **kwargs: Any
    ) -> dict[str, Any]:
        images = mm_encoder_output["image"]
        return {**mm_encoder_output, "image": images.repeated(expand_size)}

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.LongTensor,
        next_sequence_length: int | None = None,
        past_key_values: Cache | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        is_first_iteration: bool | None = False,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Gives a forward of `generate` its ids, and the images whose slots are among them."""
        if not is_first_iteration and kwargs.get("use_cache", True):
            kwargs = {name: value for name, value in kwargs.items() if name not in ("pixel_values", "tile_layouts")}
        images = (mm_encoder_outputs or {}).get("image")
        marked = images if isinstance(images, AmaliaVLPromptImages) else None
        if marked is not None and next_sequence_length is None:
            next_sequence_length = marked.uncached(input_ids.shape[1], _cached_tokens(past_key_values))
        elif marked is None and mm_encoder_outputs:  # of a loop written by hand
            kwargs["mm_encoder_outputs"] = mm_encoder_outputs
        model_inputs = super().prepare_inputs_for_generation(
            input_ids,
            next_sequence_length=next_sequence_length,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
        if marked is not None:
            embeds = model_inputs.get("inputs_embeds")
            width = (model_inputs["input_ids"] if embeds is None else embeds).shape[1]
            start = input_ids.shape[1] - width
            if start >= marked.mark.shape[1] and width == 1:
                return model_inputs  # a decode step: nothing to look up
            if past_key_values is not None and start < marked.mark.shape[1]:
                start = _cached_tokens(past_key_values) - (marked.offset or 0)
            model_inputs["mm_encoder_outputs"] = {"image": marked.within(start, width)}
        return model_inputs


def _cached_tokens(cache: Cache | None) -> int:
    return 0 if cache is None else int(cache.get_seq_length())


__all__ = ["AmaliaVLGenerationMixin"]
