"""Derived seeds: every random number belongs to (run seed, purpose, counters).

Generators live in `diamond.rng`.
"""

from enum import StrEnum
from hashlib import blake2b


class Purpose(StrEnum):
    """What a stream of random numbers is for; two purposes never share a stream.

    A family of another package has an enumeration of its own, whose values begin with its name.
    """

    FRAMES_EMULATOR = "frames/emulator"
    FRAMES_ACTIONS = "frames/actions"
    REFERENCES_EMULATOR = "references/emulator"
    REFERENCES_ACTIONS = "references/actions"
    REFERENCES_START = "references/start"
    OFF_DATA_EMULATOR = "off_data/emulator"
    OFF_DATA_ACTIONS = "off_data/actions"
    OFF_DATA_START = "off_data/start"
    REFERENCES_COUNTERFACTUAL = "references/counterfactual"
    INVERSE_DYNAMICS_FRAMES = "inverse_dynamics/frames"
    INVERSE_DYNAMICS_INIT = "inverse_dynamics/init"
    INVERSE_DYNAMICS_PAIRS = "inverse_dynamics/pairs"
    ALIGNMENT_INIT = "alignment/init"
    ALIGNMENT_PAIRS = "alignment/pairs"
    DENOISER_INIT = "denoiser/init"
    DENOISER_SEGMENTS = "denoiser/segments"
    DENOISER_NOISE = "denoiser/noise"
    REWARD_END_INIT = "outcome/init"
    REWARD_END_SEGMENTS = "outcome/segments"
    REWARD_END_SHIFTS = "outcome/shifts"
    AGENT_EMULATOR = "agent/emulator"
    AGENT_ACTIONS = "agent/actions"
    AGENT_TEST = "agent/test"
    POLICY_INIT = "policy/init"
    POLICY_STARTS = "policy/starts"
    POLICY_ACTIONS = "policy/actions"
    POLICY_NOISE = "policy/noise"
    POLICY_MINIBATCHES = "policy/minibatches"
    RETURNS_EMULATOR = "returns/emulator"
    RETURNS_ACTIONS = "returns/actions"
    RETURNS_SCREENING = "returns/screening"
    FIDELITY_NOISE = "fidelity/noise"
    FIDELITY_REWARDS = "fidelity/rewards"
    FIDELITY_ACTIONS = "fidelity/actions"
    VEC_STARTS = "vec/starts"
    VEC_NOISE = "vec/noise"
    BOOTSTRAP = "bootstrap"
    BANDS = "bands"
    SCORES_BOOTSTRAP = "scores/bootstrap"
    SWEEP_PROPOSAL = "sweep/proposal"
    IMPORTANCE_BOOTSTRAP = "importance/bootstrap"
    BENCH = "bench"


def derive(run_seed: int, purpose: StrEnum, *counters: int | str) -> int:
    """Derive an independent seed from a run seed, a purpose and counters.

    Args:
        run_seed: Seed of the run or of the data, any integer.
        *counters: Position inside the purpose: an update, an episode, a site.

    Returns:
        An integer in [0, 2**63), equal for equal arguments on every machine.

    Source: hashing a structured key, as NumPy's SeedSequence and JAX's fold_in do.
    """
    text = "\x1f".join(
        [str(run_seed), purpose.value, *(f"{type(c).__name__}:{c}" for c in counters)]
    )
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
