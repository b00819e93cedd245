"""What a plan will cost.

Seconds from multiplications and from what was measured before.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from statistics import median

from diamond.ablation.multiplications import BACKWARD, Part, Pass, update_units
from diamond.ablation.plan import Plan
from diamond.ablation.stages import StageName, StageSpec
from diamond.config.run import RunConfig
from diamond.pipeline.store import Store

SECONDS_PER_UNIT: Mapping[StageName, float] = {
    "references": 7.5e-4,
    "frames": 1.1e-3,
    "denoiser": 6.5e-11,
    "outcome": 9.5e-11,
    "agent": 1.0,
    "rollouts": 7.0e-11,
    "fidelity": 1.8e-3,
    "policy": 8.5e-11,
    "returns": 1.8e-3,
}
"""Seconds per unit of work on one core of a server processor (AVX2).

A unit is a multiplication in a network, or a frame; for an agent, which does both, a second.
Used until stages of this home were measured."""

BASELINE_FRAME_SECONDS = 1e-4
REAL_STEP_SECONDS = 7e-4
"""An env step of the emulator, crop and resize included."""
IMPORT_SECONDS = 8.0
"""Starting workers, opening the tracking store, writing the report."""


def agent_seconds(config: RunConfig, cost: Pass) -> float:
    """Seconds of all updates of an agent that is trained online."""
    online = config.online
    assert online is not None
    _, num_epochs = online.num_epochs(online.initial.min_env_steps)

    def num_updates(part: Part) -> int:
        later = (num_epochs - 1) * getattr(online.updates, part)
        return int(getattr(online.first_updates, part) + later)

    if online.environment == "real":
        steps = config.policy.batch_size * config.policy.horizon_steps
        seen = 2 * BACKWARD * cost.policy * SECONDS_PER_UNIT["policy"]
        return num_updates("policy") * steps * (REAL_STEP_SECONDS + seen)
    parts: tuple[Part, ...] = ("denoiser", "outcome", "policy")
    return online.env_steps * REAL_STEP_SECONDS + sum(
        num_updates(part) * update_units(config, cost, part) * SECONDS_PER_UNIT[part]
        for part in parts
    )


def work_units(config: RunConfig, stage: StageName) -> float:
    """Units of work of one stage of a run; see `SECONDS_PER_UNIT`."""
    cost = Pass.of(config)
    match stage:
        case "references":
            per_start = config.references.horizon_steps + config.references.max_offset_steps
            return float(config.references.num_starts * per_start)
        case "frames":
            return float(config.frames.num_frames)
        case "denoiser":
            return config.denoiser.updates * update_units(config, cost, "denoiser")
        case "outcome":
            return config.outcome.updates * update_units(config, cost, "outcome")
        case "agent":
            return agent_seconds(config, cost)
        case "rollouts":
            return config.rollouts.num_starts * config.rollouts.horizon_steps * cost.imagined
        case "fidelity":
            return float(config.rollouts.num_starts * config.rollouts.horizon_steps)
        case "policy":
            return config.policy.updates * update_units(config, cost, "policy")
        case "returns":
            return float(config.evaluation.num_episodes * config.evaluation.max_episode_steps)


class CostModel:
    """Seconds per stage, corrected by the stages that this home has measured."""

    def __init__(self, plan: Plan, store: Store) -> None:
        """Read the timings of finished stages of the plan."""
        self._units: dict[str, float] = {}
        measured: dict[StageName, list[float]] = {}
        for arm in plan.arms:
            for run in arm.runs:
                for spec in run.stages:
                    if "imported" in spec.config:
                        self._units[spec.key] = 0.0
                        continue
                    units = self._work(run.config, spec.stage)
                    self._units[spec.key] = units
                    self._measure(store, spec, units, measured)
        for game, spec in plan.random_players.items():
            config = next(arm.runs[0].config for arm in plan.arms if arm.game == game)
            self._units[spec.key] = 0.3 * self._work(config, "returns")
        self._factor = {stage: median(ratios) for stage, ratios in measured.items()}

    def seconds(self, spec: StageSpec) -> float:
        """Expected seconds of one stage on one core."""
        guess = self._units[spec.key] * SECONDS_PER_UNIT[spec.stage]
        return guess * self._factor.get(spec.stage, 1.0)

    @staticmethod
    def _work(config: RunConfig, stage: StageName) -> float:
        if config.family != "diamond" and stage == "rollouts":
            frames = config.rollouts.num_starts * config.rollouts.horizon_steps
            return frames * BASELINE_FRAME_SECONDS / SECONDS_PER_UNIT["rollouts"]
        return work_units(config, stage)

    @staticmethod
    def _measure(
        store: Store, spec: StageSpec, units: float, measured: dict[StageName, list[float]]
    ) -> None:
        manifest = store.manifest(spec.stage, spec.key)
        if (
            manifest is None
            or manifest["state"] != "done"
            or manifest["config"].get("family", "diamond") != "diamond"
        ):
            return
        guess = units * SECONDS_PER_UNIT[spec.stage]
        measured.setdefault(spec.stage, []).append(manifest["timings"]["seconds"] / guess)


def priorities(specs: Sequence[StageSpec], seconds: Mapping[str, float]) -> dict[str, float]:
    """Length of the longest chain of work that begins with each stage: the longest goes first."""
    after = readers(specs)
    chain = dict.fromkeys(seconds, 0.0)
    for spec in reversed(specs):
        longest = max((chain[other.key] for other in after[spec.key]), default=0.0)
        chain[spec.key] = seconds[spec.key] + longest
    return chain


def readers(specs: Iterable[StageSpec]) -> dict[str, list[StageSpec]]:
    """The stages that read each stage, by its key."""
    found: dict[str, list[StageSpec]] = defaultdict(list)
    for spec in specs:
        for key in spec.upstream.values():
            found[key].append(spec)
    return found


def wall_seconds(
    specs: Iterable[StageSpec], seconds: Mapping[str, float], done: frozenset[str], jobs: int
) -> float:
    """Time of a plan on `jobs` processes: a simulation of the executor's own rule."""
    todo = [spec for spec in specs if spec.key not in done]
    if not todo:
        return 0.0
    chain = priorities(todo, {spec.key: seconds[spec.key] for spec in todo})
    after = readers(todo)
    missing = {spec.key: len(set(spec.upstream.values()) - done) for spec in todo}
    # Of two chains of one length, the stage that comes first in the plan goes first.
    place = {spec.key: index for index, spec in enumerate(todo)}
    ready = [(-chain[key], place[key], key) for key, num in missing.items() if num == 0]
    heapify(ready)
    running, clock = list[tuple[float, str]](), 0.0
    while ready or running:
        while ready and len(running) < jobs:
            key = heappop(ready)[2]
            heappush(running, (clock + seconds[key], key))
        clock, key = heappop(running)
        for spec in after[key]:
            missing[spec.key] -= 1
            if missing[spec.key] == 0:
                heappush(ready, (-chain[spec.key], place[spec.key], spec.key))
    return clock + IMPORT_SECONDS
