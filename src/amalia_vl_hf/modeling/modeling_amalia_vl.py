"""AMALIA-VL: SigLIP tiles, a two-layer connector and a causal decoder (paper, section 3).

The model never sees original sizes: `tile_layouts` says how the tiles of each image lie, and the processor owns why.
"""

import math
import os
import re
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, Cache, PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, CausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple

from .adapter_targets_amalia_vl import require_targets
from .checkpoint_names_amalia_vl import register_names, require_whole, tower_keys_left_behind
from .configuration_amalia_vl import AmaliaVLConfig
from .generation_amalia_vl import AmaliaVLGenerationMixin
from .image_slots_amalia_vl import ids_without_slots, put_visual_tokens
from .known_inputs_amalia_vl import refuse_unknown_inputs
from .llava_next_saving_amalia_vl import save_as_llava_next
from .raw_pixels_amalia_vl import normalised
from .tile_layouts_amalia_vl import ImageLayout, split_tile_layouts

# `save_pretrained` would name only the class that is saved; a repository must answer every Auto class.
AUTO_MAP = {
    "AutoConfig": "configuration_amalia_vl.AmaliaVLConfig",
    "AutoModel": "modeling_amalia_vl.AmaliaVLModel",
    "AutoModelForImageTextToText": "modeling_amalia_vl.AmaliaVLForConditionalGeneration",
    "AutoModelForMultimodalLM": "modeling_amalia_vl.AmaliaVLForConditionalGeneration",
    "AutoModelForVision2Seq": "modeling_amalia_vl.AmaliaVLForConditionalGeneration",
}


class AmaliaVLConnector(nn.Module):
    """Maps patch features to the decoder's width: linear, activation, linear (paper, section 3)."""

    def __init__(self, config: AmaliaVLConfig) -> None:
        super().__init__()
        d_vision, d_text = config.vision_config.hidden_size, config.text_config.hidden_size
        self.linear_1 = nn.Linear(d_vision, d_text, bias=config.connector_bias)
        self.act = ACT2FN[config.connector_act]
        self.linear_2 = nn.Linear(d_text, d_text, bias=config.connector_bias)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return self.linear_2(self.act(self.linear_1(patches)))  # (..., d_vision) -> (..., d_text)


class AmaliaVLNewline(nn.Module):
    """The vector that closes each row of an image.

    A module of its own, not a bare parameter of the model: what moves weights by module (offloading, ZeRO-3, adapters'
    `modules_to_save`) sees it.
    """

    def __init__(self, config: AmaliaVLConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.text_config.hidden_size))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.weight.to(features)  # (d_text,)


