"""What a reader of the results must know: starts, players, seeds, protocol, matching."""

from collections.abc import Mapping, Sequence

from diamond.config.recording import PlayConfig
from diamond.config.worlds import family_of
from diamond.engine.output_names import NO_EVENTS
from diamond.engine.store import Store
from diamond.findings.arm_inputs import find_stage, scored_on, trained_model, views_of
from diamond.plan.match import match_meaning
from diamond.plan.plan import Arm, Plan, imagines
from diamond.plan.plan_arms import AA_NAME
from diamond.plan.recordings.recorded_notes import recorded_lines
from diamond.stages.policy_fidelity import POLICY_FIDELITY
from diamond.stages.registry import find_stage_record


def study_notes(plan: Plan) -> list[str]:
    """Sentences on what a reader of the results must know."""
    if not any(imagines(arm) for arm in plan.arms):
        return [*_online_notes(plan), *_seed_notes(plan, "episodes")]
    notes = scoring_notes(plan)
    if plan.arms[0].runs[0].config.imported is not None:
        notes.append(
            "The networks come from a checkpoint: nothing was trained, returns are those of its "
            "policy and the same for every arm."
        )
    return [*notes, *_online_notes(plan), *_design_notes(plan), *_seed_notes(plan, "starts")]


def scoring_notes(plan: Plan) -> list[str]:
    """Sentences on starts, baselines, views, noise levels and players, of arms that imagine."""
    config = plan.arms[0].runs[0].config
    views = views_of(plan.arms)
    shared = "" if len(views) > 1 else " and the same initial noise"
    first = config.references.first_start
    begin = f", from number {first} on" if first else ""
    notes = [
        f"All arms use the same {config.rollouts.num_starts} held-out starts "
        f"({'of a recording' if config.references.recorded else 'one an episode'}{begin}), "
        f"the same recorded actions after 16 real frames{shared}; nothing after the end of a real "
        "episode or a lost life is scored.",
        "The median background has seen the real episode, its future included: "
        "no forecast is that good at still pixels.",
    ]
    if len(views) > 1:
        view = config.view
        notes.append(
            "Arms see the screen at different resolutions or crops, and each is scored against the "
            "real frames as it sees them: their metrics cannot be compared, so no difference "
            f"between them is given. The baselines see {view.height} x {view.width} pixels, as the "
            "first arm does. Returns can be compared."
        )
    notes += [
        f"{game}: arms play it in different ways, and each is scored against real frames of its "
        "own: no difference between them is given. The baselines and random play are those of the "
        "first arm."
        for game in plan.request.games
        if len({scored_on(arm)[1] for arm in plan.arms if arm.game == game}) > 1
    ]
    notes += [
        f"{game}, {name}: {reason}. What it imagines comes of noise levels that it never learned."
        for game in plan.request.games
        for name, reason in unseen_levels([arm for arm in plan.arms if arm.game == game])
    ]
    notes += _cell_notes(plan.arms)
    notes += _gap_notes(plan)
    for game in plan.request.games:
        notes += [*recorded_lines(plan, game), *_player_notes(plan, game)]
    return notes


def _cell_notes(arms: Sequence[Arm]) -> list[str]:
    """Why cells are not scored of games that have them."""
    configs = [arm.runs[0].config for arm in arms]
    told = (
        f"{config.game}: cells are not scored at {config.view.height} x {config.view.width} pixels "
        f"({config.view.colour}, {config.view.resize}); each must be whole pixels of its colour: "
        "10 x 10, or a multiple with view.resize=nearest."
        for config in configs
        if config.environment.cells is not None and not config.shows_cells
    )
    return list(dict.fromkeys(told))


def _gap_notes(plan: Plan) -> list[str]:
    """Why returns in imagination stand beside none of the game."""
    configs = [
        arm.runs[0].config for arm in plan.arms if find_stage(arm.runs[0], POLICY_FIDELITY.name)
    ]
    told = (
        f"{config.game}: the held-out states cannot be replayed, so there is no imagination gap."
        for config in configs
        if not config.environment.replayable or config.references.recorded is not None
    )
    return list(dict.fromkeys(told))


def judge_notes(plan: Plan, store: Store) -> list[str]:
    """Sentences on how well each judge of actions that is trained does on real frames."""
    found: dict[str, str] = {}
    for arm in plan.arms:
        spec = find_stage(arm.runs[0], "inverse_dynamics")
        if spec is None or spec.key in found or store.status(spec) != "done":
            continue
        manifest = store.manifest(spec.stage, spec.key)
        assert manifest is not None, "what is done has a manifest"
        if told := _told_of_judge(manifest["timings"]):
            found[spec.key] = f"{arm.game}: the judge of actions {told}."
    return list(found.values())


def _told_of_judge(timings: Mapping[str, float]) -> str:
    """What it does; nothing where the held-out actions never vary."""
    if "held_out_accuracy" in timings:
        return (
            f"names {timings['held_out_accuracy']:.0%} of them between held-out real frames; the "
            f"most frequent one is {timings['held_out_majority_rate']:.0%} of them"
        )
    if "held_out_r2" in timings:
        r2 = timings["held_out_r2"]
        return f"explains {r2:.0%} of their variance between held-out real frames"
    return ""


