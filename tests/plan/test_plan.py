"""The plan of a study: arms, runs, shared stages, and every request that is refused."""

import dataclasses
import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from diamond.cli.tables import plan_table
from diamond.cli.tables.plan_table import show_plan
from diamond.config.overrides import field_names
from diamond.config.presets import make_preset
from diamond.engine.devices import Workers
from diamond.engine.store import Store
from diamond.errors import ExitCode, RequestError
from diamond.families.diamond.config import diamond_of
from diamond.findings.reader_notes import study_notes
from diamond.plan.asked_settings import MAX_ARMS
from diamond.plan.find_axis import axes_of, find_axis
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan, run_key
from diamond.plan.plan_arms import AA_NAME
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec
from diamond.stages.registry import stages_of_protocol

STAGES = stages_of_protocol("static")

ONLINE: dict[str, object] = {"protocol": "online"}
TRAIN: dict[str, object] = {"protocol": "online", "goal": "agent"}
REQUEST = Request(("steps=1,3,10",), "smoke", ("Boxing",), 1, None, None)


def plan_of(*assignments: str, **changes: object) -> Plan:
    given = {"assignments": assignments} if assignments else {}
    return make_plan(dataclasses.replace(REQUEST, **(given | changes)))  # type: ignore[arg-type]


def trained(plan: Plan) -> list[str]:
    return [arm.name for arm in plan.arms if arm.kind == "arm"]


def stage_counts(plan: Plan) -> dict[str, int]:
    names = [spec.stage for spec in plan.stages()]
    return {stage: names.count(stage) for stage in dict.fromkeys(names)}


def test_arms_and_baselines() -> None:
    plan = plan_of()
    assert [arm.name for arm in plan.arms] == [
        "steps=1",
        "steps=3",
        "steps=10",
        "copy last frame",
        "median background",
    ]
    assert [arm.kind for arm in plan.arms] == ["arm"] * 3 + ["baseline"] * 2
    assert [diamond_of(arm.runs[0].config).sampler.steps for arm in plan.arms[:3]] == [1, 3, 10]
    assert [axis.name for axis in plan.axes] == ["steps"]
    assert plan.arms[1].axis_values == {"steps": "3"}


def test_stages_are_shared_and_each_is_made_once() -> None:
    plan = plan_of()
    # Three arms and two baselines are scored; three policies play, a blind player
    # beside each, and three players that know no policy.
    assert stage_counts(plan) == {
        "references": 1,
        "inverse_dynamics": 1,
        "frames": 1,
        "denoiser": 1,
        "reward_end": 1,
        "rollouts": 5,
        "fidelity": 5,
        "policy": 3,
        "policy_fidelity": 3,
        "returns": 9,
    }
    assert len({spec.key for spec in plan.stages()}) == len(plan.stages())


@pytest.mark.parametrize("until", [None, *STAGES])
def test_every_stage_comes_after_those_that_it_reads(until: str | None) -> None:
    plan = plan_of(until=until, num_seeds=2, games=("Boxing", "Pong"))
    made: set[str] = set()
    for spec in plan.stages():
        assert set(spec.upstream.values()) <= made
        made.add(spec.key)


@pytest.mark.parametrize(
    ("until", "stages", "num_baselines", "plays"),
    [
        ("references", {"references"}, 0, False),
        ("frames", {"frames"}, 0, False),
        ("denoiser", {"frames", "denoiser"}, 0, False),
        ("reward_end", {"frames", "reward_end"}, 0, False),
        ("rollouts", {"references", "frames", "denoiser", "reward_end", "rollouts"}, 2, False),
        ("fidelity", set(STAGES) - {"policy", "policy_fidelity", "returns"}, 2, False),
        ("inverse_dynamics", {"inverse_dynamics"}, 0, False),
        ("policy_fidelity", set(STAGES) - {"inverse_dynamics", "fidelity", "returns"}, 2, False),
        ("policy", {"frames", "denoiser", "reward_end", "policy"}, 0, False),
        ("returns", {"frames", "denoiser", "reward_end", "policy", "returns"}, 0, True),
    ],
)
def test_until(until: str, stages: set[str], num_baselines: int, plays: bool) -> None:
    plan = plan_of(until=until)
    assert set(stage_counts(plan)) == stages
    assert sum(arm.kind == "baseline" for arm in plan.arms) == num_baselines
    assert bool(plan.players) == plays


