"""The named axes that all families have: one row is all that it takes to add one.

Those of a family are in its record.
"""

from diamond.plan.axis import Axis, field_axis, same_words, word_axis
from diamond.plan.axis_values import (
    COLLECTOR,
    COLLECTOR_FIELDS,
    COLLECTOR_FORMS,
    FAMILY_FIELDS,
    OFF_DATA,
    OFF_DATA_FIELDS,
    OFF_DATA_FORMS,
    RESOLUTION_FIELDS,
    collector_settings,
    current_collector,
    current_family,
    current_off_data,
    current_resolution,
    family_settings,
    off_data_settings,
    resolution_settings,
)

PAPER = "arXiv 2405.12399"
RELEASED = "released code"

BEFORE: tuple[Axis, ...] = (
    # --- the family ---
    Axis(
        name="family",
        meaning="kind of world model",
        values="diamond, families of installed packages, or module:NAME; each has its own recipe "
        "for the preset",
        source="docs/families.md",
        fields=FAMILY_FIELDS,
        settings=family_settings,
        current=current_family,
        kind="family",
    ),
    # --- references ---
    Axis(
        name=OFF_DATA,
        meaning="a better player whose held-out starts are scored too, apart from the others: the "
        "game's scripted expert, the policy that comes with the package, or a trained one",
        values=OFF_DATA_FORMS,
        source="docs/evaluation.md",
        fields=OFF_DATA_FIELDS,
        settings=off_data_settings,
        current=current_off_data,
    ),
    # --- frames ---
    Axis(
        name=COLLECTOR,
        meaning="who plays when the training frames are recorded: the game's scripted expert, held "
        "random actions, the expert that begins one with chance SHARE at an env step, or a trained "
        "policy; references stay the same",
        values=COLLECTOR_FORMS,
        source=f"{PAPER}, section 5.1 (expert)",
        fields=COLLECTOR_FIELDS,
        settings=collector_settings,
        current=current_collector,
    ),
    field_axis(
        "num_frames",
        "frames.num_frames",
        "real frames that all networks are trained on",
        "whole numbers from 64",
        f"{PAPER}, section 5.1 (100,000)",
    ),
    Axis(
        name="resolution",
        meaning="side of the square frames that the agent sees, pixels; each arm is scored at its "
        "own resolution, so that pixel metrics of different ones cannot be compared, returns can",
        values="whole numbers from 8 to 256, multiples of denoiser.patch (diamond)",
        source=f"{PAPER}, appendix F (64)",
        fields=RESOLUTION_FIELDS,
        settings=resolution_settings,
        current=current_resolution,
    ),
)
"""Axes of all families, of what comes before the parts of a world model."""
AFTER: tuple[Axis, ...] = (
    # --- policy ---
    word_axis(
        "algorithm",
        same_words("reinforce", "ppo"),
        ("policy.algorithm",),
        "how the actor-critic learns from imagined trajectories: one optimiser step, or several "
        "with a clipped ratio of probabilities",
        f"{PAPER}, appendix E (reinforce); arXiv 1707.06347",
    ),
    field_axis(
        "event_starts",
        "policy.event_starts",
        "share of the imagined trajectories that begin shortly before real rewards and ends",
        "numbers from 0 to 1",
        f"{PAPER} (0); docs/learning.md",
    ),
    field_axis(
        "horizon",
        "policy.horizon_steps",
        "imagined env steps per update of the actor-critic",
        "whole numbers from 1",
        f"{PAPER}, appendix E (15)",
    ),
    field_axis(
        "gamma",
        "policy.gamma",
        "discount per env step",
        "numbers above 0, to 1",
        f"{PAPER}, appendix E (0.985)",
    ),
    field_axis(
        "lambda",
        "policy.lambda_",
        "weight of longer returns in the lambda-return",
        "numbers from 0 to 1",
        f"{PAPER}, appendix E (0.95)",
    ),
    field_axis(
        "entropy",
        "policy.entropy_weight",
        "weight of the entropy bonus",
        "numbers from 0",
        f"{PAPER}, appendix E (0.001)",
    ),
    # --- fidelity ---
    word_axis(
        "lpips",
        same_words("none", "alex"),
        ("fidelity.lpips",),
        "whether frames are scored by LPIPS too, an extra: how far apart they are for AlexNet; "
        "needs `diamond-ablations[lpips]` and the weights of AlexNet",
        "arXiv 1801.03924",
    ),
    # --- online ---
    word_axis(
        "environment",
        same_words("imagination", "real"),
        ("online.environment",),
        "where the policy is trained; real is model-free (online protocol)",
        RELEASED,
    ),
)
"""Axes of what comes after them."""
