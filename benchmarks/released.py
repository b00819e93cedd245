"""The cases as the released code of arXiv:2405.12399 runs them: its own functions, of a checkout.

Nothing of it is copied. Third parties that play no part in what is computed are stubs where they
are not installed: configuration, logging, counts of right answers.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import cycle
from multiprocessing import set_start_method
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, patch

import torch
from torch import Tensor

from benchmarks import inputs
from benchmarks.cases import Case
from benchmarks.ours import IMAGINED, Run
from diamond.config.networks import OptimizerConfig
from diamond.config.run import RunConfig
from diamond.families.diamond.config import diamond_of
from diamond.records import Segments
from diamond.rng import numpy_generator
from diamond.seeds import Purpose

_STUBS = {
    "h5py": ("h5py",),
    "hydra": ("hydra", "hydra.utils"),
    "omegaconf": ("omegaconf",),
    "torcheval": ("torcheval", "torcheval.metrics", "torcheval.metrics.functional"),
    "wandb": ("wandb",),
}


class Released:
    """The cases of one config on one device; networks are fresh for every case."""

    def __init__(
        self, checkout: Path, config: RunConfig, weights: Mapping[str, Tensor], device: torch.device
    ) -> None:
        """Make the modules of a checkout importable, without a trace in its folder."""
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(checkout / "src"))
        for library, modules in _STUBS.items():
            if importlib.util.find_spec(library) is None:
                sys.modules |= {
                    name: MagicMock(multiclass_confusion_matrix=_confusion) for name in modules
                }
        # Its environments are processes, which find the stubs only where they are forks.
        set_start_method("fork", force=True)
        # As its trainer has it.
        torch.backends.cuda.matmul.allow_tf32 = True
        self._config = config
        self._device = device
        self._num_actions = inputs.num_actions_of(config)
        self._weights = weights
        self._envs: list[Any] = []

    def close(self) -> None:
        """End the processes of environments."""
        for env in self._envs:
            with suppress(Exception):
                env.close()

    def prepare(self, case: Case) -> Run:
        """What runs a case once: an update, an imagined step of all rows, an env step."""
        world, policy = diamond_of(self._config), self._config.policy
        match case.part:
            case "environment":
                return self._environment()
            case "denoiser" | "reward_end":
                net, config, batch = self._training(case.part, case.batch, ended=False)
                return _updates(net, config.optimizer, lambda: net(batch.to(self._device)))
            case "policy":
                agent = self._agent()
                size = world.sampler.steps, policy.horizon_steps, case.batch
                env, _ = self._world(agent, size)
                agent.actor_critic.setup_training(env, self._loss_config(policy.horizon_steps))
                return _updates(agent.actor_critic, policy.optimizer, agent.actor_critic)
            case _:
                assert case.steps is not None
                env, action = self._world(self._agent(), (case.steps, inputs.NEVER, case.batch))
                env.reset()
                return lambda: env.step(action)

    def outputs(self, part: str) -> Mapping[str, Tensor]:
        """What the sides are compared by, under the names of `Ours.outputs`."""
        if part == "policy":
            return self._policy_outputs(self._agent().actor_critic)
        if part == "imagination":
            return self._imagined_outputs(self._agent())
        net, _, batch = self._training(part, inputs.CHECK_ROWS, ended=True)
        loss, terms = net(batch.to(self._device))
        named = {"loss": loss}
        if part == "reward_end":
            named = {"reward loss": terms["loss_rew"], "end loss": terms["loss_end"]}
        return named | {"gradient norm": inputs.gradient_norm(net, loss)}

    def _training(self, part: str, rows: int, *, ended: bool) -> tuple[Any, Any, Any]:
        """A network of the world model, our section of it, and rows for an update."""
        world, agent = diamond_of(self._config), self._agent()
        config: Any = world.denoiser if part == "denoiser" else world.reward_end
        if part == "denoiser":
            net, steps = agent.denoiser, config.history + config.autoregressive_passes - 1
        else:
            net, steps = agent.rew_end_model, config.sequence_steps
        segments = self._segments(min(config.batch_size, rows), steps)
        given = inputs.with_ends(segments) if ended else segments
        return net, config, self._batch(given, steps + 1)

    def _agent(self) -> Any:
        """An agent of the config's sizes with the given weights."""
        diffusion = importlib.import_module("models.diffusion")
        module = importlib.import_module("agent")
        world, policy = diamond_of(self._config), self._config.policy
        denoiser, reward_end, size = world.denoiser, world.reward_end, self._config.view.height
        inner = diffusion.InnerModelConfig(3, denoiser.history, *_levels(denoiser))
        reward_end_config = importlib.import_module("models.rew_end_model").RewEndModelConfig
        policy_config = importlib.import_module("models.actor_critic").ActorCriticConfig
        config = module.AgentConfig(
            denoiser=diffusion.DenoiserConfig(inner, denoiser.sigma_data, denoiser.offset_noise),
            rew_end_model=reward_end_config(reward_end.lstm_size, 3, size, *_levels(reward_end)),
            actor_critic=policy_config(
                policy.lstm_size, 3, size, list(policy.channels), [1] * len(policy.channels)
            ),
            num_actions=self._num_actions,
        )
        made = module.Agent(config)
        made.load_state_dict(self._weights, strict=True)
        made.to(self._device)
        law = denoiser.noise_loc, denoiser.noise_scale, denoiser.noise_min, denoiser.noise_max
        made.denoiser.setup_training(diffusion.SigmaDistributionConfig(*law))
        return made

    def _segments(self, rows: int, steps: int) -> Segments:
        return inputs.make_segments(self._config, self._num_actions, (rows, steps))

    def _batch(self, segments: Segments, num_frames: int) -> Any:
        """The first frames of segments as its data set gives them."""
        frames = segments.frames[:, :num_frames].contiguous()
        actions, rewards, ends = (
            torch.cat((x, torch.zeros_like(x[:, :1])), dim=1)[:, :num_frames]
            for x in (segments.actions, segments.rewards, segments.ends)
        )
        mask = torch.ones(frames.shape[:2], dtype=torch.bool)
        # Where a segment ends, it looks there for the frame after the end.
        info = [
            {"final_observation": row[int(end.argmax()) + 1]} if end.any() else {}
            for row, end in zip(frames, segments.ends, strict=True)
        ]
        batch = importlib.import_module("data").Batch
        return batch(frames, actions, rewards, ends, torch.zeros_like(ends), mask, info, [])

    def _world(self, agent: Any, size: tuple[int, int, int]) -> tuple[Any, Tensor]:
        """Its environment of imagined games, and the action that follows their starts.

        The size is denoising steps, horizon and games.
        """
        envs = importlib.import_module("envs")
        steps, horizon, games = size
        history, sampler = (
            diamond_of(self._config).denoiser.history,
            diamond_of(self._config).sampler,
        )
        segments = self._segments(games, history)
        sampling = importlib.import_module("models.diffusion").DiffusionSamplerConfig(
            steps, sampler.sigma_min, sampler.sigma_max, sampler.rho, sampler.order, sampler.churn
        )
        config = envs.WorldModelEnvConfig(
            horizon=horizon, num_batches_to_preload=1, diffusion_sampler=sampling
        )
        given = _GivenBatches(self._batch(segments, history), games)
        env = envs.WorldModelEnv(agent.denoiser, agent.rew_end_model, given, config)
        if self._device.type == "cuda":
            # As its trainer does with its default `compile_wm`.
            for name in ("predict_next_obs", "predict_rew_end"):
                setattr(env, name, torch.compile(getattr(env, name), mode="reduce-overhead"))
        return env, segments.actions[:, -1].to(self._device)

    def _loss_config(self, horizon: int) -> Any:
        config, module = self._config.policy, importlib.import_module("models.actor_critic")
        weights = config.value_weight, config.entropy_weight
        return module.ActorCriticLossConfig(horizon, config.gamma, config.lambda_, *weights)

    def _environment(self) -> Run:
        with _lenient_wrapper():
            env = importlib.import_module("envs").make_atari_env(
                f"{self._config.game}NoFrameskip-v4",
                num_envs=1,
                device=self._device,
                done_on_life_loss=True,
                size=self._config.view.height,
                max_episode_steps=None,
            )
        self._envs.append(env)
        env.reset(seed=[inputs.SEED])
        rng = numpy_generator(inputs.SEED, Purpose.BENCH, "actions")
        drawn = torch.from_numpy(
            rng.integers(self._num_actions, size=(inputs.NUM_ACTIONS_DRAWN, 1))
        )
        actions = cycle(drawn.to(self._device).unbind())
        return lambda: env.step(next(actions))

    def _policy_outputs(self, net: Any) -> dict[str, Tensor]:
        play, next_values = inputs.make_play(self._config, self._num_actions)
        play, next_values = play.to(self._device), next_values.to(self._device)
        memory = (play.frames.new_zeros(inputs.CHECK_ROWS, net.lstm_dim),) * 2
        rows = []
        for frame in play.frames[:, :-1].contiguous().unbind(dim=1):
            logits, value, memory = net.predict_act_value(frame, memory)
            rows.append((logits, value))
        logits, values = (torch.stack(column, dim=1) for column in zip(*rows, strict=True))
        ends, cut = play.ends, torch.zeros_like(play.ends)
        given = None, play.actions, play.rewards, ends, cut, logits, values, next_values, None
        net.env_loop = SimpleNamespace(send=lambda _: given)
        net.loss_cfg = self._loss_config(inputs.CHECK_STEPS)
        loss, _ = net()
        norm = inputs.gradient_norm(net, loss)
        return {"logits": logits, "values": values, "loss": loss, "gradient norm": norm}

    @torch.no_grad()
    def _imagined_outputs(self, agent: Any) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for steps in inputs.CHECK_DENOISING:
            env, action = self._world(agent, (steps, 2, inputs.CHECK_ROWS))
            env.reset()
            env.act_buffer[:, -1] = action
            with patch.object(agent.denoiser, "wrap_model_output", _clamped):
                frame, _ = env.sampler.sample(env.obs_buffer, env.act_buffer)
            rewards, ends, _ = agent.rew_end_model.predict_rew_end(
                env.obs_buffer[:, -1:],
                env.act_buffer[:, -1:],
                frame[:, None],
                (env.hx_rew_end, env.cx_rew_end),
            )
            tensors = frame, rewards, ends
            found |= {f"n={steps} {name}": x for name, x in zip(IMAGINED, tensors, strict=True)}
        return found