def test_games_and_seeds_are_blocks() -> None:
    plan = plan_of(games=("Boxing", "Breakout"), num_seeds=3)
    assert [(arm.game, arm.kind) for arm in plan.arms] == [
        *[("Boxing", "arm")] * 3,
        *[("Breakout", "arm")] * 3,
        *[("Boxing", "baseline")] * 2,
        *[("Breakout", "baseline")] * 2,
    ]
    for arm in plan.arms:
        seeds = [run.config.seed for run in arm.runs]
        assert seeds == ([0, 1, 2] if arm.kind == "arm" else [0])
        assert {run.config.game for run in arm.runs} == {arm.game}
    counts = stage_counts(plan)
    # Real frames belong to the game; everything trained belongs to game and seed.
    assert (counts["references"], counts["frames"]) == (2, 2)
    assert (counts["denoiser"], counts["reward_end"], counts["policy"]) == (6, 6, 18)
    players = Counter((one.config.game, one.player) for one in plan.players)
    for game in ("Boxing", "Breakout"):
        for player in ("random", "random_held", "constant"):
            assert players.pop((game, player)) == 1
        assert players.pop((game, "blind")) == 9
    assert not players


def test_more_seeds_keep_the_runs_of_fewer() -> None:
    few, many = plan_of(num_seeds=1), plan_of(num_seeds=4)
    assert {spec.key for spec in few.stages()} <= {spec.key for spec in many.stages()}


def test_a_confirmation_trains_on_fresh_seeds_in_the_same_study() -> None:
    found, fresh = plan_of(num_seeds=2), plan_of(num_seeds=3, first_seed=2, aa=True)
    seeds = {arm.name: [run.config.seed for run in arm.runs] for arm in fresh.arms}
    assert seeds["steps=1"] == seeds["steps=3"] == [2, 3, 4]
    assert seeds[AA_NAME] == [5, 6, 7]
    assert seeds["copy last frame"] == [2]
    assert fresh.study == found.study
    kept = {spec.key for spec in found.stages()} & {spec.key for spec in fresh.stages()}
    # What is trained is new; real frames, the baselines without training and players are not.
    assert Counter(spec.stage for spec in found.stages() if spec.key in kept) == {
        "references": 1,
        "inverse_dynamics": 1,
        "frames": 1,
        "rollouts": 2,
        "fidelity": 2,
        "returns": 3,
    }


@pytest.mark.parametrize("protocol", ["static", "online"])
def test_a_confirmation_scores_on_fresh_starts_what_is_trained_already(protocol: str) -> None:
    first, fresh = plan_of(protocol=protocol), plan_of(protocol=protocol, first_start=16)
    assert plan_of(protocol=protocol, first_start=0).stages() == first.stages()
    for arm in fresh.arms:
        assert arm.runs[0].config.references.first_start == 16
    made = {spec.stage for spec in fresh.stages() if spec not in first.stages()}
    assert made == {"references", "rollouts", "fidelity", "policy_fidelity"} & set(
        stage_counts(fresh)
    )
    assert fresh.study == first.study.replace("steps-", "steps-start-16-")


def test_more_values_keep_the_stages_and_the_name() -> None:
    few, many = plan_of("steps=1,3,10"), plan_of("steps=1,3,5,10")
    new = {spec.key for spec in many.stages()} - {spec.key for spec in few.stages()}
    assert {spec.key for spec in few.stages()} <= {spec.key for spec in many.stages()}
    assert sorted(spec.stage for spec in many.stages() if spec.key in new) == [
        "fidelity",
        "policy",
        "policy_fidelity",
        "returns",
        "returns",
        "rollouts",
    ]
    assert few.study == many.study


