"""What a reader of a plan or of results must know of recordings."""

from diamond.config.game_names import recording_of
from diamond.plan.plan import Plan, arm_of
from diamond.stages.registry import left_out


def recorded_lines(plan: Plan, game: str) -> list[str]:
    """What to know of a game whose frames are recorded; nothing of any other."""
    config = arm_of(plan.arms, game).runs[0].config
    found = next(
        (one for one in plan.request.recordings if recording_of(game) in (one.name, None)), None
    )
    if found is None or config.frames.recorded is None:
        return []
    arms = [arm for arm in plan.arms if arm.game == game and arm.kind == "arm"]
    numbers = sorted({arm.runs[0].config.frames.num_frames for arm in arms})
    trained = f"all arms are trained on {numbers[0]:,}"
    if len(numbers) > 1:
        trained = f"arms are trained on {numbers[0]:,} to {numbers[-1]:,}"
    lines = [f"{game}: {trained} frames of the recording {found.name}."]
    reasons: dict[str, list[str]] = {}
    for stage, reason in left_out(config).items():
        reasons.setdefault(reason, []).append(stage)
    lines += [f"{game}: left out: {', '.join(o)} ({reason})." for reason, o in reasons.items()]
    if config.references.recorded is None:
        return lines
    first = config.references.first_start
    windows = found.windows(config.references.horizon_steps)
    scored = windows[first : first + config.rollouts.num_starts]
    num_parts = len({window.part for window in scored})
    lines.append(
        f"{game}: there are no counterfactuals: no game says what other actions lead to. Where the "
        "recording is of a game, --game NAME brings them and returns."
    )
    if num_parts < len(scored):
        lines.append(
            f"{game}: the {len(scored)} held-out starts come from {num_parts} "
            f"episode{'s' if num_parts > 1 else ''}. Starts of one episode are alike: intervals "
            "are narrower than those of as many episodes."
        )
    return lines
