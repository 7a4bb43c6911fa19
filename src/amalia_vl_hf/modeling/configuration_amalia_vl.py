"""Configuration of AMALIA-VL: a SigLIP tower, a two-layer connector and any causal decoder."""

import copy
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, AutoConfig, LlavaNextConfig, LlavaOnevisionConfig, PreTrainedConfig
from transformers.utils import IMAGE_PROCESSOR_NAME, PROCESSOR_NAME, cached_file

TOWER_MODEL_TYPE = "siglip_vision_model"

# SigLIP2-SO400M-patch16-384: 24 x 24 = 576 patches a tile (paper, section 3).
SIGLIP2_SO400M_PATCH16_384 = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 16,
}

# AMALIA-9B has EuroLLM-9B's shape; its 128,000 entries and `<image>` are padded to a multiple of 64.
AMALIA_9B = {
    "vocab_size": 128064,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 42,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 32768,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 4,
    "pad_token_id": 2,
}

HUB_OPTIONS = ("cache_dir", "local_files_only", "revision", "subfolder", "token")  # where a directory's files are

# Far above any model's: a config is a stranger's, and each layer takes time and memory before weights are missed.
MOST_LAYERS, MOST_VALUES, MOST_NESTED = 1000, 20_000, 32

# What a `llava_next` config means where it is silent: transformers leaves defaults out when it saves.
LLAVA_NEXT_DEFAULTS = {
    "image_token_index": 32000,
    "projector_hidden_act": "gelu",
    "multimodal_projector_bias": True,
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default",
    "tie_word_embeddings": False,
}
LLAVA_ONEVISION_DEFAULTS = {
    **LLAVA_NEXT_DEFAULTS,
    "image_token_index": 151646,
    "video_token_index": 151647,
    "vision_feature_layer": -1,
    "vision_feature_select_strategy": "full",
    "vision_aspect_ratio": "anyres_max_9",
}
LLAVA_ONEVISION_TOWER = {**SIGLIP2_SO400M_PATCH16_384, "patch_size": 14, "num_hidden_layers": 26}


