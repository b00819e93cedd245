"""Presets: functions from a game to a whole `RunConfig`.

Every number of a recipe is written once: here, or in the presets of the family.
"""

from collections.abc import Callable, Mapping

from diamond.config.environments import default_environment
from diamond.config.game_names import FIRST_SIX_ACTIONS, GAMES_WITH_EXPERT, kind_of
from diamond.config.networks import OptimizerConfig, PolicyConfig
from diamond.config.online_presets import go_online
from diamond.config.recording import (
    CounterfactualsConfig,
    FramesConfig,
    OffDataConfig,
    PlayConfig,
    ReferencesConfig,
    ViewConfig,
)
from diamond.config.run import Protocol, RunConfig
from diamond.config.scoring import EvaluationConfig, RolloutsConfig, SamplesConfig
from diamond.config.shipped_policies import SHIPPED
from diamond.config.worlds import DIAMOND, find_family
from diamond.errors import unknown

PAPER_OPTIMIZER = OptimizerConfig(
    lr=1e-4,
    weight_decay=1e-2,
    eps=1e-8,
    warmup_updates=100,
    schedule="constant",
    max_grad_norm=1.0,
)
"""Of all networks of the paper but for what each changes.

Source: arXiv:2405.12399, appendix E.
"""
TINY_OPTIMIZER = OptimizerConfig(
    lr=1.5e-3,
    weight_decay=1e-2,
    eps=1e-8,
    warmup_updates=50,
    schedule="cosine",
    max_grad_norm=1.0,
)
"""The same of `tiny`."""
BOXING_RING = (30, 182, 26, 134)
"""Rows and columns of the screen that show the ring and both boxers."""
CLIMBED_BUILDING = (36, 196, 34, 122)
"""Rows and columns of the screen that show the building of CrazyClimber."""


def paper(game: str) -> RunConfig:
    """The agent of arXiv:2405.12399 with a static set of 100k frames (section 5.1)."""
    play = _play(game, max_hold_steps=8)
    return RunConfig(
        preset="paper",
        game=game,
        seed=0,
        data_seed=0,
        environment=default_environment(game),
        view=ViewConfig(height=64, width=64, crop=None),
        references=ReferencesConfig(
            play=play,
            num_starts=400,
            horizon_steps=1000,
            max_offset_steps=400,
            counterfactuals=CounterfactualsConfig(horizon_steps=32),
        ),
        frames=FramesConfig(play=play, num_frames=100_000),
        world=find_family(DIAMOND).preset("paper", game),
        policy=PolicyConfig(
            channels=(32, 32, 64, 64),
            lstm_size=512,
            horizon_steps=15,
            burn_in_frames=4,
            gamma=0.985,
            lambda_=0.95,
            entropy_weight=0.001,
            value_weight=1.0,
            optimizer=PAPER_OPTIMIZER.model_copy(
                update={"weight_decay": 0.0, "max_grad_norm": 100.0}
            ),
            updates=405_000,
            batch_size=32,
        ),
        evaluation=EvaluationConfig(num_episodes=100, max_episode_steps=27_000),
        rollouts=RolloutsConfig(
            horizon_steps=1000,
            num_starts=400,
            samples=SamplesConfig(num_samples=8, horizon_steps=32),
        ),
    )


def small(game: str) -> RunConfig:
    """The paper's networks on fewer frames and updates: one GPU, under an hour."""
    base = paper(game)
    return base.model_copy(
        update={
            "preset": "small",
            "references": base.references.model_copy(
                update={
                    "num_starts": 64,
                    "horizon_steps": 200,
                    "counterfactuals": CounterfactualsConfig(horizon_steps=16),
                }
            ),
            "frames": base.frames.model_copy(update={"num_frames": 30_000}),
            "world": find_family(DIAMOND).preset("small", game),
            "policy": base.policy.model_copy(update={"updates": 2_000}),
            "evaluation": EvaluationConfig(num_episodes=20, max_episode_steps=27_000),
            "rollouts": RolloutsConfig(
                horizon_steps=200,
                num_starts=64,
                samples=SamplesConfig(num_samples=8, horizon_steps=16),
            ),
        }
    )