def test_several_axes_make_a_grid() -> None:
    plan = plan_of("steps=1,3", "denoiser.channels=[8,8],[16,8]")
    assert trained(plan) == [
        "steps=1 denoiser.channels=[8,8]",
        "steps=1 denoiser.channels=[16,8]",
        "steps=3 denoiser.channels=[8,8]",
        "steps=3 denoiser.channels=[16,8]",
    ]
    assert stage_counts(plan)["denoiser"] == 2
    assert diamond_of(plan.arms[3].runs[0].config).denoiser.channels == (16, 8)


def test_study_is_named_without_values() -> None:
    plan = plan_of("steps=1,3", "policy.gamma=0.9,0.99", games=("Boxing", "Pong"))
    assert plan.study == "steps-policy.gamma-boxing-pong-smoke-static"
    assert plan_of("steps=2").study == plan_of("steps=1,3").study
    assert plan_of(name="mine").study == "mine"


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (("steps=1,1.0",), "'steps=1,1.0' repeats the value '1'"),
        (("steps=3,03",), "repeats the value '3'"),
        (("denoiser.channels=[8,8],[8, 8.0]",), r"repeats the value '\[8,8\]'"),
        (("steps=1", "sampler.steps=3"), "two axes set sampler.steps"),
        (("steps=1", "steps=3"), "given twice"),
        (("stepz=1",), "unknown axis 'stepz'. Did you mean 'steps'"),
        (("seed=1,2",), "--seeds"),
        (("game=Pong",), "--game A,B"),
        (("games=Pong",), "--game A,B"),
        (("seeds=0,1",), "--seeds N"),
        (("lr=0.1,1e-1",), "repeats the value '0.1'"),
        (("cond_noise=0.1,0.1:0",), "are the same run"),
        (("noise=lognormal,lognormal(-0.2,1.3)",), "are the same run"),
        (("quantizer=round", "sampler.quantizer=none"), "two axes set sampler.quantizer"),
        (("steps=0",), "sampler.steps=0"),
        (("references.num_starts=1,2",), "cannot be an axis"),
        (("references.first_start=0,16",), "cannot be an axis"),
        (("sampler.churn=" + ",".join(map(str, range(MAX_ARMS + 1))),), f"more than {MAX_ARMS}"),
        ((), "nothing to vary"),
    ],
)
def test_bad_assignments_are_refused(assignments: tuple[str, ...], message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        make_plan(dataclasses.replace(REQUEST, assignments=assignments))
    assert caught.value.exit_code == ExitCode.BAD_REQUEST


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "tinny"}, "unknown preset 'tinny'. Did you mean 'tiny'"),
        ({"games": ("Bocking",)}, "unknown game 'Bocking'. Did you mean 'Boxing'"),
        ({"games": ("Pong", "Pong")}, "names a game twice"),
        ({"until": "fidelty"}, "unknown stage 'fidelty'. Did you mean 'fidelity'"),
        ({"num_seeds": 0}, "--seeds 0: at least 1"),
        ({"num_seeds": -1}, "--seeds -1: at least 1"),
        ({"first_seed": -1}, "--first-seed -1: numbers begin at 0"),
        ({"first_start": -2}, "--first-start -2: numbers begin at 0"),
    ],
)
def test_bad_requests_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        plan_of(**changes)


def test_run_key_belongs_to_study_config_game_and_seed() -> None:
    config = make_preset("smoke", "Boxing")
    others = [
        run_key("another", config),
        run_key("study", config.model_copy(update={"seed": 1})),
        run_key("study", make_preset("smoke", "Alien")),
        run_key("study", plan_of("steps=1").arms[0].runs[0].config),
    ]
    assert run_key("study", config) == run_key("study", make_preset("smoke", "Boxing"))
    assert len({run_key("study", config), *others}) == 5


