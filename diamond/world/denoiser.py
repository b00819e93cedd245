"""The denoiser D(x; sigma) given past frames and actions: preconditioned network and loss."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond.config.run import DenoiserConfig
from diamond.diffusion.precondition import (
    Coefficients,
    add_noise,
    constant_sigma,
    edm_coefficients,
    lognormal_sigma,
    per_item,
)
from diamond.diffusion.quantizer import quantize
from diamond.nets.denoiser_net import DenoiserNet, DenoiserNetShape
from diamond.records import Segments


class Denoiser(nn.Module):
    """EDM denoiser of the next frame.

    Source: arXiv:2405.12399, section 3.1; Karras et al. 2022.
    """

    def __init__(self, config: DenoiserConfig, num_actions: int) -> None:
        super().__init__()
        self.config = config
        self.net = DenoiserNet(
            DenoiserNetShape(
                num_actions=num_actions,
                history=config.history,
                channels=config.channels,
                depths=config.depths,
                cond_channels=config.cond_channels,
                patch=config.patch,
                middle_attention=config.middle_attention,
            )
        )

    def denoise(self, noisy: Tensor, sigma: float, past: Tensor, actions: Tensor) -> Tensor:
        """Return D(noisy; sigma), not quantised.

        Args:
            noisy: (b, c, h, w).
            sigma: Noise level, above zero.
            past: Past frames, oldest first (b, k, c, h, w) in [-1, 1].
            actions: (b, k) int64.

        Returns:
            Denoised frames (b, c, h, w).
        """
        cs = self._coefficients(constant_sigma(sigma, len(noisy), noisy.device))
        return _combine(noisy, self._network(noisy, cs, past, actions), cs)

    def loss(self, segments: Segments, generator: torch.Generator) -> Tensor:
        """Mean squared error of the network's target, averaged over the autoregressive passes.

        Args:
            segments: t = history + passes - 1 env steps.
            generator: CPU generator of noise levels and noise.

        Returns:
            A scalar.
        """
        config = self.config
        frames = list(segments.frames.unbind(dim=1))
        losses = []
        for index in range(config.autoregressive_passes):
            past = torch.stack(frames[index : index + config.history], dim=1)
            target_frame = segments.frames[:, index + config.history]
            actions = segments.actions[:, index : index + config.history]
            noisy, cs = self._add_training_noise(target_frame, generator)
            output = self._network(noisy, cs, past, actions)
            target = (target_frame - per_item(cs.c_skip) * noisy) / per_item(cs.c_out)
            losses.append(F.mse_loss(output, target))
            own = quantize(_combine(noisy, output.detach(), cs), config.quantizer)
            frames[index + config.history] = own
        return torch.stack(losses).mean()

    def _add_training_noise(
        self, clean: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Coefficients]:
        config = self.config
        b, c = clean.shape[:2]
        level = torch.randn(b, generator=generator)
        normal = torch.randn(clean.shape, generator=generator)
        offset = torch.randn(b, c, 1, 1, generator=generator)
        sigma = lognormal_sigma(
            level, config.noise_loc, config.noise_scale, config.noise_min, config.noise_max
        ).to(clean.device)
        noisy = add_noise(
            clean, sigma, config.offset_noise, normal.to(clean.device), offset.to(clean.device)
        )
        return noisy, self._coefficients(sigma)

    def _coefficients(self, sigma: Tensor) -> Coefficients:
        return edm_coefficients(sigma, self.config.sigma_data, self.config.offset_noise)

    def _network(self, noisy: Tensor, cs: Coefficients, past: Tensor, actions: Tensor) -> Tensor:
        scaled_past = past.flatten(1, 2) / self.config.sigma_data
        scaled = noisy * per_item(cs.c_in)
        low = self.config.precision == "bfloat16"
        with torch.autocast(noisy.device.type, dtype=torch.bfloat16, enabled=low):
            output: Tensor = self.net(
                scaled.contiguous(memory_format=torch.channels_last),
                cs.c_noise,
                scaled_past.contiguous(memory_format=torch.channels_last),
                actions,
            )
        return output.float()


def _combine(noisy: Tensor, output: Tensor, cs: Coefficients) -> Tensor:
    return per_item(cs.c_skip) * noisy + per_item(cs.c_out) * output
