"""The judge that tells the action from two successive frames."""

from diamond.config.base import shared_canonical
from diamond.config.run import RunConfig
from diamond.stages import frames
from diamond.stages.multiplications import BACKWARD, inverse_dynamics_multiplications
from diamond.stages.record import Section, Stage

SECONDS = 6e-11
"""A multiplication."""


def pair_seconds(config: RunConfig) -> float:
    """A pair of frames that the judge sees."""
    view = config.view
    pair = inverse_dynamics_multiplications(config.inverse_dynamics, view.height, view.width)
    return pair * SECONDS


def _seconds(config: RunConfig) -> float:
    """Recording its frames and its training."""
    judge = config.inverse_dynamics
    recorded = judge.num_frames + judge.num_held_out_frames
    trained = BACKWARD * judge.updates * judge.batch_size * pair_seconds(config)
    return recorded * frames.STEP_SECONDS + trained


def _section(config: RunConfig, section: Section) -> Section:
    """Whole, though a run leaves out the judge of the presets: no run is another for its judge."""
    return section | {"inverse_dynamics": shared_canonical(config.inverse_dynamics)}


INVERSE_DYNAMICS = Stage(
    name="inverse_dynamics",
    numerics=1,
    sections=("game", "environment", "view", "inverse_dynamics"),
    runs=frozenset({"static", "online", "baseline"}),
    shares_data_seed=True,
    made_by="diamond.makers.trained_parts:train_inverse_dynamics",
    seconds=_seconds,
    section=_section,
)
