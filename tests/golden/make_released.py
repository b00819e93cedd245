"""Run the released code of arXiv:2405.12399 on the formula's weights and inputs, keep its outputs.

    git clone https://github.com/eloialonso/diamond /tmp/released
    python tests/golden/make_released.py /tmp/released

Writes released.safetensors (values) and released.json (names, shapes, counts, the commit) beside
this file. Nothing of the checkout is copied. Its modules are imported as they are, except that
third parties which play no part in the numbers are stubs, and noise is given.
"""

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, patch

import torch
from safetensors.torch import save_file
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.golden import formula  # noqa: E402

HERE = Path(__file__).resolve().parent
STUBS = (
    "ale_py",
    "cv2",
    "h5py",
    "hydra",
    "hydra.utils",
    "omegaconf",
    "torcheval",
    "torcheval.metrics",
    "torcheval.metrics.functional",
    "wandb",
)
SIGMA_DATA, OFFSET_NOISE = 0.5, 0.3
# Values before truncation keep this distance from a level, so that rounding cannot move them.
LEVEL_MARGIN = 3e-4
PARTS = ("denoiser", "rew_end_model", "actor_critic")


def build_agent(num_actions: int, history: int) -> Any:
    """A released agent of the published sizes with the formula's weights, and no others."""
    diffusion = importlib.import_module("models.diffusion")
    outcome = importlib.import_module("models.rew_end_model")
    policy = importlib.import_module("models.actor_critic")
    agent = importlib.import_module("agent")
    four, attention = [2] * 4, [0] * 4
    config = agent.AgentConfig(
        denoiser=diffusion.DenoiserConfig(
            diffusion.InnerModelConfig(3, history, 256, four, [64] * 4, attention),
            SIGMA_DATA,
            OFFSET_NOISE,
        ),
        rew_end_model=outcome.RewEndModelConfig(512, 3, 64, 128, four, [32] * 4, attention),
        actor_critic=policy.ActorCriticConfig(512, 3, 64, [32, 32, 64, 64], [1] * 4),
        num_actions=num_actions,
    )
    made = agent.Agent(config)
    made.load_state_dict(formula.weights(shapes_of(made)), strict=True)
    return made


def shapes_of(module: Any) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a state dict."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


@contextmanager
def unquantised(denoiser: Any) -> Iterator[None]:
    """Leave out the truncation of the output; what is outside of [-1, 1] stays."""

    def combine(noisy: Tensor, output: Tensor, cs: Any) -> Tensor:
        combined: Tensor = cs.c_skip * noisy + cs.c_out * output
        return combined

    with patch.object(denoiser, "wrap_model_output", combine):
        yield


@contextmanager
def clamped(denoiser: Any) -> Iterator[None]:
    """Leave out the truncation of the output, keep its clamp."""

    def combine(noisy: Tensor, output: Tensor, cs: Any) -> Tensor:
        combined: Tensor = cs.c_skip * noisy + cs.c_out * output
        return combined.clamp(-1, 1)

    with patch.object(denoiser, "wrap_model_output", combine):
        yield


def gradients(module: Any, prefix: str, loss: Tensor) -> Tensor:
    """Summaries of the gradients of a loss, rows in the order of sorted released names."""
    module.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    named = sorted(module.named_parameters())
    return torch.stack([formula.gradient_summary(f"{prefix}.{n}", p.grad) for n, p in named])


@torch.no_grad()
def denoised() -> dict[str, Tensor]:
    """D(x; sigma) of every case."""
    values = {}
    for case in formula.DENOISE_CASES:
        denoiser = build_agent(case.num_actions, case.history).denoiser
        past = case.past().flatten(1, 2)
        with unquantised(denoiser):
            for sigma in case.sigmas:
                out = denoiser.denoise(case.noisy(sigma), torch.tensor(sigma), past, case.actions())
                values[f"{case.name}/{sigma}"] = out
    return values


@torch.no_grad()
def sampled(agent: Any) -> dict[str, Tensor]:
    """Frames of every sampler case; those of the quantised ones away from any tie."""
    values = {}
    for case in formula.SAMPLE_CASES:
        if case.quantizer == "none":
            with clamped(agent.denoiser):
                values[case.name] = _sample(agent, case, case.start(0))
            continue
        for attempt in range(1000):
            start = case.start(attempt)
            margin, out = _sample_with_margin(agent, case, start)
            if margin >= LEVEL_MARGIN:
                break
        else:
            raise SystemExit(f"{case.name}: every start is near a tie")
        values[case.name] = out
        values[f"{case.name}/attempt"] = torch.tensor(attempt)
    return values