def tiny(game: str) -> RunConfig:
    """Minutes on two processor cores: small frames, small networks; one recipe per kind of game."""
    match game:
        case "Boxing":
            return _tiny_boxing()
        case "Breakout":
            return _tiny_breakout()
        case _:
            return _tiny_any(game)


def desk(game: str) -> RunConfig:
    """As `tiny`, trained for ten to fifteen minutes of one processor core."""
    base = tiny(game)
    config = base.model_copy(
        update={
            "preset": "desk",
            "frames": base.frames.model_copy(update={"num_frames": 20_000}),
            "world": find_family(DIAMOND).preset("desk", game),
            "policy": _learning(base.policy).model_copy(
                # Of fast games only the next few frames are imagined well: the value says the rest.
                update={
                    "gamma": 0.95,
                    "horizon_steps": 3,
                    "batch_size": 160,
                    "entropy_weight": 0.02,
                    "optimizer": base.policy.optimizer.model_copy(update={"lr": 1.5e-3}),
                    "updates": 150,
                }
            ),
            "evaluation": EvaluationConfig(
                num_episodes=20, max_episode_steps=2_000, curve_points=2, curve_episodes=10
            ),
        }
    )
    return _desk_climber(config) if game == "CrazyClimber" else config


def _desk_climber(config: RunConfig) -> RunConfig:
    """The building without the streets beside it; held actions last 3 env steps at most."""
    play = config.frames.play.model_copy(update={"max_hold_steps": 3})
    return config.model_copy(
        update={
            "view": config.view.model_copy(update={"crop": CLIMBED_BUILDING}),
            "references": config.references.model_copy(update={"play": play}),
            "frames": config.frames.model_copy(update={"play": play}),
        }
    )


def smoke(game: str) -> RunConfig:
    """Seconds: every stage runs, nothing is learnt; for tests."""
    base = _tiny_any(game)
    return base.model_copy(
        update={
            "preset": "smoke",
            "references": base.references.model_copy(
                update={
                    "num_starts": 2,
                    "horizon_steps": 10,
                    "max_offset_steps": 10,
                    "counterfactuals": CounterfactualsConfig(horizon_steps=4),
                }
            ),
            "frames": base.frames.model_copy(update={"num_frames": 600}),
            "world": find_family(DIAMOND).preset("smoke", game),
            "policy": base.policy.model_copy(
                update={
                    "channels": (8, 8, 8),
                    "lstm_size": 32,
                    "horizon_steps": 4,
                    "updates": 3,
                    "batch_size": 4,
                }
            ),
            "evaluation": EvaluationConfig(num_episodes=1, max_episode_steps=100),
            "rollouts": RolloutsConfig(
                horizon_steps=10,
                num_starts=2,
                samples=SamplesConfig(num_samples=2, horizon_steps=4),
            ),
            "inverse_dynamics": base.inverse_dynamics.model_copy(
                update={
                    "num_frames": 300,
                    "num_held_out_frames": 100,
                    "channels": (8, 8),
                    "num_features": 8,
                    "updates": 20,
                    "batch_size": 16,
                }
            ),
        }
    )


PRESETS: Mapping[str, Callable[[str], RunConfig]] = {
    "smoke": smoke,
    "tiny": tiny,
    "desk": desk,
    "small": small,
    "paper": paper,
}


def make_preset(name: str, game: str, protocol: Protocol = "static") -> RunConfig:
    """Return the whole config of a preset for a game under a protocol.

    Raises:
        RequestError: There is no such preset.
    """
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS, "give one with --preset, for instance --preset tiny")
    config = PRESETS[name](game)
    if kind_of(game) == "minatar":
        config = _of_cells(config)
    return go_online(config) if protocol == "online" else config


def _of_cells(config: RunConfig) -> RunConfig:
    """The same of a game of cells: a pixel each, in the colours of a palette; games are short."""
    update: dict[str, object] = {
        "view": ViewConfig(height=10, width=10, crop=None, resize="nearest"),
        "policy": config.policy.model_copy(update={"channels": config.policy.channels[:2]}),
    }
    if config.preset in ("tiny", "desk"):
        # A start is cheap, and a game of some ten env steps says little.
        starts = {"num_starts": 96, "horizon_steps": 32}
        policy = _learning(tiny(config.game).policy).model_copy(update={"channels": (32,)})
        updates, episodes = (60, 40) if config.preset == "tiny" else (120, 100)
        update |= {
            "references": config.references.model_copy(
                update=starts | {"off_data": _off_data(config)}
            ),
            "rollouts": config.rollouts.model_copy(update=starts),
            "policy": policy.model_copy(update={"updates": updates}),
            "evaluation": EvaluationConfig(
                num_episodes=episodes,
                max_episode_steps=2_000,
                sticky_too=0.1,
                curve_points=4,
                curve_episodes=20,
            ),
        }
    return config.model_copy(update=update)


