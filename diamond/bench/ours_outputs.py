"""What this project computes from the inputs that both sides are compared on."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from diamond.agent.actor_critic import actor_critic_loss
from diamond.bench.cases import STEPS
from diamond.bench.inputs import (
    CHECK_ROWS,
    CHECK_STEPS,
    SEED,
    WORLD_PARTS,
    GivenSegments,
    Networks,
    as_given,
    build_networks,
    compile_world,
    full_precision,
    make_play,
    make_segments,
    num_actions_of,
    section_of,
    shared_noise,
    with_ends,
)
from diamond.bench.ours import world_of
from diamond.config.overrides import override
from diamond.config.run import RunConfig
from diamond.data.segments import starts_of
from diamond.families.diamond.config import diamond_of
from diamond.part import AnyPart
from diamond.records import Trajectories
from diamond.rng import StreamNoise, torch_generator
from diamond.seeds import Purpose


class OurOutputs:
    """Losses, norms of gradients, frames and logits of fresh networks."""

    def __init__(self, config: RunConfig, device: torch.device, compiled: bool = False) -> None:
        self._config = as_given(config)
        self._device = device
        self._compiled = compiled
        self._num_actions = num_actions_of(config)

    def outputs(self, part: str) -> Mapping[str, Tensor]:
        """Outputs of a part by name."""
        nets = build_networks(self._config, self._num_actions, self._device)
        if self._compiled:
            compile_world(nets, part)
        with full_precision(), shared_noise():
            match part:
                case "policy":
                    return self._policy(nets)
                case "imagination":
                    return self._imagination(nets)
                case name:
                    return self._training(nets, next(p for p in WORLD_PARTS if p.name == name))

    def _training(self, nets: Networks, part: AnyPart) -> dict[str, Tensor]:
        config, net = section_of(self._config, part), getattr(nets, part.name)
        size = min(config.batch_size, CHECK_ROWS), part.data(config, None).num_steps
        segments = with_ends(make_segments(self._config, self._num_actions, size))
        loss, terms = part.loss_of(net, config, GivenSegments(segments), SEED)(0)
        named = {name.replace("_", " "): value for name, value in terms.items()} or {"loss": loss}
        return named | {"gradient norm": gradient_norm(net, loss)}

    def _policy(self, nets: Networks) -> dict[str, Tensor]:
        play = make_play(self._config, self._num_actions, (CHECK_ROWS, CHECK_STEPS))
        play = play.to(self._device)
        net = nets.policy
        memory = net.initial(CHECK_ROWS, play.frames)
        rows = []
        for frame in play.frames.unbind(dim=1):
            logits, value, memory = net(frame, memory)
            rows.append((logits, value))
        logits, values = (torch.stack(column, dim=1) for column in zip(*rows, strict=True))
        loss, _ = actor_critic_loss(
            Trajectories(play.actions, play.rewards, play.ends, logits, values, play.next_values),
            self._config.policy,
        )
        return {
            "logits": logits,
            "values": values,
            "loss": loss,
            "gradient norm": gradient_norm(net, loss),
        }

    def _imagination(self, nets: Networks) -> dict[str, Tensor]:
        history = diamond_of(self._config).denoiser.history
        start = make_segments(self._config, self._num_actions, (CHECK_ROWS, history))
        start = start.to(self._device)
        frames, actions = start.frames[:, :-1], start.actions
        config = override(self._config, {"sampler.quantizer": "none"})
        found: dict[str, Tensor] = {}
        for steps in STEPS:
            world = world_of(config, nets, steps)
            state = world.start(*starts_of(start))
            noise = StreamNoise(torch_generator(SEED, Purpose.BENCH, "unused"))
            _, step = world.step(state, actions[:, -1], noise)
            with torch.no_grad():
                rewards, ends, _ = nets.reward_end(
                    frames[:, -1:],
                    actions[:, -1:],
                    step.frame[:, None],
                    (state.hidden, state.cell),
                )
            found |= {
                f"n={steps} frame": step.frame,
                f"n={steps} reward logits": rewards,
                f"n={steps} end logits": ends,
            }
        return found


def gradient_norm(net: nn.Module, loss: Tensor) -> Tensor:
    """Norm of the gradient of a loss over all parameters, in float64."""
    net.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad.double().flatten() for p in net.parameters() if p.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.cat(gradients))
    return norm