class _GivenBatches:
    """Stands in for its data loader: the same batch without end."""

    def __init__(self, batch: Any, batch_size: int) -> None:
        self.batch_sampler = SimpleNamespace(batch_size=batch_size)
        self._batch = batch

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self._batch


def _confusion(input: Tensor, target: Tensor, num_classes: int) -> Tensor:  # noqa: A002
    """Counts (target, predicted), in place of what the released code imports for it."""
    cells = target * num_classes + input.argmax(dim=1)
    return torch.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def _clamped(noisy: Tensor, output: Tensor, cs: Any) -> Tensor:
    """Leave out the truncation of the denoiser's output, keep its clamp."""
    combined: Tensor = cs.c_skip * noisy + cs.c_out * output
    return combined.clamp(-1, 1)


def _levels(config: Any) -> tuple[Any, ...]:
    """Size of the conditioning, then depths, channels and attention of every level."""
    depths = list(config.depths)
    return config.cond_channels, depths, list(config.channels), [0] * len(depths)


def _updates(net: Any, config: OptimizerConfig, loss_of: Callable[[], Any]) -> Run:
    """Whole updates with its optimiser, schedule and clipping, one after the other."""
    functions = importlib.import_module("utils")
    optimizer = functions.configure_opt(net, config.lr, config.weight_decay, config.eps)
    schedule = functions.get_lr_sched(optimizer, config.warmup_updates)
    net.train()
    optimizer.zero_grad()

    def run() -> None:
        loss, _ = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()

    return run


@contextmanager
def _lenient_wrapper() -> Iterator[None]:
    """Let its wrappers wrap a vector of games, which Gymnasium 1 no longer takes for one game."""
    core = importlib.import_module("envs.env").gymnasium
    whole = core.Wrapper.__init__

    def wrap(self: Any, env: Any) -> None:
        if isinstance(env, core.Env):
            whole(self, env)
            return
        self.env = env
        self._action_space = self._observation_space = self._metadata = None
        self._cached_spec = None

    # A wrapped vector of games is a wrapper itself, and passes.
    with patch.object(core.Wrapper, "__init__", wrap):
        yield
