"""The cases as the released code runs them: its own functions, of a checkout."""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from safetensors.torch import load_file
from torch import Tensor

from diamond.bench.cases import Case
from diamond.bench.checkout import enter
from diamond.bench.inputs import SEED, make_segments, num_actions_of
from diamond.config.networks import OptimizerConfig
from diamond.config.run import RunConfig
from diamond.families.diamond.config import diamond_of
from diamond.records import Segments
from diamond.rng import numpy_generator
from diamond.seeds import Purpose

Run = Callable[[], object]
_NEVER = 10**9
_NUM_ACTIONS_DRAWN = 1000


class Released:
    """The cases of one config on one device; networks are fresh for every case."""

    def __init__(
        self, checkout: Path, config: RunConfig, weights: Path, device: torch.device
    ) -> None:
        """Enter the checkout.

        Args:
            checkout: Its folder.
            config: What is measured; `misfits` of it is empty.
            weights: File with the weights under released names.
            device: Where to compute.
        """
        enter(checkout)
        functional = sys.modules.get("torcheval.metrics.functional")
        if functional is not None:
            functional.multiclass_confusion_matrix = _confusion  # type: ignore[attr-defined]
        # As its trainer has it.
        torch.backends.cuda.matmul.allow_tf32 = True
        self.config = config
        self.device = device
        self.num_actions = num_actions_of(config)
        self._weights = load_file(weights)
        self._envs: list[Any] = []

    def outputs(self, part: str) -> Mapping[str, Tensor]:
        """What the sides are compared by."""
        from diamond.bench.released_outputs import outputs_of  # noqa: PLC0415

        return outputs_of(self, part)

    def close(self) -> None:
        """End the processes of environments."""
        for env in self._envs:
            with suppress(Exception):
                env.close()
        self._envs.clear()

    def agent(self) -> Any:
        """An agent of the config's sizes with the given weights."""
        diffusion = importlib.import_module("models.diffusion")
        reward_end_module = importlib.import_module("models.rew_end_model")
        policy_module = importlib.import_module("models.actor_critic")
        module = importlib.import_module("agent")
        denoiser, reward_end, policy = (
            diamond_of(self.config).denoiser,
            diamond_of(self.config).reward_end,
            self.config.policy,
        )
        size = self.config.view.height
        config = module.AgentConfig(
            denoiser=diffusion.DenoiserConfig(
                diffusion.InnerModelConfig(
                    3,
                    denoiser.history,
                    denoiser.cond_channels,
                    list(denoiser.depths),
                    list(denoiser.channels),
                    [0] * len(denoiser.depths),
                ),
                denoiser.sigma_data,
                denoiser.offset_noise,
            ),
            rew_end_model=reward_end_module.RewEndModelConfig(
                reward_end.lstm_size,
                3,
                size,
                reward_end.cond_channels,
                list(reward_end.depths),
                list(reward_end.channels),
                [0] * len(reward_end.depths),
            ),
            actor_critic=policy_module.ActorCriticConfig(
                policy.lstm_size, 3, size, list(policy.channels), [1] * len(policy.channels)
            ),
            num_actions=self.num_actions,
        )
        made = module.Agent(config)
        made.load_state_dict(self._weights, strict=True)
        made.to(self.device)
        made.denoiser.setup_training(
            diffusion.SigmaDistributionConfig(
                denoiser.noise_loc, denoiser.noise_scale, denoiser.noise_min, denoiser.noise_max
            )
        )
        return made

    def segments(self, rows: int, steps: int) -> Segments:
        """The segments that our side has too."""
        return make_segments(self.config, self.num_actions, (rows, steps))

    def batch(self, segments: Segments, num_frames: int) -> Any:
        """The first frames of segments as its data set gives them."""
        data = importlib.import_module("data")
        frames = segments.frames[:, :num_frames].contiguous()
        actions, rewards, ends = (
            _longer(x)[:, :num_frames] for x in (segments.actions, segments.rewards, segments.ends)
        )
        mask = torch.ones(frames.shape[:2], dtype=torch.bool)
        # Where a segment ends, it looks there for the frame after the end.
        info = [
            {"final_observation": row[int(end.argmax()) + 1]} if end.any() else {}
            for row, end in zip(frames, segments.ends, strict=True)
        ]
        return data.Batch(frames, actions, rewards, ends, torch.zeros_like(ends), mask, info, [])

    def world(self, agent: Any, size: tuple[int, int, int], batch: Any) -> Any:
        """Its environment of imagined games; size is denoising steps, horizon and games."""
        envs = importlib.import_module("envs")
        diffusion = importlib.import_module("models.diffusion")
        steps, horizon, games = size
        sampler = diamond_of(self.config).sampler
        config = envs.WorldModelEnvConfig(
            horizon=horizon,
            num_batches_to_preload=1,
            diffusion_sampler=diffusion.DiffusionSamplerConfig(
                steps,
                sampler.sigma_min,
                sampler.sigma_max,
                sampler.rho,
                sampler.order,
                sampler.churn,
            ),
        )
        env = envs.WorldModelEnv(
            agent.denoiser, agent.rew_end_model, _GivenBatches(batch, games), config
        )
        if self.device.type == "cuda":
            # As its trainer does with its default `compile_wm`.
            for name in ("predict_next_obs", "predict_rew_end"):
                setattr(env, name, torch.compile(getattr(env, name), mode="reduce-overhead"))
        return env

    def prepare(self, case: Case) -> Run:
        """What runs a case once: an update, an imagined step of all rows, an env step."""
        match case.part:
            case "environment":
                return self._environment()
            case "denoiser":
                config = diamond_of(self.config).denoiser
                num_frames = config.history + config.autoregressive_passes
                batch = self.batch(self.segments(case.batch, num_frames - 1), num_frames)
                return self._on_batch(self.agent().denoiser, config.optimizer, batch)
            case "reward_end":
                steps = diamond_of(self.config).reward_end.sequence_steps
                batch = self.batch(self.segments(case.batch, steps), steps + 1)
                return self._on_batch(
                    self.agent().rew_end_model, diamond_of(self.config).reward_end.optimizer, batch
                )
            case "policy":
                return self._policy(case.batch)
            case "imagination":
                assert case.steps is not None
                return self._imagination(case.steps, case.batch)
            case _:
                raise AssertionError(case.part)

    def _environment(self) -> Run:
        with _lenient_wrapper():
            env = importlib.import_module("envs").make_atari_env(
                f"{self.config.game}NoFrameskip-v4",
                num_envs=1,
                device=self.device,
                done_on_life_loss=True,
                size=self.config.view.height,
                max_episode_steps=None,
            )
        self._envs.append(env)
        env.reset(seed=[SEED])
        rng = numpy_generator(SEED, Purpose.BENCH, "actions")
        drawn = rng.integers(self.num_actions, size=(_NUM_ACTIONS_DRAWN, 1))
        actions = torch.from_numpy(drawn).to(self.device)
        played = 0

        def run() -> None:
            nonlocal played
            played += 1
            env.step(actions[played % len(actions)])

        return run

    def _on_batch(self, net: Any, config: OptimizerConfig, batch: Any) -> Run:
        return self._updates(net, config, lambda: net(batch.to(self.device)))

    def _policy(self, games: int) -> Run:
        config, agent = self.config.policy, self.agent()
        history = diamond_of(self.config).denoiser.history
        batch = self.batch(self.segments(games, history), history)
        size = (diamond_of(self.config).sampler.steps, config.horizon_steps, games)
        module = importlib.import_module("models.actor_critic")
        agent.actor_critic.setup_training(
            self.world(agent, size, batch),
            module.ActorCriticLossConfig(
                config.horizon_steps,
                config.gamma,
                config.lambda_,
                config.value_weight,
                config.entropy_weight,
            ),
        )
        return self._updates(agent.actor_critic, config.optimizer, agent.actor_critic)

    def _imagination(self, steps: int, games: int) -> Run:
        history = diamond_of(self.config).denoiser.history
        segments = self.segments(games, history)
        env = self.world(self.agent(), (steps, _NEVER, games), self.batch(segments, history))
        env.reset()
        action = segments.actions[:, -1].to(self.device)
        return lambda: env.step(action)

    def _updates(self, net: Any, config: OptimizerConfig, loss_of: Callable[[], Any]) -> Run:
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


class _GivenBatches:
    """Stands in for its data loader: the same batch without end."""

    def __init__(self, batch: Any, batch_size: int) -> None:
        self.batch_sampler = SimpleNamespace(batch_size=batch_size)
        self._batch = batch

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self._batch


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


def _longer(x: Tensor) -> Tensor:
    return torch.cat((x, torch.zeros_like(x[:, :1])), dim=1)


def _confusion(input: Tensor, target: Tensor, num_classes: int) -> Tensor:  # noqa: A002
    """Counts (target, predicted), in place of what the released code imports for it."""
    cells = target * num_classes + input.argmax(dim=1)
    return torch.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)
