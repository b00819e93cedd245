"""The denoiser D(x; sigma) given past frames and actions: preconditioned network and loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond.config.plugins import load_named
from diamond.families.diamond.config import DenoiserConfig
from diamond.families.diamond.denoiser_net import DenoiserNet, DenoiserNetShape
from diamond.families.diamond.noise_law import add_noise, training_sigma
from diamond.families.diamond.precondition import (
    Coefficients,
    coefficients,
    constant_sigma,
    per_item,
)
from diamond.families.diamond.quantizer import quantize
from diamond.part import Draw, Extent, Losses, Part
from diamond.records import Segments
from diamond.seeds import Purpose


@dataclass(frozen=True)
class Past:
    """Past frames as the network is given them.

    Attributes:
        frames: Oldest first (b, k, c, h, w), with the noise that was added to them.
        noise: Its standard deviation per item (b,).
    """

    frames: Tensor
    noise: Tensor


class Denoiser(nn.Module):
    """Denoiser of the next frame, in the parameterisation of its config.

    Whatever the network predicts, D is in variance-exploding coordinates: frame + sigma * noise.

    Source: arXiv:2405.12399, section 3.1; `diamond.families.diamond.precondition` for the rest.
    """

    def __init__(self, config: DenoiserConfig, num_actions: int, action_size: int = 0) -> None:
        super().__init__()
        self.config = config
        self.net = _network_type(config)(
            DenoiserNetShape(
                num_actions=num_actions,
                history=config.history,
                channels=config.channels,
                depths=config.depths,
                cond_channels=config.cond_channels,
                patch=config.patch,
                middle_attention=config.middle_attention,
                sees_past_noise=config.cond_noise > 0,
                precision=config.precision,
                action_size=action_size,
            )
        )

    def denoise(
        self,
        noisy: Tensor,
        sigma: float,
        past: Tensor,
        actions: Tensor,
        past_noise: float = 0.0,
    ) -> Tensor:
        """Return D(noisy; sigma), not quantised.

        Args:
            noisy: (b, c, h, w).
            sigma: Noise level, above zero.
            past: Past frames, oldest first (b, k, c, h, w) in [-1, 1] but for their noise.
            actions: (b, k) int64 or (b, k, action_size) float32.
            past_noise: Standard deviation of the noise in `past`, at most that of training
                (`cond_noise`).

        Returns:
            Denoised frames (b, c, h, w).
        """
        assert past_noise <= self.config.cond_noise
        cs = coefficients(self.config, constant_sigma(sigma, len(noisy), noisy.device))
        given = Past(past, constant_sigma(past_noise, len(noisy), noisy.device))
        return _combine(noisy, self._network(noisy, cs, given, actions), cs)

    def loss(self, segments: Segments, generator: torch.Generator) -> Tensor:
        """Mean squared error of the network's target, averaged over the autoregressive passes.

        A frame that is padding is no target, and stays as it is in the past of later passes.

        Args:
            segments: t = history + passes - 1 env steps; more are not read.
            generator: Generator of noise levels and noise, on the device of the segments.

        Returns:
            A scalar.
        """
        config = self.config
        frames = list(segments.frames.unbind(dim=1))
        passes = range(config.autoregressive_passes)
        drawn = [self._draw_training_noise(frames[0], generator) for _ in passes]
        first = config.history - 1
        valid = segments.valid[:, first : first + config.autoregressive_passes]
        losses = []
        for index, noise in zip(passes, drawn, strict=True):
            past = torch.stack(frames[index : index + config.history], dim=1)
            target_frame = segments.frames[:, index + config.history]
            clean = self.diffused(target_frame, past)
            noisy, cs = self._add_training_noise(clean, noise)
            actions = segments.actions[:, index : index + config.history]
            output = self._network(noisy, cs, self._add_past_noise(past, generator), actions)
            target = (clean - per_item(cs.c_skip) * noisy) / per_item(cs.c_out)
            learnt = per_item(valid[:, index])
            losses.append(F.mse_loss(output, torch.where(learnt, target, output.detach())))
            denoised = _combine(noisy, output.detach(), cs)
            own = quantize(self.shown(denoised, past), config.quantizer)
            frames[index + config.history] = torch.where(learnt, own, target_frame)
        num_learnt = valid.sum().clamp(min=1)
        # Two tensors: a device may multiply by the inverse of a number, and miss 1 without padding.
        per_learnt = torch.full_like(num_learnt, valid.numel()) / num_learnt
        return torch.stack(losses).mean() * per_learnt

    def diffused(self, frames: Tensor, past: Tensor) -> Tensor:
        """What is diffused of frames (b, c, h, w): they, or their change from the last, scaled.

        Args:
            frames: Next frames in [-1, 1].
            past: The frames before them, oldest first (b, k, c, h, w) in [-1, 1].

        Returns:
            (b, c, h, w), in [-1, 1] or in 2 * change * [-1, 1].
        """
        return self.config.change * (frames - past[:, -1]) if self.config.change else frames

    def shown(self, drawn: Tensor, past: Tensor) -> Tensor:
        """The frames (b, c, h, w) that a sample (b, c, h, w) stands for: `diffused` undone."""
        return past[:, -1] + drawn / self.config.change if self.config.change else drawn

    def _draw_training_noise(self, like: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Standard normal numbers of noise levels (b,), noise (b, c, h, w), offset (b, c, 1, 1)."""
        b, c = like.shape[:2]
        shapes = ((b,), like.shape, (b, c, 1, 1))
        return [torch.randn(*shape, generator=generator, device=like.device) for shape in shapes]

    def _add_training_noise(
        self, clean: Tensor, drawn: list[Tensor]
    ) -> tuple[Tensor, Coefficients]:
        config = self.config
        level, normal, offset = drawn
        sigma = training_sigma(config, level)
        law = config.offset_law, config.offset_noise
        noisy = add_noise(clean, sigma, law, normal, offset)
        return noisy, coefficients(config, sigma)

    def _add_past_noise(self, past: Tensor, generator: torch.Generator) -> Past:
        """Conditioning-noise augmentation: a level per item, uniform up to `cond_noise`.

        Drawn after the noise of all frames, whose numbers are thus those of a denoiser without it.

        Source: arXiv:2408.14837, section 3.2.1; docs/deviations.md.
        """
        b = len(past)
        if self.config.cond_noise == 0:
            return Past(past, past.new_zeros(b))
        level = torch.rand(b, generator=generator, device=past.device) * self.config.cond_noise
        normal = torch.randn(past.shape, generator=generator, device=past.device)
        return Past(past + level[:, None, None, None, None] * normal, level)

    def _network(self, noisy: Tensor, cs: Coefficients, past: Past, actions: Tensor) -> Tensor:
        config = self.config
        scaled_past = self._scale_past(past.frames.flatten(1, 2))
        scaled = noisy * per_item(cs.c_in)
        told = past.noise / config.cond_noise if config.cond_noise > 0 else None
        output: Tensor = self.net(
            scaled.contiguous(memory_format=torch.channels_last),
            cs.c_noise,
            scaled_past.contiguous(memory_format=torch.channels_last),
            actions,
            told,
        )
        return output

    def _scale_past(self, past: Tensor) -> Tensor:
        match self.config.past_scale:
            case "sigma_data":
                return past / self.config.sigma_data
            case "none":
                return past
            case _:
                assert_never(self.config.past_scale)


