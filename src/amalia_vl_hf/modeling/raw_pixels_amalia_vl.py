"""What pixels a tower takes; raw grey levels, a quarter of the bytes on the way to a GPU, are normalised here."""

from typing import Any

import torch


def normalised(pixel_values: torch.Tensor, config: Any) -> torch.Tensor:
    """Turn grey levels into the tower's values, bit by bit as the processor does, in fp32 whatever autocast says.

    Args:
        pixel_values: `(tiles, 3, S, S)`, uint8.
        config: The model's, with `image_mean` and `image_std`.

    Returns:
        `(tiles, 3, S, S)` float32.
    """
    levels = pixel_values.float()
    # Tensors beside the pixels: CUDA would multiply by the inverse of a number, which rounds otherwise.
    full = levels.new_full((1, 1, 1), 255)
    mean, std = (levels.new_tensor(channels).view(3, 1, 1) for channels in (config.image_mean, config.image_std))
    return levels.div_(full).sub_(mean).div_(std)


def require_pixels(pixels: torch.Tensor, config: Any, dtype: torch.dtype, name: str) -> None:
    """Refuse pixels that the tower does not take.

    Args:
        pixels: `(tiles or frames, 3, S, S)`.
        config: The model's.
        dtype: The tower's.
        name: Of the input, for the error.

    Raises:
        ValueError: They have another size, or are neither normalised nor raw grey levels.
    """
    vision = config.vision_config
    expected = (vision.num_channels, vision.image_size, vision.image_size)
    if tuple(pixels.shape[1:]) != expected:
        raise ValueError(
            f"{name} has shape {tuple(pixels.shape)}, but the tower takes {('tiles', *expected)}; "
            "were the images prepared by another model's processor?"
        )
    raw = pixels.dtype == torch.uint8
    if pixels.is_floating_point() or (raw and config.image_mean and config.image_std):
        return
    remedy = "; for raw pixels, write the model anew with `amalia-vl convert`, so that its config has image_mean "
    raise ValueError(
        f"{name} is {pixels.dtype}, but the tower takes normalised {dtype}; "
        f"was normalisation left out?{remedy + 'and image_std' if raw else ''}"
    )


def take_normalisation(config: Any, image_processor: Any) -> None:
    """Let a model's config say how its processor normalises, so that the model can do it itself.

    Args:
        config: The model's; without `image_mean` and `image_std` it gets them.
        image_processor: The model's.

    Raises:
        ValueError: The config has others.
    """
    for name in ("image_mean", "image_std"):
        value = getattr(image_processor, name)
        channels = [float(value)] * 3 if isinstance(value, float | int) else [float(channel) for channel in value]
        own = getattr(config, name)
        if own is not None and list(own) != channels:
            raise ValueError(
                f"the processor's {name} is {channels} but the model's config has {list(own)}; they are of one model: "
                "was one of the two changed by hand?"
            )
        setattr(config, name, channels)