class AmaliaVLPreTrainedModel(PreTrainedModel):
    """Flags, initialisation and saving shared by the two models."""

    config_class = AmaliaVLConfig
    base_model_prefix = "model"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

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
            pretrained_model_name_or_path: Directory or Hub id of an `amalia_vl` checkpoint, or of a `llava_next` one.
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
        `llava_next`, names and config, with the canvases of the checkpoint that was loaded or else all of at most 12
        tiles; `amalia-vl convert export` writes the processor as well.
        """
        for module in self.modules():  # the parts' dtypes too, or loading would fill them in and a second save differ
            if isinstance(module, PreTrainedModel):
                module.config.dtype = module.dtype
        if kwargs.pop("save_original_format", False):
            save_as_llava_next(self, save_directory, *args, **kwargs)
            return
        self.config.auto_map = dict(AUTO_MAP)
        super().save_pretrained(save_directory, *args, save_original_format=False, **kwargs)


class AmaliaVLModel(AmaliaVLPreTrainedModel):
    """The tower, the connector and the decoder without its head."""

    def __init__(self, config: AmaliaVLConfig) -> None:
        super().__init__(config)
        entries = config.text_config.vocab_size
        if not 0 <= config.image_token_id < entries:
            raise ValueError(
                f"image_token_id is {config.image_token_id}, but the decoder's vocabulary has the ids 0 to "
                f"{entries - 1}; was <image> added to the tokenizer and not to the embeddings?"
            )
        self.vision_tower = AutoModel.from_config(config.vision_config, trust_remote_code=False)
        self.vision_tower.post_layernorm = nn.Identity()  # features are taken before it
        self.multi_modal_projector = AmaliaVLConnector(config)  # the paper's connector; the LLaVA family's name
        self.image_newline = AmaliaVLNewline(config)
        self.language_model = AutoModel.from_config(config.text_config, trust_remote_code=False)
        self._keys_to_ignore_on_load_unexpected = tower_keys_left_behind(config)
        self.post_init()

    def _adjust_missing_and_unexpected_keys(self, loading_info: Any) -> None:
        """Leaves the head of a whole checkpoint out of the report.

        Not by `_keys_to_ignore_on_load_unexpected`, which vLLM takes for weights that the whole model can do without.
        """
        super()._adjust_missing_and_unexpected_keys(loading_info)
        heads = {"lm_head.weight", "language_model.lm_head.weight"}
        loading_info.unexpected_keys = {key for key in loading_info.unexpected_keys if key not in heads}

    def encode_tiles(
        self, pixel_values: torch.Tensor, **kwargs: Any
    ) -> tuple[torch.Tensor, BaseModelOutputWithPooling]:
        """Tower and connector over tiles, whatever image they belong to; compiles as one graph.

        Args:
            pixel_values: `(tiles, 3, S, S)`, normalised, or raw grey levels in uint8.
            kwargs: `output_hidden_states` and `output_attentions` of the tower.

        Returns:
            `(tiles, side**2, d_text)`, and what the tower gave.
        """
        if pixel_values.dtype == torch.uint8:
            pixel_values = normalised(pixel_values, self.config)
        tower = self.vision_tower(pixel_values.to(self.vision_tower.dtype), **kwargs)
        return self.multi_modal_projector(tower.last_hidden_state), tower

    @can_return_tuple
    def get_image_features(
        self, pixel_values: torch.Tensor, tile_layouts: torch.Tensor, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """Encodes a batch's tiles into the visual tokens of its images.

        Args:
            pixel_values: `(tiles, 3, S, S)`, every tile of the batch: image after image, each thumbnail first;
                normalised, or raw grey levels in uint8.
            tile_layouts: `(tiles, 4)`, see [`split_tile_layouts`].
            kwargs: `output_hidden_states`, `output_attentions`: what else of the tower to give.

        Returns:
            `last_hidden_state` `(tiles, side**2, d_text)` and, as `pooler_output`, one `(visual tokens, d_text)` an
            image; the tower's `hidden_states` and `attentions` where they are asked for.

        Raises:
            ValueError: Tiles and layouts disagree, or a tile has another size or dtype than the tower takes.
        """
        refuse_unknown_inputs(kwargs)
        self._check_pixels(pixel_values)
        # Layouts are read before the tower is queued, or the host would wait for it.
        layouts = split_tile_layouts(tile_layouts, len(pixel_values), self.config.patches_per_side)
        outputs = {name: kwargs[name] for name in ("output_hidden_states", "output_attentions") if name in kwargs}
        tiles, tower = self.encode_tiles(pixel_values, **outputs)  # (tiles, side**2, d_text)
        images = torch.split(tiles, [layout.tiles for layout in layouts])
        newline = self.image_newline(tiles)  # once, however many images: ranks must run each module equally often
        packed = [self._pack_image(image, layout, newline) for image, layout in zip(images, layouts, strict=True)]
        return BaseModelOutputWithPooling(
            last_hidden_state=tiles,
            pooler_output=packed,
            hidden_states=tower.hidden_states,
            attentions=tower.attentions,
        )

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.Tensor | None = None,
        tile_layouts: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        mm_token_type_ids: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Runs the model up to the decoder's last hidden state.

        Modules run in one order whatever the batch holds (embeddings, tower, connector, decoder): ranks that gather
        weights together must meet in each of them.

        Args:
            input_ids: `(batch, tokens)`, with one `<image>` for each visual token.
            pixel_values: `(tiles, 3, S, S)`, of the images whose `<image>` tokens are in `input_ids` (later turns pass
                only their new images).
            tile_layouts: `(tiles, 4)`, see [`split_tile_layouts`].
            attention_mask: `(batch, tokens)`, or anything the decoder takes.
            position_ids: `(batch, tokens)`.
            past_key_values: Cache of earlier tokens.
            inputs_embeds: `(batch, tokens, d_text)` instead of `input_ids`.
            use_cache: Whether to return a cache.
            mm_token_type_ids: Accepted because processors return it; image positions are read from `input_ids`.
            mm_encoder_outputs: `{"image": get_image_features(...)}`, instead of `pixel_values`.
            kwargs: Passed to the decoder; `return_dict=False` gives a tuple.

        Returns:
            The decoder's output.

        Raises:
            ValueError: Inputs contradict each other, or `<image>` tokens and visual tokens are not as many.
        """
        refuse_unknown_inputs(kwargs)
        text = inputs_embeds if input_ids is None else input_ids
        if text is None or (input_ids is not None and inputs_embeds is not None):
            raise ValueError("pass either input_ids or inputs_embeds, one of the two")
        if (pixel_values is None) != (tile_layouts is None):
            missing = "tile_layouts" if tile_layouts is None else "pixel_values"
            raise ValueError(f"{missing} is missing: pixel_values and tile_layouts come together from the processor")
        images = (mm_encoder_outputs or {}).get("image")
        if images is not None and pixel_values is not None:
            raise ValueError("pass either pixel_values or mm_encoder_outputs['image'], not both")
        has_pixels = pixel_values is not None and len(pixel_values) > 0
        marked = getattr(images, "slots", None)  # by `generate`, which knows what the prompt was
        if inputs_embeds is None:
            if images is None and not has_pixels:
                text = ids_without_slots(text, self.config.image_token_id)
            inputs_embeds = self.get_input_embeddings()(text)
        if has_pixels:
            images = self.get_image_features(pixel_values, tile_layouts, return_dict=True)
        if images is not None and sum(map(len, images.pooler_output)) > 0:
            visual = torch.cat(list(images.pooler_output)).to(inputs_embeds)  # (visual tokens, d_text)
            slots = self.image_slots(text) if marked is None else marked
            inputs_embeds = put_visual_tokens(inputs_embeds, slots, visual)
        else:
            inputs_embeds = self._touch_vision_modules(inputs_embeds, past_key_values)
        return self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **kwargs,
        )

    def _check_pixels(self, pixel_values: torch.Tensor) -> None:
        vision = self.config.vision_config
        expected = (vision.num_channels, vision.image_size, vision.image_size)
        if tuple(pixel_values.shape[1:]) != expected:
            raise ValueError(
                f"pixel_values has shape {tuple(pixel_values.shape)}, but the tower takes {('tiles', *expected)}; "
                "were the images prepared by another model's processor?"
            )
        raw = pixel_values.dtype == torch.uint8
        if pixel_values.is_floating_point() or (raw and self.config.image_mean and self.config.image_std):
            return
        remedy = "; for raw pixels, write the model anew with `amalia-vl convert`, so that its config has image_mean "
        raise ValueError(
            f"pixel_values is {pixel_values.dtype}, but the tower takes normalised {self.dtype}; "
            f"was normalisation left out?{remedy + 'and image_std' if raw else ''}"
        )

    def _pack_image(self, tiles: torch.Tensor, layout: ImageLayout, newline: torch.Tensor) -> torch.Tensor:
        """Joins one image's `(tiles, side**2, d_text)` into its `(visual tokens, d_text)`.

        The thumbnail, then the grid row by row, cut to the picture, each row closed by the newline vector. An image
        without tiles is its thumbnail and one newline.
        """
        thumbnail, grid = tiles[0], tiles[1:]
        if layout.rows == 0:
            return torch.cat((thumbnail, newline[None]))
        rows, cols, pad_rows, pad_cols = layout
        side, width = self.config.patches_per_side, tiles.shape[-1]
        grid = grid.reshape(rows, cols, side, side, width).transpose(1, 2)  # (rows, side, cols, side, d_text)
        grid = grid.reshape(rows * side, cols * side, width)
        grid = grid[pad_rows : rows * side - pad_rows, pad_cols : cols * side - pad_cols]
        ends = newline.expand(grid.shape[0], 1, width)
        return torch.cat((thumbnail, torch.cat((grid, ends), dim=1).flatten(0, 1)))

    def image_slots(self, text: torch.Tensor) -> torch.Tensor:
        """Marks the `<image>` positions, `(batch, tokens)`, of ids `(batch, tokens)` or embeddings."""
        if not text.is_floating_point():
            return text == self.config.image_token_id
        image_token = torch.tensor(self.config.image_token_id, device=text.device)
        return (text == self.get_input_embeddings()(image_token).to(text.device)).all(-1)

    def _touch_vision_modules(self, inputs_embeds: torch.Tensor, past_key_values: Cache | None) -> torch.Tensor:
        """Runs one zero tile, times zero, where other ranks may be running their images.

        Without it a rank whose batch holds only text leaves the gathering of weights, and of gradients, to the others,
        and all of them wait for ever.
        """
        if not self.training and not _several_ranks():
            return inputs_embeds
        if past_key_values is not None and past_key_values.get_seq_length() > 0:
            return inputs_embeds
        vision = self.config.vision_config
        blank = inputs_embeds.new_zeros(1, vision.num_channels, vision.image_size, vision.image_size)
        tiles, _ = self.encode_tiles(blank)
        touched = self._pack_image(tiles, ImageLayout(0, 0, 0, 0), self.image_newline(tiles))
        return inputs_embeds + (0 * touched).sum().to(inputs_embeds.dtype)