def _network_type(config: DenoiserConfig) -> type[DenoiserNet]:
    """The U-Net, or the network of one's own that takes and gives what it does."""
    if config.network is None:
        return DenoiserNet
    found: type[DenoiserNet] = load_named(config.network, "denoiser.network")
    return found


def _combine(noisy: Tensor, output: Tensor, cs: Coefficients) -> Tensor:
    return per_item(cs.c_skip) * noisy + per_item(cs.c_out) * output


def denoiser_loss(denoiser: Denoiser, config: DenoiserConfig, draw: Draw) -> Losses:
    """The denoising loss on fresh segments, under fresh noise."""
    segments = draw.segments(config.batch_size, Purpose.DENOISER_SEGMENTS)
    return denoiser.loss(segments, draw.generator(Purpose.DENOISER_NOISE)), {}


def _build(config: DenoiserConfig, shape: Mapping[str, int]) -> Denoiser:
    """A fresh denoiser, weights in the layout that convolutions are fastest in."""
    denoiser = Denoiser(config, shape["num_actions"], shape.get("action_size", 0))
    denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return denoiser


def _segments(config: DenoiserConfig, _: object) -> Extent:
    """Segments inside episodes; an event is an env step that leads to a frame to denoise."""
    first = config.history - 1
    places = first, first + config.autoregressive_passes - 1
    return Extent(config.segment_steps, balance=config.balance, event_places=places)


DENOISER = Part(
    name="denoiser",
    config=DenoiserConfig,
    build=_build,
    init=Purpose.DENOISER_INIT,
    data=_segments,
    loss=denoiser_loss,
    ema=lambda config: config.ema,
    compiled=lambda denoiser: (denoiser.net,),
)
