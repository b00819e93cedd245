"""What the command asks for, checked before anything runs; no torch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diamond.ablation.designs import read_setting
from diamond.ablation.recipe import find_preset, preset_config
from diamond.ablation.variants import apply_axes
from diamond.bench.cases import DEFAULT_PARTS, PARTS, Part
from diamond.bench.checkout import check_checkout
from diamond.config.games import check_game
from diamond.config.run import RunConfig
from diamond.errors import RequestError, one_of
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.formulations import is_released_formulation
from diamond.pipeline.devices import check_compiler

DEFAULT_PRESET = "paper"
DEFAULT_GAME = "Breakout"


@dataclass(frozen=True)
class Request:
    """What to measure.

    Attributes:
        parts: In the order of `PARTS`.
        config: Networks, batches, precision, game.
        settings: What was set in place of the named preset's values, as it was written.
        reference: A checkout of the released code, or None.
        threads: Threads of either side.
        compiled: Whether torch compiles the networks of our world model.
    """

    parts: tuple[Part, ...]
    config: RunConfig
    settings: tuple[str, ...]
    reference: Path | None
    threads: int
    compiled: bool = False


def make_request(
    parts: Sequence[str],
    preset: str,
    game: str,
    settings: Sequence[str],
    reference: Path | None,
    compiled: bool = False,
) -> Request:
    """Read the words of the command.

    Raises:
        RequestError: A word is unknown, a value out of range, the reference no checkout, the
            released code has no such networks, or nothing can be compiled here.
    """
    hint = "name some of them, for instance diamond bench denoiser imagination"
    named = {one_of("part", part, PARTS, hint) for part in parts} or set(DEFAULT_PARTS)
    base = preset_config(find_preset(preset), check_game(game))
    config = apply_axes(base, read_setting(settings, "--set").chosen)
    checkout = None if reference is None else check_checkout(reference)
    if checkout is not None:
        _check_fits(config)
    if compiled:
        check_compiler()
    return Request(
        tuple(part for part in PARTS if part in named),
        config,
        (*config.recipe, *settings),
        checkout,
        num_threads(),
        compiled,
    )


def num_threads() -> int:
    """Threads of either side: as torch itself has them, ``OMP_NUM_THREADS`` or all cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else len(os.sched_getaffinity(0))


def misfits(config: RunConfig) -> list[str]:
    """What the released code cannot do of a config, as settings that it can; empty if nothing.

    Precision and averaged weights are not among them: our side has them, the released code
    computes in float32 and averages nothing.
    """
    world = diamond_of(config)
    wanted: dict[str, tuple[object, object]] = {
        "denoiser.patch": (world.denoiser.patch, 1),
        "denoiser.middle_attention": (world.denoiser.middle_attention, True),
        "denoiser.quantizer": (world.denoiser.quantizer, "floor"),
        "denoiser.noise_law": (world.denoiser.noise_law, "lognormal"),
        "denoiser.offset_law": (world.denoiser.offset_law, "constant"),
        "denoiser.cond_noise": (world.denoiser.cond_noise, 0.0),
        "denoiser.balance": (world.denoiser.balance, 0.0),
        "denoiser.change": (world.denoiser.change, 0.0),
        "reward_end.balance": (world.reward_end.balance, 0.0),
        "reward_end.encoder": (world.reward_end.encoder, "residual"),
        "reward_end.memory": (world.reward_end.memory, "lstm"),
        "sampler.quantizer": (world.sampler.quantizer, "floor"),
        "sampler.init_noise": (world.sampler.init_noise, "unit"),
        "sampler.solver": (world.sampler.solver, "ode"),
        "sampler.grid": (world.sampler.grid, "karras"),
        "sampler.quantize_at": (world.sampler.quantize_at, "call"),
        "sampler.cond_noise": (world.sampler.cond_noise, 0.0),
        "sampler.reward_end_sampling": (world.sampler.reward_end_sampling, "sample"),
        "policy.algorithm": (config.policy.algorithm, "reinforce"),
        "policy.event_starts": (config.policy.event_starts, 0.0),
        "policy.burn_in_frames": (
            config.policy.burn_in_frames,
            world.denoiser.history,
        ),
        "view.width": (config.view.width, config.view.height),
        "view.crop": (config.view.crop, None),
    }
    return [f"{name}={_text(good)}" for name, (value, good) in wanted.items() if value != good]


def _check_fits(config: RunConfig) -> None:
    world = diamond_of(config)
    reasons = []
    wrong = misfits(config)
    if wrong:
        reasons.append(f"it has {', '.join(wrong)}")
    if not is_released_formulation(world.denoiser):
        reasons.append("it has EDM's formulation")
    if config.environment.chosen_actions is not None:
        reasons.append("it has all actions of the game, not environment.actions")
    halvings = 2 ** (len(world.reward_end.channels) - 1)
    if config.view.height % halvings:
        reasons.append(f"its frames can be halved for every level: view.height in {halvings}s")
    if reasons:
        settings = f"\n  add --set '{' '.join(wrong)}', or" if wrong else "\n "
        raise RequestError(
            f"--reference: the released code has no such networks: {'; '.join(reasons)}"
            f"{settings} use --preset paper or small"
        )


def _text(value: object) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
