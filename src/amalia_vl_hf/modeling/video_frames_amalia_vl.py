"""How the frames of a batch belong to its videos: `video_frames` read, and held against the frames."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.exporters.utils import register_export_input_preparer


def split_video_frames(video_frames: torch.Tensor | Sequence[int], frames: int) -> list[int]:
    """Reads a batch's `video_frames`, in one copy to the host.

    Args:
        video_frames: `(videos,)` integers: frames of each video. A tuple of numbers where a graph is exported, which
            cannot read a tensor.
        frames: Rows of `pixel_values_videos`.

    Returns:
        The frames of each video.

    Raises:
        ValueError: They are not as many as there are, or a video has none.
    """
    if isinstance(video_frames, torch.Tensor):
        video_frames = _on_host(video_frames)
    lengths = list(video_frames)
    if sum(lengths) != frames or min(lengths, default=1) < 1:
        raise ValueError(
            f"{frames} frames in pixel_values_videos but video_frames counts {lengths}, {sum(lengths)} in all; each "
            "video has one or more: was only one of the two sliced?"
        )
    return lengths


def _on_host(video_frames: torch.Tensor) -> tuple[int, ...]:
    if video_frames.ndim != 1:
        raise ValueError(f"video_frames has shape {tuple(video_frames.shape)}, expected (videos,)")
    if video_frames.is_floating_point() or video_frames.is_complex() or video_frames.dtype == torch.bool:
        raise ValueError(f"video_frames is {video_frames.dtype}, expected integers; was it cast with the pixels?")
    return tuple(video_frames.tolist())


@register_export_input_preparer("video_frames")
def _read_before_export(model: torch.nn.Module, inputs: dict[str, Any]) -> None:
    """Reads the numbers outside the graph that transformers' exporters trace; they are constants of it."""
    if isinstance(inputs["video_frames"], torch.Tensor):
        inputs["video_frames"] = _on_host(inputs["video_frames"])


__all__ = ["split_video_frames"]
