"""Options that are not ours: those of LLaVA-NeXT's and LLaVA-OneVision's processors, and of tokenizers."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import AutoConfig
from transformers.utils import PROCESSOR_NAME, VIDEO_PROCESSOR_NAME, cached_file

from .tile_pixels_amalia_vl import tile_size_of

TOKENIZER_OPTIONS = (  # that people set when they load; its other ones stay in its own files
    "padding_side", "truncation_side", "model_max_length", "model_input_names", "clean_up_tokenization_spaces",
    "split_special_tokens", "bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token",
    "additional_special_tokens", "extra_special_tokens", "add_bos_token", "add_eos_token", "add_prefix_space",
    "from_slow", "legacy", "tokenizer_type", "tokenizer_file", "vocab_file", "add_special_tokens", "gguf_file",
    "fix_mistral_regex", "response_schema",
)  # fmt: skip
ONEVISION = "LlavaOnevision"
_ASPECT = re.compile(r"anyres_max_(\d+)")


def translated_options(options: Mapping[str, Any], directory: str | Path, **hub_options: Any) -> dict[str, Any]:
    """Translate the options of LLaVA-NeXT's or LLaVA-OneVision's image processor.

    Args:
        options: As they are saved.
        directory: Where, or the id on the Hub: what they leave out stands in other files.
        **hub_options: Where a directory's files are.

    Raises:
        ValueError: They belong to another kind of image processor, or ask for what AMALIA-VL does not do.
    """
    translated = _translate_llava_next(options)
    directory = Path(directory).parent if Path(directory).is_file() else directory
    processor = read_options(directory, PROCESSOR_NAME, **hub_options)
    patch_size = processor.get("patch_size")
    if patch_size is None:  # the image processor's options leave it out
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False, **hub_options)
        patch_size = config.vision_config.patch_size
    translated["patch_size"] = int(patch_size)
    if _kind(options).startswith(ONEVISION):
        translated |= {"pool_above_tiles": pooling_of(processor), "tile_several": False}
    return translated


def video_options(options: Mapping[str, Any], directory: str | Path, **hub_options: Any) -> dict[str, Any]:
    """Read what LLaVA-OneVision's processor says of videos: how many frames, and, to be compared, what pixels become.

    Args:
        options: Of the processor.
        directory: Where they are from, or the id on the Hub.
        **hub_options: Where a directory's files are.

    Returns:
        `num_frames` and `fps`, where they are said, and `video_processor`, the options themselves.
    """
    if not str(options.get("processor_class", "")).startswith(ONEVISION):
        return {}
    videos = options.get("video_processor") or read_options(directory, VIDEO_PROCESSOR_NAME, **hub_options)
    return {name: videos[name] for name in ("num_frames", "fps") if videos.get(name)} | {"video_processor": videos}


def require_same_pixels(images: Mapping[str, Any], videos: Mapping[str, Any]) -> None:
    """Hold what becomes of a video's pixels to what becomes of an image's: the model has one mean of both.

    Args:
        images: Options of our image processor.
        videos: Options of LLaVA-OneVision's video processor.

    Raises:
        ValueError: They differ; names the options.
    """
    stated = {name: videos[name] for name in ("image_mean", "image_std", "resample") if videos.get(name) is not None}
    if videos.get("size"):
        stated["size"] = dict.fromkeys(("height", "width"), tile_size_of(videos["size"]))
    other = [f"{name} is {value}, not {images[name]}" for name, value in stated.items() if value != images[name]]
    other += [f"{name} is off" for name in ("do_resize", "do_rescale", "do_normalize") if videos.get(name) is False]
    if other:
        raise ValueError(f"AMALIA-VL makes of a video's frames what it makes of images, but: {'; '.join(other)}")


def pooling_of(options: Mapping[str, Any]) -> int:
    """Read the tiles above which LLaVA-OneVision pools.

    Raises:
        ValueError: It is asked for another way.
    """
    strategy = options.get("vision_aspect_ratio") or "anyres_max_9"
    found = _ASPECT.fullmatch(str(strategy))
    if found is None:
        raise ValueError(f"vision_aspect_ratio is {strategy!r}; AMALIA-VL knows anyres_max_N")
    return int(found[1])


def read_options(directory: str | Path, name: str, **hub_options: Any) -> dict[str, Any]:
    """Read a file of options; none where there is no such file.

    Raises:
        ValueError: It is no JSON object.
    """
    file = cached_file(directory, name, _raise_exceptions_for_missing_entries=False, **hub_options)
    if not file:
        return {}
    try:
        options = json.loads(Path(file).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} of {directory} is not JSON ({error})") from error
    if not isinstance(options, dict):
        raise ValueError(f"{name} of {directory} holds {type(options).__name__}, not options")
    return options


def _kind(options: Mapping[str, Any]) -> str:
    return str(
        options.get("image_processor_type", options.get("feature_extractor_type", "an image processor without a type"))
    )


def _translate_llava_next(options: Mapping[str, Any]) -> dict[str, Any]:
    """Translate what both kinds have, of any version, but for the patch size."""
    kind = _kind(options)
    if not kind.startswith(("LlavaNext", ONEVISION)) and "image_grid_pinpoints" not in options:
        raise ValueError(
            f"these are the options of {kind}; AMALIA-VL reads AmaliaVLImageProcessor, LlavaNextImageProcessor and "
            "LlavaOnevisionImageProcessor"
        )
    if missing := [
        name for name in ("image_grid_pinpoints", "size", "image_mean", "image_std") if name not in options
    ]:
        raise ValueError(f"the options of {kind} lack {', '.join(missing)}")
    if off := [name for name in ("do_resize", "do_rescale", "do_normalize") if options.get(name) is False]:
        raise ValueError(
            f"{kind} has {', '.join(off)} turned off; AMALIA-VL's pixels are resized, rescaled and normalised"
        )
    tile_size = tile_size_of(options["size"])
    crop_size = tile_size_of(options.get("crop_size") or tile_size)
    if crop_size != tile_size:
        raise ValueError(
            f"{kind} crops tiles to {crop_size} pixels after resizing them to {tile_size}; these must be equal"
        )
    pinpoints = options["image_grid_pinpoints"]
    if not abs(options.get("rescale_factor", 1 / 255) * 255 - 1) <= 1e-9:  # so that NaN is refused, too
        raise ValueError(f"{kind} has rescale_factor {options['rescale_factor']}; AMALIA-VL's is 1/255")
    return {
        "size": tile_size,
        "resample": options.get("resample", Image.Resampling.BICUBIC),
        "image_grid_pinpoints": pinpoints,
        "max_tiles": max((height * width for height, width in pinpoints), default=0) // tile_size**2,
        "image_mean": options["image_mean"],
        "image_std": options["image_std"],
    }