def _sample(agent: Any, case: formula.SampleCase, start: Tensor) -> Tensor:
    diffusion = importlib.import_module("models.diffusion")
    config = diffusion.DiffusionSamplerConfig(case.steps, case.sigma_min, order=case.order)
    sampler = diffusion.DiffusionSampler(agent.denoiser, config)
    with patch("torch.randn", lambda *_, **__: start):
        frames, _ = sampler.sample(formula.BASE.past(), formula.BASE.actions())
    return frames  # type: ignore[no-any-return]


def _sample_with_margin(
    agent: Any, case: formula.SampleCase, start: Tensor
) -> tuple[float, Tensor]:
    wrap: Callable[..., Tensor] = agent.denoiser.wrap_model_output
    margins = [1.0]

    def watch(noisy: Tensor, output: Tensor, cs: Any) -> Tensor:
        value = (cs.c_skip * noisy + cs.c_out * output).double()
        scaled = (value + 1) * 127.5
        scaled = scaled[(scaled > -0.5) & (scaled < 255.5)]
        margins.append(float((scaled - scaled.round()).abs().min()))
        return wrap(noisy, output, cs)

    with patch.object(agent.denoiser, "wrap_model_output", watch):
        frames = _sample(agent, case, start)
    return min(margins), frames


def quantised(agent: Any) -> dict[str, Tensor]:
    """The truncation alone: every level, and numbers inside and outside of [-1, 1]."""
    one, zero = torch.ones(1), torch.zeros(1)
    every = torch.arange(256).float().div(255).mul(2).sub(1)
    cs = SimpleNamespace(c_skip=one, c_out=zero)
    values = torch.cat((every, formula.numbers("quantise", 2048)))
    return {"quantise": agent.denoiser.wrap_model_output(values, torch.zeros_like(values), cs)}


def denoising_loss(agent: Any) -> dict[str, Tensor]:
    """The loss of two passes with truncation between them, and its gradients."""
    data = importlib.import_module("data")
    diffusion = importlib.import_module("models.diffusion")
    denoiser = agent.denoiser
    if denoiser.sample_sigma_training is None:
        denoiser.setup_training(diffusion.SigmaDistributionConfig(-0.4, 1.2, 2e-3, 20))
    obs = formula.loss_frames()
    mask = torch.ones(obs.shape[:2], dtype=torch.bool)
    empty = torch.zeros(obs.shape[:2])
    batch = data.Batch(obs, formula.loss_actions(), empty, empty, empty, mask, [], [])
    noise = formula.GivenNoise("loss")

    def like(x: Tensor) -> Tensor:
        return noise.randn(*x.shape)

    with patch("torch.randn", noise.randn), patch("torch.randn_like", like):
        loss, _ = denoiser(batch)
    return {
        "loss/denoiser": loss.detach(),
        "gradient/denoiser": gradients(denoiser, "denoiser", loss),
    }


@torch.no_grad()
def outcomes(agent: Any, num_actions: int) -> dict[str, Tensor]:
    """Logits and state from nothing, and one more step from a given state."""
    frames, acts = formula.outcome_frames(), formula.outcome_actions(num_actions)
    name, net = f"outcome/{num_actions}", agent.rew_end_model
    whole = net.predict_rew_end(frames[:, :-1], acts, frames[:, 1:])
    hidden, cell = formula.recurrent(name, formula.OUTCOME_BATCH)
    step = net.predict_rew_end(
        frames[:, :1], acts[:, :1], frames[:, 1:2], (hidden[None], cell[None])
    )
    values: dict[str, Tensor] = {}
    for kind, (rewards, ends, (h, c)) in (("whole", whole), ("step", step)):
        values |= {f"{name}/{kind}/rewards": rewards, f"{name}/{kind}/ends": ends}
        values |= {f"{name}/{kind}/hidden": h[0], f"{name}/{kind}/cell": c[0]}
    return values