@strict
class AmaliaVLConfig(PreTrainedConfig):
    """Configuration of [`AmaliaVLForConditionalGeneration`].

    The features are the tower's last hidden state, before any final norm: a checkpoint whose feature layer lies deeper
    in its tower has a shallower tower here (`vision_config.num_hidden_layers`). Tiling belongs to the processor.

    Args:
        text_config: The decoder, any causal language model. Defaults to AMALIA-9B's shape.
        vision_config: A `siglip_vision_model`. Defaults to SigLIP2-SO400M-patch16-384.
        image_token_id: Id of `<image>`, of which the processor puts one for each visual token.
        video_token_id: Id of `<video>`, likewise; None in a model that takes no videos.
        pool_above_tiles: The grid of a large image, its padding cut, is pooled to about as many patches as so many
            tiles have (`anyres_max_9` of LLaVA-OneVision: 9). None leaves every grid as it is, as LLaVA-NeXT does.
        connector_act: Activation between the connector's two linear layers.
        connector_bias: Whether these layers have biases.
        tie_word_embeddings: Whether `lm_head` shares the decoder's input embeddings.
        image_mean: Mean of each channel, in parts of full scale, as the processor has it; with `image_std`, the model
            takes uint8 pixels and normalises them itself. Conversion and training fill both in.
        image_std: Standard deviation of each channel, in parts of full scale.

    Raises:
        ValueError: The tower is not a `siglip_vision_model`, or smaller than one patch; `<video>` is `<image>`; grids
            cannot be pooled to `pool_above_tiles`, or pixels not normalised by `image_mean` and `image_std`.

    Example:
        ```python
        >>> from amalia_vl_hf import AmaliaVLConfig
        >>> config = AmaliaVLConfig()
        >>> config.patches_per_side
        24

        ```
    """

    model_type = "amalia_vl"
    sub_configs = {"text_config": AutoConfig, "vision_config": AutoConfig}
    keys_to_ignore_at_inference = ["past_key_values", "cache"]  # before, and from transformers 5.24

    text_config: Any = None
    vision_config: Any = None
    image_token_id: int = 128000
    video_token_id: int | None = None
    pool_above_tiles: int | None = None
    connector_act: str = "gelu"
    connector_bias: bool = True
    tie_word_embeddings: bool = False
    image_mean: list[float] | None = None
    image_std: list[float] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        self.text_config = _sub_config(self.text_config, "llama", AMALIA_9B)
        self.vision_config = _sub_config(self.vision_config, TOWER_MODEL_TYPE, SIGLIP2_SO400M_PATCH16_384)
        if self.vision_config.model_type != TOWER_MODEL_TYPE:
            raise ValueError(
                f"the vision tower is a {self.vision_config.model_type!r}, but AMALIA-VL takes {TOWER_MODEL_TYPE!r}: "
                "other towers have a class token or another feature layout"
            )
        self.vision_config.vision_use_head = False  # the pooling head would never get a gradient
        if self.patches_per_side < 1:
            raise ValueError(
                f"a tile of {self.vision_config.image_size} px holds no patch of {self.vision_config.patch_size} px"
            )
        if self.video_token_id == self.image_token_id:
            raise ValueError(f"<image> and <video> have one id, {self.image_token_id}; each needs its own")
        if self.pool_above_tiles is not None and self.pool_above_tiles < 1:
            raise ValueError(f"pool_above_tiles is {self.pool_above_tiles}; a grid keeps 1 tile's patches or more")
        for name in ("image_mean", "image_std"):
            channels = getattr(self, name)
            if channels is not None and (len(channels) != 3 or not all(map(math.isfinite, channels))):
                raise ValueError(f"{name} is {channels}; it has a finite number for each of the 3 channels")
        if 0 in (self.image_std or ()):
            raise ValueError(f"image_std is {self.image_std}; no channel can be divided by 0")
        for part in (self.text_config, self.vision_config):  # also of a config that was read as another class
            require_modest(
                {"num_hidden_layers": getattr(part, "num_hidden_layers", 0)}, f"the {part.model_type} config"
            )
        super().__post_init__(**kwargs)

    @property
    def patches_per_side(self) -> int:
        """Patches along a side of a tile: 24 for patch 16 at 384 px, 27 for patch 14 (6 px are not seen)."""
        return self.vision_config.image_size // self.vision_config.patch_size

    @property
    def slot_ids(self) -> dict[str, int]:
        """Id of the token that stands for a visual token of each kind, "image" and, in a model of videos, "video"."""
        videos = {} if self.video_token_id is None else {"video": self.video_token_id}
        return {"image": self.image_token_id, **videos}

    @property
    def num_hidden_layers(self) -> int:
        """Layers of the decoder, as `generate` reads and sets them to leave it early (`assistant_early_exit`)."""
        return self.text_config.num_hidden_layers

    @num_hidden_layers.setter
    def num_hidden_layers(self, layers: int) -> None:
        self.text_config.num_hidden_layers = layers

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reads a `config.json`; that of a `llava_next` or `llava_onevision` checkpoint is translated.

        The mean and std of the pixels come from beside it.
        """
        options = {name: kwargs[name] for name in HUB_OPTIONS if name in kwargs}
        try:
            config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        except RecursionError as error:
            raise ValueError(f"the config of {pretrained_model_name_or_path} has lists in one another") from error
        require_modest(config_dict, f"the config of {pretrained_model_name_or_path}")
        model_type = config_dict.get("model_type")
        if model_type in TRANSLATIONS:
            config_dict = TRANSLATIONS[model_type](config_dict)
            config_dict |= _normalisation(pretrained_model_name_or_path, options)
        elif model_type != cls.model_type:
            raise ValueError(
                f"{pretrained_model_name_or_path} holds a model of type {model_type!r}; {cls.__name__} reads "
                f"{cls.model_type!r}, 'llava_next' and 'llava_onevision'"
            )
        return config_dict, kwargs

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Builds a config; also where an Auto class has read the file."""
        require_modest(config_dict, f"the {cls.model_type} config")
        return super().from_dict(config_dict, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """Returns what is saved; what the source was matters only while it is read, and written back."""
        output = super().to_dict()
        output.pop("source_vision_layers", None)
        output.pop("source_grid_pinpoints", None)
        return output


def _normalisation(directory: str | os.PathLike[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Reads `image_mean` and `image_std` of a checkpoint's image processor, where it has one that can be read."""
    folder = Path(directory).parent if Path(directory).is_file() else directory
    for name in (PROCESSOR_NAME, IMAGE_PROCESSOR_NAME):
        file = cached_file(folder, name, _raise_exceptions_for_missing_entries=False, **options)
        with suppress(
            ValueError, AttributeError, RecursionError
        ):  # whoever loads the processor says what is wrong with it
            saved = json.loads(Path(file).read_text(encoding="utf-8")) if file else {}
            saved = saved.get("image_processor", saved)
            values = {key: saved.get(key) for key in ("image_mean", "image_std")}
            if None not in values.values():
                return {key: [value] * 3 if isinstance(value, float | int) else value for key, value in values.items()}
    return {}


def require_modest(settings: Any, where: str) -> None:
    """Refuses settings larger than those of any model: more values, deeper nesting, more layers or experts.

    Args:
        settings: What a JSON file holds.
        where: What it is, for the error.

    Raises:
        ValueError: A limit is passed.
    """
    values, count = [(settings, 0)], 0
    while values:
        value, depth = values.pop()
        inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
        count += len(inner)
        if count > MOST_VALUES or depth > MOST_NESTED:
            raise ValueError(
                f"{where} holds more than {MOST_VALUES} values, or more than {MOST_NESTED} in one another; no model's"
            )
        for key, number in value.items() if isinstance(value, Mapping) else ():
            if str(key).endswith(("layers", "experts")) and isinstance(number, int | float) and number > MOST_LAYERS:
                raise ValueError(f"{where} has {key} {number:.6g}; no model has more than {MOST_LAYERS}")
        values.extend((each, depth + 1) for each in inner)


def _sub_config(
    config: dict[str, Any] | PreTrainedConfig | None, default_type: str, defaults: dict[str, Any]
) -> PreTrainedConfig:
    if config is None:
        return CONFIG_MAPPING[default_type](**defaults)
    if isinstance(config, PreTrainedConfig):
        return config
    return CONFIG_MAPPING[config.get("model_type", default_type)](**config)


def from_llava_next(source: Mapping[str, Any]) -> dict[str, Any]:
    """Translates a `llava_next` config into the arguments of [`AmaliaVLConfig`].

    Only keys with a meaning here are taken, so that training leftovers of published configs stay behind. Geometry
    (pinpoints) belongs to the processor and `image_seq_length`, wrong for patch 14, to nobody.

    Args:
        source: The `config.json` of a `llava_next` checkpoint, as written by transformers 4 or 5.

    Returns:
        Arguments of `AmaliaVLConfig`, with `source_vision_layers` beside, the depth of the source's tower, whose
        layers past the feature layer are not loaded, and `source_grid_pinpoints`.

    Raises:
        ValueError: The feature-select strategy is not "full", the feature layer is a list or outside the tower, or the
            tower is not SigLIP.
    """
    return _translated({**LLAVA_NEXT_DEFAULTS, **source}, tower="clip_vision_model", decoder="llama")


def from_llava_onevision(source: Mapping[str, Any]) -> dict[str, Any]:
    """Translates a `llava_onevision` config (TowerVideo) as [`from_llava_next`] does its own.

    `vision_aspect_ratio`, of which only `anyres_max_N` is ever computed, becomes `pool_above_tiles`.

    Args:
        source: The `config.json` of a `llava_onevision` checkpoint, as written by transformers 4 or 5.

    Returns:
        As [`from_llava_next`], with `video_token_id`.

    Raises:
        ValueError: As [`from_llava_next`], or `vision_aspect_ratio` is another.
    """
    source = {**LLAVA_ONEVISION_DEFAULTS, **source}
    source["vision_config"] = source.get("vision_config") or LLAVA_ONEVISION_TOWER
    translated = _translated(source, tower=TOWER_MODEL_TYPE, decoder="qwen2")
    text = translated["text_config"]
    # The stock class ties where either config says so; here both say it.
    tied = bool(source["tie_word_embeddings"]) or CONFIG_MAPPING[text["model_type"]](**text).tie_word_embeddings
    translated["tie_word_embeddings"] = text["tie_word_embeddings"] = tied
    return translated | {
        "video_token_id": source.get("video_token_id", source["video_token_index"]),
        "pool_above_tiles": _pooled_tiles(source["vision_aspect_ratio"]),
    }


def _pooled_tiles(aspect_ratio: Any) -> int:
    match = re.fullmatch(r"anyres_max_([0-9]{1,4})", str(aspect_ratio))
    if match is None or int(match[1]) < 1:
        raise ValueError(
            f"vision_aspect_ratio is {aspect_ratio!r}, but images can only be pooled as 'anyres_max_9' says, with any "
            "number of tiles; no class of transformers computes another"
        )
    return int(match[1])


def _translated(source: Mapping[str, Any], tower: str, decoder: str) -> dict[str, Any]:
    """Translates what both formats share; `tower` and `decoder` are the types that silent parts have."""
    if (strategy := source["vision_feature_select_strategy"]) != "full":
        raise ValueError(
            f"vision_feature_select_strategy is {strategy!r}, but a SigLIP tower has no class token to drop: only "
            "'full' can be loaded (a config without the key means 'default')"
        )
    vision = dict(source.get("vision_config") or {})
    vision_type = vision.setdefault("model_type", tower)
    if vision_type != TOWER_MODEL_TYPE:
        raise ValueError(
            f"the checkpoint's vision tower is a {vision_type!r}, but AMALIA-VL takes {TOWER_MODEL_TYPE!r}"
        )
    source_layers = CONFIG_MAPPING[TOWER_MODEL_TYPE](**vision).num_hidden_layers
    vision["num_hidden_layers"] = _feature_depth(source["vision_feature_layer"], source_layers)
    text = dict(source.get("text_config") or {})
    text.setdefault("model_type", decoder)
    kept: dict[str, Any] = {
        key: source[key] for key in ("dtype", "torch_dtype", "quantization_config") if key in source
    }
    return {
        "model_type": AmaliaVLConfig.model_type,
        "architectures": ["AmaliaVLForConditionalGeneration"],
        "text_config": text,
        "vision_config": vision,
        "image_token_id": source.get("image_token_id", source["image_token_index"]),
        "connector_act": source["projector_hidden_act"],
        "connector_bias": source["multimodal_projector_bias"],
        "tie_word_embeddings": source["tie_word_embeddings"],
        "source_vision_layers": source_layers,
        "source_grid_pinpoints": source.get("image_grid_pinpoints"),
        **kept,
    }


TRANSLATIONS = {"llava_next": from_llava_next, "llava_onevision": from_llava_onevision}


def to_llava(config: AmaliaVLConfig, pinpoints: Sequence[Sequence[int]]) -> LlavaNextConfig | LlavaOnevisionConfig:
    """Translates a config into that of a `llava_next` checkpoint, or `llava_onevision` where the model takes videos.

    Args:
        config: Of the model.
        pinpoints: `(height, width)` of the canvases that the processor uses, in the order that decides ties: the model
            tiles by itself there.

    Raises:
        ValueError: The model pools large images, which llava_next does not, and takes no videos.
    """
    shared: dict[str, Any] = {
        "text_config": copy.deepcopy(config.text_config),
        "vision_config": copy.deepcopy(config.vision_config),
        "image_token_index": config.image_token_id,
        "projector_hidden_act": config.connector_act,
        "multimodal_projector_bias": config.connector_bias,
        "tie_word_embeddings": config.tie_word_embeddings,
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "image_grid_pinpoints": [list(size) for size in pinpoints],
    }
    if config.video_token_id is None:
        if config.pool_above_tiles is not None:
            raise ValueError(
                f"pool_above_tiles is {config.pool_above_tiles}, which llava_next does not know, and llava_onevision "
                "is written for models that take videos: this one has no video_token_id"
            )
        return LlavaNextConfig(**shared, image_seq_length=config.patches_per_side**2)
    # It tells the text config's tie from its own: both say the same.
    shared["text_config"].tie_word_embeddings = config.tie_word_embeddings
    return LlavaOnevisionConfig(
        **shared,
        video_token_index=config.video_token_id,
        vision_aspect_ratio=f"anyres_max_{pooled_tiles(config, pinpoints)}",
    )


def pooled_tiles(config: AmaliaVLConfig, pinpoints: Sequence[Sequence[int]]) -> int:
    """Says above how many tiles `llava_onevision` pools, which it always does: never, where the model does not."""
    most = max((height * width for height, width in pinpoints), default=0) // config.vision_config.image_size**2
    return config.pool_above_tiles or max(most, 1)


def _feature_depth(feature_layer: Any, layers: int) -> int:
    """Layers that run up to `hidden_states[feature_layer]`, where index 0 is the embeddings."""
    if not isinstance(feature_layer, int):
        raise ValueError(
            f"vision_feature_layer is {feature_layer!r}, but features come from one layer: one integer, no list"
        )
    depth = feature_layer if feature_layer >= 0 else layers + 1 + feature_layer
    if not 1 <= depth <= layers:
        raise ValueError(f"vision_feature_layer is {feature_layer}, outside the tower's {layers} layers")
    return depth


AmaliaVLConfig.register_for_auto_class()

__all__ = ["AmaliaVLConfig"]