def _off_data(config: RunConfig) -> OffDataConfig | None:
    """Starts of the policy that comes with the package, where there is one for the game."""
    if config.game not in SHIPPED:
        return None
    play = config.references.play.model_copy(update={"collector": "policy", "random_fraction": 0.0})
    return OffDataConfig(play=play, num_starts=64, policy=SHIPPED[config.game].policy)


def _learning(policy: PolicyConfig) -> PolicyConfig:
    """An actor-critic that learns from some ten thousand imagined env steps."""
    return policy.model_copy(
        update={
            "gamma": 0.97,
            "entropy_weight": 0.01,
            "optimizer": policy.optimizer.model_copy(update={"lr": 2e-3}),
            "batch_size": 32,
            "algorithm": "ppo",
            "epochs": 3,
            "minibatches": 2,
            "normalise_advantages": True,
            "event_starts": 0.25,
        }
    )


def _play(game: str, max_hold_steps: int, random_fraction: float = 0.02) -> PlayConfig:
    expert = game in GAMES_WITH_EXPERT
    return PlayConfig(
        collector="expert" if expert else "random_held",
        max_hold_steps=max_hold_steps,
        random_fraction=random_fraction if expert else 1.0,
    )


def _tiny_any(game: str) -> RunConfig:
    base = paper(game)
    play = _play(game, max_hold_steps=8)
    return base.model_copy(
        update={
            "preset": "tiny",
            "view": ViewConfig(height=32, width=32, crop=None),
            "references": ReferencesConfig(
                play=play,
                num_starts=16,
                horizon_steps=100,
                max_offset_steps=400,
                counterfactuals=CounterfactualsConfig(horizon_steps=16),
            ),
            "frames": FramesConfig(play=play, num_frames=10_000),
            "world": find_family(DIAMOND).preset("tiny", game),
            "policy": base.policy.model_copy(
                update={
                    "channels": (16, 16, 32),
                    "lstm_size": 128,
                    "optimizer": TINY_OPTIMIZER.model_copy(
                        update={
                            "lr": 1e-3,
                            "weight_decay": 0.0,
                            "max_grad_norm": 100.0,
                            "warmup_updates": 2,
                        }
                    ),
                    "updates": 4,
                    "batch_size": 8,
                }
            ),
            "evaluation": EvaluationConfig(num_episodes=2, max_episode_steps=2_000),
            "rollouts": RolloutsConfig(
                horizon_steps=100,
                num_starts=16,
                samples=SamplesConfig(num_samples=4, horizon_steps=16),
            ),
        }
    )


def _tiny_boxing() -> RunConfig:
    base = _tiny_any("Boxing")
    # How far the boxers move after a start differs much from start to start: 16 of them leave a
    # standard error of .05 in the foreground IoU, as much as an arm is ahead of the last frame.
    num_starts = 48
    return base.model_copy(
        update={
            "environment": base.environment.model_copy(update={"actions": FIRST_SIX_ACTIONS}),
            "references": base.references.model_copy(
                update={"num_starts": num_starts, "max_offset_steps": 1_000}
            ),
            "rollouts": base.rollouts.model_copy(update={"num_starts": num_starts}),
            "view": ViewConfig(height=32, width=32, crop=BOXING_RING),
        }
    )


def _tiny_breakout() -> RunConfig:
    base = _tiny_any("Breakout")
    # Without sticky actions only no-ops and random actions tell two episodes of an expert apart:
    # enough of them, so that held-out episodes are not the training ones again.
    play = _play("Breakout", max_hold_steps=8, random_fraction=0.05)
    return base.model_copy(
        update={
            "references": base.references.model_copy(update={"play": play}),
            "frames": base.frames.model_copy(update={"play": play}),
        }
    )
