"""AMALIA-VL: SigLIP tiles, a two-layer connector and a causal decoder (paper, section 3).

The model never sees original sizes: `tile_layouts` says how the tiles of each image lie, and the processor owns why.
Videos, of which TowerVideo reads `video_frames` frames each, are not tiled (TowerVision paper, section 2.2).
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, Cache
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, CausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple

from .checkpoint_names_amalia_vl import register_names, tower_keys_left_behind
from .configuration_amalia_vl import AmaliaVLConfig
from .connector_amalia_vl import AmaliaVLConnector, AmaliaVLNewline
from .generation_amalia_vl import AmaliaVLGenerationMixin
from .known_inputs_amalia_vl import CACHE, cached_tokens, refuse_unknown_inputs
from .pretrained_amalia_vl import AmaliaVLPreTrainedModel
from .raw_pixels_amalia_vl import normalised, require_pixels
from .tile_layouts_amalia_vl import ImageLayout, split_tile_layouts
from .video_frames_amalia_vl import split_video_frames
from .visual_packing_amalia_vl import pack_image, pack_videos
from .visual_slots_amalia_vl import (
    PIXELS,
    Pair,
    ids_without_slots,
    pixels_given,
    put_visual_tokens,
    require_videos,
)


class AmaliaVLModel(AmaliaVLPreTrainedModel):
    """The tower, the connector and the decoder without its head."""

    def __init__(self, config: AmaliaVLConfig) -> None:
        super().__init__(config)
        entries = config.text_config.vocab_size
        for kind, token_id in config.slot_ids.items():
            if not 0 <= token_id < entries:
                raise ValueError(
                    f"{kind}_token_id is {token_id}, but the decoder's vocabulary has the ids 0 to {entries - 1}; was "
                    f"<{kind}> added to the tokenizer and not to the embeddings?"
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
        tower = self.vision_tower(self._taken(pixel_values), **kwargs)
        return self.multi_modal_projector(tower.last_hidden_state), tower

    def _taken(self, pixels: torch.Tensor) -> torch.Tensor:
        """Gives pixels as the tower takes them."""
        if pixels.dtype == torch.uint8:
            pixels = normalised(pixels, self.config)
        return pixels.to(self.vision_tower.dtype)

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
        require_pixels(pixel_values, self.config, self.dtype, "pixel_values")
        # Layouts are read before the tower is queued, or the host would wait for it.
        layouts = split_tile_layouts(tile_layouts, len(pixel_values), self.config.patches_per_side)
        tiles, tower = self.encode_tiles(pixel_values, **_tower_outputs(kwargs))  # (tiles, side**2, d_text)
        newline = self.image_newline(tiles)  # once, however many images: ranks must run each module equally often
        return _features(tiles, self._packed_images(tiles, layouts, newline), tower)

    @can_return_tuple
    def get_video_features(
        self, pixel_values_videos: torch.Tensor, video_frames: torch.Tensor, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """Encodes a batch's frames into the visual tokens of its videos.

        Args:
            pixel_values_videos: `(frames, 3, S, S)`, every frame of the batch, video after video; normalised, or raw
                grey levels in uint8.
            video_frames: `(videos,)`, see [`split_video_frames`].
            kwargs: As [`AmaliaVLModel.get_image_features`].

        Returns:
            `last_hidden_state` `(frames, side**2, d_text)` and, as `pooler_output`, one `(visual tokens, d_text)` a
            video; the tower's `hidden_states` and `attentions` where they are asked for.

        Raises:
            ValueError: The model takes no videos, frames and their numbers disagree, or a frame has another size or
                dtype than the tower takes.
        """
        refuse_unknown_inputs(kwargs)
        lengths = self._read_videos(pixel_values_videos, video_frames)
        frames, tower = self.encode_tiles(pixel_values_videos, **_tower_outputs(kwargs))  # (frames, side**2, d_text)
        newline = self.image_newline(frames)
        return _features(frames, pack_videos(frames, lengths, newline, self.config.patches_per_side), tower)

    def encode_visuals(
        self, given: Mapping[str, Pair], encoded: Mapping[str, Any] | None = None
    ) -> dict[str, BaseModelOutputWithPooling]:
        """Encodes what a batch shows in one run of the tower, be it images, videos or both.

        Args:
            given: By kind, "image" or "video", the pixels and how they lie.
            encoded: Features that there are already.

        Returns:
            By kind, what `get_image_features` and `get_video_features` give.

        Raises:
            ValueError: Their reasons, a kind is given twice, or the model takes no videos.
        """
        known = {kind for kind, features in (encoded or {}).items() if features is not None}
        for kind in sorted(known & given.keys()):
            raise ValueError(f"pass either {PIXELS[kind][0]} or mm_encoder_outputs[{kind!r}], not both")
        if "video" in known:
            require_videos(self.config)
        if len(given) < 2:
            encode = {"image": self.get_image_features, "video": self.get_video_features}
            return {kind: encode[kind](*pair, return_dict=True) for kind, pair in given.items()}
        (pixels, tile_layouts), (pixels_videos, video_frames) = given["image"], given["video"]
        require_pixels(pixels, self.config, self.dtype, "pixel_values")
        layouts = split_tile_layouts(tile_layouts, len(pixels), self.config.patches_per_side)
        lengths = self._read_videos(pixels_videos, video_frames)
        both, _ = self.encode_tiles(torch.cat((self._taken(pixels), self._taken(pixels_videos))))
        newline = self.image_newline(both)
        tiles, frames = torch.split(both, [len(pixels), len(pixels_videos)])
        videos = pack_videos(frames, lengths, newline, self.config.patches_per_side)
        images = self._packed_images(tiles, layouts, newline)
        return {"image": _features(tiles, images), "video": _features(frames, videos)}

    def _packed_images(
        self, tiles: torch.Tensor, layouts: Sequence[ImageLayout], newline: torch.Tensor
    ) -> list[torch.Tensor]:
        images = torch.split(tiles, [layout.tiles for layout in layouts])
        side, pool = self.config.patches_per_side, self.config.pool_above_tiles
        return [pack_image(*image, newline, side, pool) for image in zip(images, layouts, strict=True)]

    def _read_videos(self, pixel_values_videos: torch.Tensor, video_frames: torch.Tensor) -> list[int]:
        require_videos(self.config)
        require_pixels(pixel_values_videos, self.config, self.dtype, "pixel_values_videos")
        return split_video_frames(video_frames, len(pixel_values_videos))

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.Tensor | None = None,
        tile_layouts: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        mm_token_type_ids: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        video_frames: torch.LongTensor | None = None,
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
            inputs_embeds: `(batch, tokens, d_text)` instead of `input_ids`.
            use_cache: Whether to return a cache.
            mm_token_type_ids: Accepted because processors return it; slots are read from `input_ids`.
            mm_encoder_outputs: `{"image": get_image_features(...), "video": get_video_features(...)}`, or one of them,
                instead of pixels.
            pixel_values_videos: `(frames, 3, S, S)`, of the videos whose `<video>` tokens are in `input_ids`.
            video_frames: `(videos,)`, see [`split_video_frames`].
            kwargs: Passed to the decoder, a cache of earlier tokens among them (`cache`; `past_key_values` before
                transformers 5.24); `return_dict=False` gives a tuple.

        Returns:
            The decoder's output.

        Raises:
            ValueError: Inputs contradict each other, or slots and visual tokens are not as many.
        """
        refuse_unknown_inputs(kwargs)
        text = inputs_embeds if input_ids is None else input_ids
        if text is None or (input_ids is not None and inputs_embeds is not None):
            raise ValueError("pass either input_ids or inputs_embeds, one of the two")
        given = pixels_given(
            {
                "pixel_values": pixel_values,
                "tile_layouts": tile_layouts,
                "pixel_values_videos": pixel_values_videos,
                "video_frames": video_frames,
            },
            self.config,
        )
        encoded = {kind: each for kind, each in (mm_encoder_outputs or {}).items() if each is not None}
        if inputs_embeds is None:
            for kind, token_id in self.config.slot_ids.items():
                if kind not in given and kind not in encoded:
                    text = ids_without_slots(text, token_id, kind)
            inputs_embeds = self.language_model.embed_tokens(text)
        shown = {}
        if given or encoded:  # not in a step of decoding
            shown = {**encoded, **self.encode_visuals(given, encoded)}
            shown = {kind: each for kind, each in shown.items() if sum(map(len, each.pooler_output or ())) > 0}
        if shown:
            inputs_embeds = self._put_into_slots(shown, text, inputs_embeds)
        else:
            inputs_embeds = self._touch_vision_modules(inputs_embeds, kwargs.get(CACHE))
        return self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
            **kwargs,
        )

    def _put_into_slots(
        self, shown: Mapping[str, BaseModelOutputWithPooling], text: torch.Tensor, inputs_embeds: torch.Tensor
    ) -> torch.Tensor:
        """Puts the visual tokens of each kind into its slots of `text`, ids or embeddings."""
        for kind, features in shown.items():
            visual = torch.cat(list(features.pooler_output or ())).to(inputs_embeds)  # (visual tokens, d_text)
            marked = getattr(features, "slots", None)  # by `generate`, which knows what the prompt was
            slots = self.slots(text, kind) if marked is None else marked
            inputs_embeds = put_visual_tokens(inputs_embeds, slots, visual, kind)
        return inputs_embeds

    def slots(self, text: torch.Tensor, kind: str) -> torch.Tensor:
        """Marks the `<image>` or `<video>` positions, `(batch, tokens)`, of ids `(batch, tokens)` or embeddings."""
        token_id = self.config.slot_ids[kind]
        if not text.is_floating_point():
            return text == token_id
        token = torch.tensor(token_id, device=text.device)
        return (text == self.get_input_embeddings()(token).to(text.device)).all(-1)

    def _touch_vision_modules(self, inputs_embeds: torch.Tensor, cache: Cache | None) -> torch.Tensor:
        """Runs one zero tile, times zero, where other ranks may be running their images.

        Without it a rank whose batch holds only text leaves the gathering of weights, and of gradients, to the others,
        and all of them wait for ever.
        """
        if not self.training and not _several_ranks():
            return inputs_embeds
        if cached_tokens(cache) > 0:
            return inputs_embeds
        vision = self.config.vision_config
        blank = inputs_embeds.new_zeros(1, vision.num_channels, vision.image_size, vision.image_size)
        tiles, _ = self.encode_tiles(blank)
        touched = pack_image(tiles, ImageLayout(0, 0, 0, 0), self.image_newline(tiles), self.config.patches_per_side)
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

    def get_video_features(
        self, pixel_values_videos: torch.Tensor, video_frames: torch.Tensor, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """See [`AmaliaVLModel.get_video_features`]."""
        return self.model.get_video_features(pixel_values_videos, video_frames, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.Tensor | None = None,
        tile_layouts: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        mm_token_type_ids: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        video_frames: torch.LongTensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Runs the model and its head; arguments as in [`AmaliaVLModel.forward`].

        Args:
            input_ids: `(batch, tokens)`.
            pixel_values: `(tiles, 3, S, S)`.
            tile_layouts: `(tiles, 4)`.
            attention_mask: `(batch, tokens)`.
            position_ids: `(batch, tokens)`.
            inputs_embeds: `(batch, tokens, d_text)`.
            labels: `(batch, tokens)`, -100 where nothing is to be learned; shifted inside.
            use_cache: Whether to return a cache.
            logits_to_keep: Last positions to score (0: all), or their indices.
            mm_token_type_ids: Not used.
            mm_encoder_outputs: `{"image": get_image_features(...), "video": get_video_features(...)}`.
            pixel_values_videos: `(frames, 3, S, S)`.
            video_frames: `(videos,)`.
            kwargs: Passed to the decoder, a cache among them, and to the loss.

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
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            mm_token_type_ids=mm_token_type_ids,
            mm_encoder_outputs=mm_encoder_outputs,
            pixel_values_videos=pixel_values_videos,
            video_frames=video_frames,
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
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            **{CACHE: outputs.get(CACHE)},
        )


def _features(tiles: torch.Tensor, packed: list[torch.Tensor], tower: Any = None) -> BaseModelOutputWithPooling:
    return BaseModelOutputWithPooling(
        last_hidden_state=tiles,
        pooler_output=packed,
        hidden_states=getattr(tower, "hidden_states", None),
        attentions=getattr(tower, "attentions", None),
    )


def _tower_outputs(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: kwargs[name] for name in ("output_hidden_states", "output_attentions") if name in kwargs}


def _several_ranks() -> bool:
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


# `generate` reads it at each step of a class that is registered for Auto classes: 0.1 ms, were it worked out anew.
setattr(  # noqa: B010  # a plain assignment is nothing that types know of methods
    AmaliaVLForConditionalGeneration.forward,
    "__signature__",
    inspect.signature(AmaliaVLForConditionalGeneration.forward),
)

register_names("AmaliaVLForConditionalGeneration", "AmaliaVLModel", AmaliaVLConfig.model_type)

AmaliaVLModel.register_for_auto_class("AutoModel")
AmaliaVLForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")

__all__ = ["AmaliaVLForConditionalGeneration", "AmaliaVLModel", "AmaliaVLPreTrainedModel"]