def outcome_loss(agent: Any, ends: Tensor, name: str) -> dict[str, Tensor]:
    """The loss where dead segments hold grey padding and their true final frame apart."""
    data = importlib.import_module("data")
    frames, mask = formula.outcome_frames(), formula.before_padding(ends)
    obs = frames.clone()
    obs[~mask] = 0.0
    info = [
        {"final_observation": row[int(end.argmax()) + 1]} if end.any() else {}
        for row, end in zip(frames, ends, strict=True)
    ]

    def longer(x: Tensor) -> Tensor:
        return torch.cat((x, torch.zeros_like(x[:, :1])), dim=1)

    acts = longer(formula.outcome_actions(4))
    batch = data.Batch(
        obs, acts, longer(formula.outcome_rewards()), longer(ends), longer(ends * 0), mask, info, []
    )
    net = agent.rew_end_model
    loss, metrics = net(batch)
    return {
        f"loss/{name}": loss.detach(),
        f"loss/{name}/reward": metrics["loss_rew"],
        f"loss/{name}/end": metrics["loss_end"],
        f"gradient/{name}": gradients(net, "rew_end_model", loss),
    }


def _play(net: Any, num_actions: int) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    memory = formula.recurrent(f"policy/{num_actions}", formula.POLICY_BATCH)
    logits, values = [], []
    for frame in formula.policy_frames().unbind(dim=1):
        step_logits, value, memory = net.predict_act_value(frame, memory)
        logits.append(step_logits)
        values.append(value)
    return torch.stack(logits, dim=1), torch.stack(values, dim=1), memory


@torch.no_grad()
def policies(agent: Any, num_actions: int) -> dict[str, Tensor]:
    """Logits, values and state over some frames."""
    logits, values, (hidden, cell) = _play(agent.actor_critic, num_actions)
    name = f"policy/{num_actions}"
    return {
        f"{name}/logits": logits,
        f"{name}/values": values,
        f"{name}/hidden": hidden,
        f"{name}/cell": cell,
    }


def returns() -> dict[str, Tensor]:
    """Lambda-returns of every case."""
    compute = importlib.import_module("models.actor_critic").compute_lambda_returns
    given = (
        formula.policy_rewards(),
        formula.policy_ends(),
        formula.policy_truncations(),
        formula.policy_next_values(),
    )
    return {c.name: compute(*given, c.gamma, c.lambda_) for c in formula.RETURNS_CASES}


def policy_loss(agent: Any) -> dict[str, Tensor]:
    """The actor-critic loss on what the network says of given frames, and its gradients."""
    module = importlib.import_module("models.actor_critic")
    net = agent.actor_critic

    def send(_: int) -> tuple[Any, ...]:
        logits, values, _memory = _play(net, 4)
        return (
            None,
            formula.policy_actions(4),
            formula.policy_rewards(),
            formula.policy_ends(),
            formula.policy_truncations(),
            logits,
            values,
            formula.policy_next_values(),
            None,
        )

    case = formula.PAPER_RETURNS
    net.env_loop = SimpleNamespace(send=send)
    net.loss_cfg = module.ActorCriticLossConfig(
        formula.POLICY_STEPS,
        case.gamma,
        case.lambda_,
        formula.VALUE_WEIGHT,
        formula.ENTROPY_WEIGHT,
    )
    loss, metrics = net()
    return {
        "loss/policy": loss.detach(),
        "loss/policy/actor": metrics["loss_actions"],
        "loss/policy/value": metrics["loss_values"],
        "loss/policy/entropy": metrics["loss_entropy"],
        "gradient/policy": gradients(net, "actor_critic", loss),
    }


class _Segments:
    """Stands in for the data loader: one batch with every start, in order."""

    batch_sampler = SimpleNamespace(batch_size=formula.IMAGINE_BATCH)

    def __iter__(self) -> Iterator[Any]:
        yield SimpleNamespace(obs=formula.imagine_frames(), act=formula.imagine_actions())


class _GivenDraws:
    """Stands in for what the loop draws: kinds come in turn, an env step after the other."""

    def __init__(self) -> None:
        self._calls = {"noise": -2, "action": -2, "reward": -2, "end": -2}

    def _next(self, kind: str) -> int:
        self._calls[kind] += 1
        return self._calls[kind]

    def randn(self, *_: Any, **__: Any) -> Tensor:
        return formula.imagine_start_noise(self._next("noise"))

    def class_of(self, distribution: Any) -> Tensor:
        kind = {4: "action", 3: "reward", 2: "end"}[distribution.logits.shape[-1]]
        uniforms = formula.imagine_uniforms(kind, self._next(kind))
        logits = distribution.logits
        flat = formula.drawn(logits.reshape(formula.IMAGINE_BATCH, -1), uniforms)
        return flat.reshape(logits.shape[:-1])


