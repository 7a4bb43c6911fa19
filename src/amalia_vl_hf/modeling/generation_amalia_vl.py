"""What `generate` does about images and videos: encodes them once, marks their slots, gives each forward its own."""

from typing import Any

import torch
from transformers import Cache, GenerationConfig, GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .known_inputs_amalia_vl import CACHE, cached_tokens
from .visual_slots_amalia_vl import PIXEL_INPUTS, AmaliaVLPromptFeatures, pixels_given


class AmaliaVLGenerationMixin(GenerationMixin):
    """`generate`, which decides which images and videos belong to the ids of each forward."""

    def _maybe_prepare_encoder_kwargs_for_generation(
        self,
        inputs_tensor: torch.Tensor,
        model_kwargs: dict[str, Any],
        model_input_name: str | None,
        generation_config: GenerationConfig,
    ) -> dict[str, Any]:
        """Encodes images and videos when `generate` starts, and marks which ids of its prompt take them."""
        self._refuse_to_generate_without_cache()
        encoded = dict(model_kwargs.get("mm_encoder_outputs") or {})
        model_kwargs["mm_encoder_outputs"] = encoded
        cached = cached_tokens(model_kwargs.get(CACHE))
        kinds = self.config.slot_ids
        if main := _marked(encoded):  # of the model that this one drafts for
            mine = {kind: features for kind, features in main.items() if kind in kinds}
            seen = {
                kind: self._seen_by_draft(kind, features, inputs_tensor)
                for kind, features in mine.items()
                if cached < features.mark.shape[1]
            }
            model_kwargs["mm_encoder_outputs"] = mine | seen
            return model_kwargs
        given = pixels_given(model_kwargs, self.config)
        for name in PIXEL_INPUTS:
            model_kwargs.pop(name, None)
        encoded |= self.model.encode_visuals(given, encoded)
        by_ids = model_input_name == "input_ids"
        mask = model_kwargs.get("attention_mask")
        known = getattr(generation_config, "_mask_length", -1) if mask is None else mask.shape[1]
        whole = not by_ids or known == inputs_tensor.shape[1]  # the cached ids are passed again
        for kind in kinds:
            pixels, layout = given.get(kind, (None, None))
            encoded[kind] = AmaliaVLPromptFeatures.of(
                self.model.slots(inputs_tensor, kind),
                self._visual_tokens(encoded.get(kind), inputs_tensor.device),
                past=cached if whole else 0,
                kind=kind,
                offset=0 if whole else cached,
                encoder=id(self),
                pixels=pixels,
                layout=layout,
            )
        return model_kwargs

    def _refuse_to_generate_without_cache(self) -> None:
        if self.training and self.is_gradient_checkpointing:
            raise ValueError(
                "generate in training mode with gradient checkpointing, which turns the cache off inside: every token "
                "after the first would be another one; call model.eval() before"
            )

    def _seen_by_draft(
        self, kind: str, main: AmaliaVLPromptFeatures, input_ids: torch.Tensor
    ) -> AmaliaVLPromptFeatures:
        """Encodes what the main model sees with this model's tower, for a draft that begins without a cache."""
        slots = self.model.slots(input_ids[:, : main.mark.shape[1]], kind)
        uncut = torch.equal(slots, main.mark)
        if main.pixels is None or main.layout is None or (main.encoder == id(self) and uncut):
            return main
        features = self.model.encode_visuals({kind: (main.pixels, main.layout)})
        visual = self._visual_tokens(features[kind], input_ids.device)
        new_only = int(main.mark.sum()) == len(visual)
        return AmaliaVLPromptFeatures.of(
            main.mark if new_only else slots, visual, past=0, kind=kind, offset=0, encoder=id(self)
        )

    def _visual_tokens(self, features: BaseModelOutputWithPooling | None, device: torch.device) -> torch.Tensor:
        visual = list(features.pooler_output) if features is not None else []
        return torch.cat(visual).to(device) if visual else torch.zeros(0, 1, device=device)

    def _expand_multimodal_outputs(
        self, input_ids: torch.Tensor, mm_encoder_output: dict[str, Any], expand_size: int = 1, **kwargs: Any
    ) -> dict[str, Any]:
        marked = _marked(mm_encoder_output)
        return mm_encoder_output | {kind: features.repeated(expand_size) for kind, features in marked.items()}

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.LongTensor,
        next_sequence_length: int | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        is_first_iteration: bool | None = False,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        cache: Cache | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Gives a forward of `generate` its ids, and the images and videos whose slots are among them.

        Arguments as in transformers, which looks here for the names that `generate` takes: a cache has two.
        """
        cache = past_key_values if cache is None else cache
        if not is_first_iteration and kwargs.get("use_cache", True):
            kwargs = {name: value for name, value in kwargs.items() if name not in PIXEL_INPUTS}
        marked = _marked(mm_encoder_outputs)
        first = next(iter(marked.values()), None)
        if first is not None and next_sequence_length is None:
            next_sequence_length = first.uncached(input_ids.shape[1], cached_tokens(cache))
        elif first is None and mm_encoder_outputs:  # of a loop written by hand
            kwargs["mm_encoder_outputs"] = mm_encoder_outputs
        model_inputs = super().prepare_inputs_for_generation(
            input_ids,
            next_sequence_length=next_sequence_length,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **{CACHE: cache},
            **kwargs,
        )
        if first is not None:
            embeds = model_inputs.get("inputs_embeds")
            width = (model_inputs["input_ids"] if embeds is None else embeds).shape[1]
            start = input_ids.shape[1] - width
            if start >= first.mark.shape[1] and width == 1:
                return model_inputs  # a decode step: nothing to look up
            if cache is not None and start < first.mark.shape[1]:
                start = cached_tokens(cache) - (first.offset or 0)
            model_inputs["mm_encoder_outputs"] = {kind: each.within(start, width) for kind, each in marked.items()}
        return model_inputs


def _marked(outputs: dict[str, Any] | None) -> dict[str, AmaliaVLPromptFeatures]:
    return {kind: each for kind, each in (outputs or {}).items() if isinstance(each, AmaliaVLPromptFeatures)}


__all__ = ["AmaliaVLGenerationMixin"]
