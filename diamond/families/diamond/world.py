"""DIAMOND: a denoiser draws the next frame, the reward/end model its reward and end."""

from typing import NamedTuple, assert_never, cast

import torch
from torch import Tensor

from diamond.families.diamond.config import Quantizer, SamplerConfig
from diamond.families.diamond.denoiser import DENOISER, Denoiser
from diamond.families.diamond.levels import initial_scale, levels_of
from diamond.families.diamond.quantizer import quantize
from diamond.families.diamond.reward_end_net import REWARD_END, RewardEndNet
from diamond.families.diamond.sampler import sample, sample_ancestral
from diamond.families.interface import Implementation, Material, Step
from diamond.rng import Noise, categorical

SITE_INITIAL = "denoiser/initial"
SITE_CHURN = "denoiser/churn"
SITE_ANCESTRAL = "denoiser/ancestral"
SITE_PAST = "denoiser/past"
SITE_REWARD = "outcome/reward"
SITE_END = "outcome/end"


class DiamondState(NamedTuple):
    """Last frames (b, k, c, h, w), the k - 1 actions between them, the reward/end LSTM (b, units).

    Actions are (b, k - 1) int64 or (b, k - 1, action_size) float32. Without rewards and ends there
    are no units.
    """

    frames: Tensor
    actions: Tensor
    hidden: Tensor
    cell: Tensor


class DiamondWorld:
    """World model of arXiv:2405.12399 (section 3).

    Frames by diffusion, rewards and ends by an LSTM; without it rewards are 0 and nothing ends.
    """

    def __init__(
        self, denoiser: Denoiser, reward_end: RewardEndNet | None, sampler: SamplerConfig
    ) -> None:
        self._denoiser = denoiser
        self._reward_end = reward_end
        self._sampler = sampler
        self.history = denoiser.config.history
        self._levels = levels_of(sampler)
        self._initial_scale = initial_scale(sampler)

    @torch.no_grad()
    def start(self, frames: Tensor, actions: Tensor, padded: Tensor) -> DiamondState:
        """Begin after real frames; the reward/end model is burnt in on all that are not padded."""
        assert frames.shape[1] >= self.history and actions.shape[1] == frames.shape[1] - 1
        hidden, cell = frames.new_zeros(2, len(frames), 0).unbind()
        if self._reward_end is not None:
            hidden, cell = self._reward_end.remember(frames, actions, padded)
        recent = actions[:, actions.shape[1] - (self.history - 1) :]
        # In memory as after a step: a compiled network would be compiled anew for another layout.
        return DiamondState(frames[:, -self.history :].contiguous(), recent, hidden, cell)

    @torch.no_grad()
    def step(self, state: DiamondState, action: Tensor, noise: Noise) -> tuple[DiamondState, Step]:
        """Draw the next frame by diffusion, then its reward and end."""
        actions = torch.cat((state.actions, action[:, None]), dim=1)
        following = self._draw_frame(state.frames, actions, noise)
        frames = torch.cat((state.frames[:, 1:], following[:, None]), dim=1)
        after = state._replace(frames=frames, actions=actions[:, 1:])
        if self._reward_end is None:
            nothing = following.new_zeros(len(following))
            return after, Step(following, nothing, nothing.bool())
        recurrent = (state.hidden, state.cell)
        reward_logits, end_logits, (hidden, cell) = self._reward_end(
            state.frames[:, -1:], action[:, None], following[:, None], recurrent
        )
        reward_class = self._reward_end_class(reward_logits[:, 0], noise, SITE_REWARD)
        end = self._reward_end_class(end_logits[:, 0], noise, SITE_END)
        after = after._replace(hidden=hidden, cell=cell)
        return after, Step(following, (reward_class - 1).float(), end.bool())

    def frame(self, state: DiamondState) -> Tensor:
        """The current frame of every trajectory."""
        return state.frames[:, -1]

    def _reward_end_class(self, logits: Tensor, noise: Noise, site: str) -> Tensor:
        match self._sampler.reward_end_sampling:
            case "sample":
                return categorical(logits, noise.uniform(site, len(logits)).to(logits.device))
            case "argmax":
                return logits.argmax(dim=-1)
            case _:
                assert_never(self._sampler.reward_end_sampling)

    def _draw_frame(self, past: Tensor, actions: Tensor, noise: Noise) -> Tensor:
        sampler = self._sampler
        shape = past[:, -1].shape

        def normal(site: str) -> Tensor:
            return noise.normal(site, shape).to(past.device)

        start = normal(SITE_INITIAL) * self._initial_scale
        given = self._noisy_past(past, noise)

        def denoise(noisy: Tensor, sigma: float) -> Tensor:
            denoised = self._denoiser.denoise(noisy, sigma, given, actions, sampler.cond_noise)
            frames = quantize(self._denoiser.shown(denoised, past), self._call_quantizer)
            return self._denoiser.diffused(frames, past)

        match sampler.solver:
            case "ode":
                drawn = sample(
                    denoise,
                    start,
                    self._levels,
                    sampler.order,
                    sampler.churn,
                    lambda index: normal(f"{SITE_CHURN}/{index}"),
                )
            case "ancestral":
                drawn = sample_ancestral(
                    denoise, start, self._levels, lambda index: normal(f"{SITE_ANCESTRAL}/{index}")
                )
            case _:
                assert_never(sampler.solver)
        drawn = self._denoiser.shown(drawn, past)
        if sampler.quantize_at == "end":
            drawn = quantize(drawn, sampler.quantizer)
        return drawn.contiguous()

    @property
    def _call_quantizer(self) -> Quantizer:
        match self._sampler.quantize_at:
            case "call":
                return self._sampler.quantizer
            case "end":
                return "none"
            case _:
                assert_never(self._sampler.quantize_at)

    def _noisy_past(self, past: Tensor, noise: Noise) -> Tensor:
        level = self._sampler.cond_noise
        if level == 0:
            return past
        return past + level * noise.normal(SITE_PAST, past.shape).to(past.device)


def build_world(material: Material) -> DiamondWorld:
    """The world model of trained networks; those of rewards and ends may be missing."""
    networks = material.networks
    return DiamondWorld(
        cast("Denoiser", networks[DENOISER.name]),
        cast("RewardEndNet | None", networks.get(REWARD_END.name)),
        material.config.sampler,
    )


DIAMOND_WORLD = Implementation((DENOISER, REWARD_END), build_world)