def imagination(agent: Any) -> dict[str, Tensor]:
    """The actor-critic loss over the released loop in the released world model's environment.

    Frames are drawn in one denoising step and keep their clamp alone: no value is near a tie.
    The first update of that loop starts from a memory of zeros, every later one from burnt-in
    starts, because all rows were cut at its end. One env step that cuts all rows leads there.
    """
    categorical = importlib.import_module("torch.distributions.categorical").Categorical
    envs, diffusion = importlib.import_module("envs"), importlib.import_module("models.diffusion")
    module, net = importlib.import_module("models.actor_critic"), agent.actor_critic
    config = importlib.import_module("envs.world_model_env").WorldModelEnvConfig(
        horizon=1,
        num_batches_to_preload=1,
        diffusion_sampler=diffusion.DiffusionSamplerConfig(1),
    )
    env = envs.WorldModelEnv(agent.denoiser, agent.rew_end_model, _Segments(), config)
    loop = importlib.import_module("coroutines.env_loop").make_env_loop(env, net)
    steps, case, draws = formula.IMAGINE_STEPS, formula.PAPER_RETURNS, _GivenDraws()
    kept: list[Any] = []

    def sample(law: Any) -> Tensor:
        return draws.class_of(law)

    def send(num_steps: int) -> Any:
        kept.append(loop.send(num_steps))
        return kept[-1]

    net.loss_cfg = module.ActorCriticLossConfig(
        steps, case.gamma, case.lambda_, formula.VALUE_WEIGHT, formula.ENTROPY_WEIGHT
    )
    with (
        clamped(agent.denoiser),
        patch("torch.randn", draws.randn),
        patch.object(categorical, "sample", sample),
    ):
        loop.send(1)
        env.horizon = steps
        net.env_loop = SimpleNamespace(send=send)
        loss, _ = net()
    frames, actions, rewards, ends, _, logits, values, bootstrap, _ = kept[0]
    return {
        "imagine/last_frames": frames[:, -1, :, ::8, ::8],
        "imagine/actions": actions,
        "imagine/rewards": rewards,
        "imagine/ends": ends,
        "imagine/logits": logits.detach(),
        "imagine/values": values.detach(),
        "imagine/next_values": bootstrap,
        "imagine/loss": loss.detach(),
        "gradient/imagine": gradients(net, "actor_critic", loss),
    }


def facts(agent: Any, commit: str) -> dict[str, Any]:
    """Names, shapes, counts and decay groups."""
    released = importlib.import_module("utils")
    groups = {}
    for part in PARTS:
        module = getattr(agent, part)
        by_id = {id(p): f"{part}.{name}" for name, p in module.named_parameters()}
        optimizer = released.configure_opt(module, 1e-4, 1e-2, 1e-8)
        groups[part] = {
            "decayed" if group["weight_decay"] > 0 else "kept": sorted(
                by_id[id(p)] for p in group["params"]
            )
            for group in optimizer.param_groups
        }
    return {
        "commit": commit,
        "num_parameters": {p: released.count_parameters(getattr(agent, p)) for p in PARTS},
        "shapes": shapes_of(agent),
        "weight_decay": groups,
    }


def main() -> None:
    """Make both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path, help="a clone of github.com/eloialonso/diamond")
    checkout = parser.parse_args().checkout.resolve()
    git = ["git", "-C", str(checkout)]
    commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    if subprocess.check_output([*git, "status", "--porcelain", "--", "src"], text=True):
        raise SystemExit(f"{checkout} has changes in src; give a clean clone")
    sys.modules.update({name: MagicMock() for name in STUBS})
    sys.path.insert(0, str(checkout / "src"))
    torch.set_num_threads(1)

    agent = build_agent(num_actions=4, history=4)
    values = denoised() | sampled(agent) | quantised(agent) | denoising_loss(agent)
    for num_actions in formula.NUM_ACTIONS:
        other = agent if num_actions == 4 else build_agent(num_actions, 4)
        values |= outcomes(other, num_actions) | policies(other, num_actions)
    values |= outcome_loss(agent, formula.outcome_ends(), "outcome")
    values |= outcome_loss(agent, formula.early_ends(), "outcome_padded")
    values |= returns() | policy_loss(agent) | imagination(agent)
    save_file(
        {name: tensor.contiguous() for name, tensor in sorted(values.items())},
        HERE / "released.safetensors",
        metadata={"source": "github.com/eloialonso/diamond", "commit": commit},
    )
    text = json.dumps(facts(agent, commit), indent=1, sort_keys=True)
    (HERE / "released.json").write_text(text + "\n")
    for name, tensor in sorted(values.items()):
        print(f"{name:32} {tuple(tensor.shape)!s:20} {float(tensor.double().abs().max()):.4g}")


if __name__ == "__main__":
    main()