def event_notes(plan: Plan, store: Store) -> list[str]:
    """Sentences on parts that were to be trained around events, of which the frames have none."""
    found: dict[str, None] = {}
    for arm in plan.arms:
        for spec in arm.runs[0].stages:
            if find_stage_record(spec.stage, arm.runs[0].config.world.family).is_trained:
                manifest = store.manifest(spec.stage, spec.key)
                if manifest is not None and NO_EVENTS in manifest["timings"]:
                    found[
                        f"{arm.game}: the training frames have no rare reward and no end, so the "
                        f"segments of {spec.stage} are drawn evenly."
                    ] = None
    return list(found)


def unseen_levels(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """Arms whose sampler asks for noise levels that training never showed, each with the reason."""
    configs = {arm.name: arm.runs[0].config for arm in arms if arm.kind == "arm" and imagines(arm)}
    found = ((name, family_of(config).doubt(config.world)) for name, config in configs.items())
    return [(name, reason) for name, reason in found if reason is not None]


def _seed_notes(plan: Plan, over: str) -> list[str]:
    if plan.request.num_seeds > 1:
        return []
    if _train_apart(plan):
        return [
            f"One seed: intervals are over {over} of one trained model per arm and say nothing of "
            "training again; of a difference between arms that were trained apart nothing can be "
            "decided; --seeds 3 or more can."
        ]
    return [
        f"One seed: intervals and differences are over {over} within one trained model and say "
        "nothing of training again; --seeds 3 or more does."
    ]


def _train_apart(plan: Plan) -> bool:
    """Whether arms of a game have different trained models."""
    arms = [arm for arm in plan.arms if arm.kind == "arm"]
    return any(trained_model(arm) != trained_model(plan.baseline(arm.game)) for arm in arms)


def _online_notes(plan: Plan) -> list[str]:
    arms = [arm for arm in plan.arms if arm.kind == "arm"]
    online = arms[0].runs[0].config.online
    if online is None:
        return []
    shared = "the references and the starts" if any(imagines(arm) for arm in arms) else "the starts"
    notes = [
        "Every agent was trained on frames that it collected itself: arms and seeds share "
        f"{shared} of returns, not their training frames."
    ]
    real = [arm for arm in arms if not imagines(arm)]
    if real:
        config = real[0].runs[0].config
        assert config.online is not None
        updates = config.online.first_updates.policy
        updates += (config.online.final_epochs - 1) * config.online.updates.policy
        env_steps = updates * config.policy.batch_size * config.policy.horizon_steps
        names = ", ".join(dict.fromkeys(arm.name for arm in real))
        notes.append(
            f"{names}: trained in the real game on {env_steps:,} env steps, an agent that imagines "
            f"on {online.env_steps:,}; there is no world model, so no fidelity."
        )
    return notes


def _design_notes(plan: Plan) -> list[str]:
    notes = []
    if plan.request.match is not None:
        notes.append(
            f"Arms are matched by {plan.request.match}: equal {match_meaning(plan.request.match)}, "
            "as near as whole numbers allow."
        )
        notes += [
            f"{arm.game}, {arm.name}: {one.field} is {one.new} in place of {one.old}."
            for arm in plan.arms
            for one in arm.matched
        ]
    if plan.request.aa:
        notes.append(
            f"{AA_NAME!r} differs from the baseline arm in its training seeds alone (A/A): a "
            "difference between the two is no effect. Its runs pair with none by seed."
        )
    return notes


def _player_notes(plan: Plan, game: str) -> list[str]:
    """Who played the references of a game, and the training frames of each arm."""
    arms = [arm for arm in plan.arms if arm.game == game and arm.kind == "arm"]
    config = arms[0].runs[0].config
    if config.references.recorded is not None:
        return [f"{game}: the references are the held-out part of a recording of the user's own."]
    held_out = _player(config.references.play)
    if config.frames.recorded is not None:
        return [f"{game}: the references were played by {held_out}."]
    if config.imported is not None or config.protocol != "static":
        return [f"{game}: references were played by {held_out}."]
    players: dict[str, list[str]] = {}
    for arm in arms:
        players.setdefault(_player(arm.runs[0].config.frames.play), []).append(arm.name)
    if list(players) == [held_out]:
        return [f"{game}: frames and references were played by {held_out}."]
    recorded = [
        f"{game}: the training frames of {', '.join(names)} were played by {player}."
        for player, names in players.items()
    ]
    return [*recorded, f"{game}: the references of all arms were played by {held_out}."]


def _player(play: PlayConfig) -> str:
    match play.collector:
        case "expert":
            share = f"{play.random_fraction:.0%} of the env steps begin one"
            return f"a scripted expert with held random actions mixed in ({share})"
        case "random_held":
            return f"random actions, each held for 1 to {play.max_hold_steps} env steps"
        case "policy":
            return "the policy of a checkpoint, its actions sampled"