def test_named_axes_set_existing_fields() -> None:
    fields = set(field_names())
    for axis in axes_of():
        assert set(axis.fields) <= fields | {"world"}
        assert axis.name not in fields
        assert find_axis(axis.name) is axis
        assert axis.first_stage in (*STAGES, *stages_of_protocol("online"))
    assert find_axis("steps").first_stage == "rollouts"
    assert find_axis("denoiser.optimizer.lr").first_stage == "denoiser"


def test_a_plan_loads_no_array_library() -> None:
    code = (
        "import sys\n"
        "import diamond.config.overrides, diamond.plan.find_axis, diamond.seeds\n"
        "from diamond.plan.make_plan import make_plan\n"
        "from diamond.plan.request import Request\n"
        "make_plan(Request(('steps=1,3',), 'tiny', ('Boxing',), 1, None, None)).stages()\n"
        "heavy = {'torch', 'numpy', 'ale_py', 'gymnasium', 'cv2', 'mlflow', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_seeds_share_what_does_not_depend_on_them() -> None:
    plan = plan_of("steps=1,3", num_seeds=3)
    for arm in trained(plan):
        runs = next(one for one in plan.arms if one.name == arm).runs
        for specs in zip(*(run.stages for run in runs), strict=True):
            assert len({id(spec.config) for spec in specs}) == 1
            assert len({id(spec) for spec in specs}) == len({spec.key for spec in specs})


def test_arms_share_the_sections_that_they_do_not_set() -> None:
    first, second = (arm.runs[0].config for arm in plan_of("steps=1,3").arms[:2])
    assert (
        diamond_of(first).denoiser is diamond_of(second).denoiser and first.policy is second.policy
    )
    assert diamond_of(first).sampler is not diamond_of(second).sampler


def test_what_a_home_does_not_hold_is_not_looked_for_stage_by_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = plan_of("steps=1,3", num_seeds=2).stages()
    store = Store(tmp_path)
    store.prepare(specs[0])
    asked: list[str] = []
    status = store.status

    def noted(spec: StageSpec) -> str:
        asked.append(spec.key)
        return status(spec)

    monkeypatch.setattr(store, "status", noted)
    assert store.statuses(specs) == {spec.key: "todo" for spec in specs}
    assert asked == [specs[0].key]


# --- the online protocol ----------------------------------------------------------------------


def test_online_one_agent_takes_the_place_of_what_is_trained() -> None:
    plan = plan_of("steps=1,3", protocol="online", num_seeds=2)
    # Agents are never shared; references are, with the static protocol too.
    assert stage_counts(plan) == {
        "references": 1,
        "inverse_dynamics": 1,
        "agent": 4,
        "rollouts": 6,
        "fidelity": 6,
        "policy_fidelity": 4,
        "returns": 11,
    }
    assert plan.study == "steps-boxing-smoke-online"
    static = {spec.key for spec in plan_of("steps=1,3").stages()}
    shared = [spec.stage for spec in plan.stages() if spec.key in static]
    # The baselines and the players that know no policy know no protocol.
    expected = ["references", "inverse_dynamics", "rollouts", "rollouts", "fidelity", "fidelity"]
    assert shared == [*expected, *["returns"] * 3]


def test_train_is_a_study_with_one_arm() -> None:
    plan = plan_of(games=("Boxing", "Pong"), num_seeds=2, assignments=(), **TRAIN)
    assert [(arm.name, arm.game) for arm in plan.arms if arm.kind == "arm"] == [
        ("agent", "Boxing"),
        ("agent", "Pong"),
    ]
    assert plan.axes == ()
    assert plan.study == "train-boxing-pong-smoke-online"
    other = plan_of("steps=1", games=("Pong",), **TRAIN)
    assert trained(other) == ["steps=1"]
    assert other.study == "train-steps-pong-smoke-online"


def test_an_arm_of_the_real_game_has_no_fidelity() -> None:
    plan = plan_of("environment=imagination,real", protocol="online")
    stages = {arm.name: [spec.stage for spec in arm.runs[0].stages] for arm in plan.arms}
    assert stages["environment=real"] == ["agent", "returns"]
    assert "fidelity" in stages["environment=imagination"]
    alone = plan_of("environment=real", protocol="online")
    assert [arm.kind for arm in alone.arms] == ["arm"]  # no baseline: nothing is imagined


@pytest.mark.parametrize(
    ("assignments", "changes", "message"),
    [
        (("environment=imagination,real",), {}, "add --protocol online"),
        (("online.epsilon=0,1",), {}, "online.epsilon belongs to the online protocol"),
        (("frames.num_frames=600,700",), ONLINE, "vary online.env_steps"),
        (("denoiser.updates=4,5",), ONLINE, "vary online.updates.denoiser"),
        (("policy.updates=4,5",), ONLINE, "vary online.updates.policy"),
        (("steps=1",), {**ONLINE, "until": "policy"}, "online protocol has no such stage"),
        (("steps=1",), {"until": "agent"}, "static protocol has no such stage"),
        (("environment=real",), {**ONLINE, "until": "fidelity"}, "imagines nothing"),
        (("environment=reel",), ONLINE, "allowed: imagination, real"),
        (("protocol=online",), {}, "chosen with --protocol"),
        (("online.epsilom=0",), ONLINE, "Did you mean 'online.epsilon'"),
        (("steps=1,3",), {**ONLINE, "goal": "agent"}, "makes one agent"),
    ],
)
def test_what_means_nothing_in_a_protocol_is_refused(
    assignments: tuple[str, ...], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        plan_of(*assignments, **changes)


@pytest.mark.parametrize("width", [70, 100, 200])
def test_the_plan_fits_the_terminal(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_table, "text_width", lambda stream: width)
    out, plan = io.StringIO(), plan_of("steps=1,3,10")
    show_plan(plan, Store(tmp_path), Workers(2), out)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    blank = [place for place, line in enumerate(lines) if not line]
    head, *rows = lines[blank[0] + 1 : blank[1]]
    users, right = head.index("used by"), head.index("stages")
    # Names of stages stand alone on the left, figures alone on the right, whatever the width.
    named = [row for row in rows if not row.startswith(" ")]
    assert [row[:users].strip() for row in named] == list(stages_of_protocol("static"))
    assert [int(row[right:].split()[0]) for row in named] == [1, 1, 1, 1, 1, 5, 5, 3, 3, 9]
    read = " ".join(row[users:right].strip() for row in rows)
    assert read.count("shared: steps=1, steps=3, steps=10") == 5
    assert (len(rows) == len(named)) == (width == 200)


def test_a_sampler_beyond_training_is_told_in_plan_and_report(tmp_path: Path) -> None:
    plan = make_plan(dataclasses.replace(REQUEST, assignments=("sampler.sigma_max=5,300",)))
    out = io.StringIO()
    show_plan(plan, Store(tmp_path), Workers(1), out)
    shown = " ".join(out.getvalue().split())
    (note,) = (note for note in study_notes(plan) if "never learned" in note)
    told = note.removesuffix(". What it imagines comes of noise levels that it never learned.")
    assert "sampler.sigma_max=300: the sampler begins at noise level 300" in told
    assert told != note
    assert told in shown


def test_the_baseline_is_the_first_arm_that_imagines() -> None:
    words = "environment=real,imagination"
    plan = plan_of(words, **ONLINE, num_seeds=2, aa=True)
    assert plan.baseline("Boxing").name == "environment=imagination"
    again = next(arm for arm in plan.arms if arm.aa)
    first, second = (a.runs[0].config for a in (plan.baseline("Boxing"), again))
    assert second == first.model_copy(update={"seed": 2})
    assert [arm.is_baseline for arm in plan.arms[:3]] == [False, True, False]
    none = plan_of("environment=real", **ONLINE)
    assert none.baseline("Boxing").name == "environment=real"
