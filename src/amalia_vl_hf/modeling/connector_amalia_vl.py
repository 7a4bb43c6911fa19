"""The parts between tower and decoder: the connector, and the vector that ends rows, images and videos."""

import torch
from torch import nn
from transformers.activations import ACT2FN

from .configuration_amalia_vl import AmaliaVLConfig


class AmaliaVLConnector(nn.Module):
    """Maps patch features to the decoder's width: linear, activation, linear (paper, section 3)."""

    def __init__(self, config: AmaliaVLConfig) -> None:
        super().__init__()
        d_vision, d_text = config.vision_config.hidden_size, config.text_config.hidden_size
        self.linear_1 = nn.Linear(d_vision, d_text, bias=config.connector_bias)
        self.act = ACT2FN[config.connector_act]
        self.linear_2 = nn.Linear(d_text, d_text, bias=config.connector_bias)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Maps `(..., d_vision)` to `(..., d_text)`."""
        return self.linear_2(self.act(self.linear_1(patches)))


class AmaliaVLNewline(nn.Module):
    """The vector that closes each row of an image, and a video.

    A module of its own, not a bare parameter of the model: what moves weights by module (offloading, ZeRO-3, adapters'
    `modules_to_save`) sees it.
    """

    def __init__(self, config: AmaliaVLConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.text_config.hidden_size))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Gives the vector, `(d_text,)`, where `features` are and in their dtype."""
        return self.weight.to(features)


__all__ = ["AmaliaVLConnector", "AmaliaVLNewline"]