class AmaliaVLForConditionalGeneration(AmaliaVLPreTrainedModel, AmaliaVLGenerationMixin):
    """AMALIA-VL with its language-model head.

    Example:
        ```python
        from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLProcessor

        processor = AmaliaVLProcessor.from_pretrained("amalia-llm/AMALIA-VL-DPO")
        model = AmaliaVLForConditionalGeneration.from_pretrained("amalia-llm/AMALIA-VL-DPO")
        ```
    """

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}
    _tp_plan = {"lm_head": "colwise_gather_output"}  # tied to embeddings that are split over ranks

    def __init__(self, config: AmaliaVLConfig) -> None:
        super().__init__(config)
        self.model = AmaliaVLModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_image_features(
        self, pixel_values: torch.Tensor, tile_layouts: torch.Tensor, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """See [`AmaliaVLModel.get_image_features`]."""
        return self.model.get_image_features(pixel_values, tile_layouts, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.Tensor | None = None,
        tile_layouts: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        mm_token_type_ids: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Runs the model and its head; arguments as in [`AmaliaVLModel.forward`].

        Args:
            input_ids: `(batch, tokens)`.
            pixel_values: `(tiles, 3, S, S)`.
            tile_layouts: `(tiles, 4)`.
            attention_mask: `(batch, tokens)`.
            position_ids: `(batch, tokens)`.
            past_key_values: Cache of earlier tokens.
            inputs_embeds: `(batch, tokens, d_text)`.
            labels: `(batch, tokens)`, -100 where nothing is to be learned; shifted inside.
            use_cache: Whether to return a cache.
            logits_to_keep: Last positions to score (0: all), or their indices.
            mm_token_type_ids: Not used.
            mm_encoder_outputs: `{"image": get_image_features(...)}`.
            kwargs: Passed to the decoder and the loss.

        Returns:
            `logits` `(batch, kept tokens, vocabulary)`, without the final soft cap that gemma2 alone would apply (nor
            does the stock class of the published checkpoints), and `loss` when there are labels.
        """
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            tile_layouts=tile_layouts,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            mm_token_type_ids=mm_token_type_ids,
            mm_encoder_outputs=mm_encoder_outputs,
            return_dict=True,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])  # (batch, kept tokens, vocabulary)
        loss = None
        if labels is not None:
            vocab_size = self.config.text_config.vocab_size
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=vocab_size, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


def _several_ranks() -> bool:
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


register_names("AmaliaVLForConditionalGeneration", "AmaliaVLModel", AmaliaVLConfig.model_type)

AmaliaVLModel.register_for_auto_class("AutoModel")
AmaliaVLForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")

__all__ = ["AmaliaVLForConditionalGeneration", "AmaliaVLModel", "AmaliaVLPreTrainedModel"]
