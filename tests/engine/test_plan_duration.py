"""What a plan is said to cost: multiplications, simulated wall time, corrections by measurement."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from diamond.cli.tables.plan_table import show_plan
from diamond.config.overrides import override
from diamond.config.presets import PRESETS, make_preset
from diamond.config.run import RunConfig
from diamond.engine.devices import Workers
from diamond.engine.plan_duration import IMPORT_SECONDS, Estimate, priorities, wall_seconds
from diamond.engine.stage_claim import Claim
from diamond.engine.stage_cost import expected_seconds
from diamond.engine.store import Store
from diamond.engine.training_checkpoint import save_checkpoint
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.cost import reward_end_multiplications, unet_multiplications
from diamond.families.diamond.denoiser import DENOISER, Denoiser
from diamond.families.diamond.reward_end_net import REWARD_END, RewardEndNet
from diamond.nets.actor_critic_net import ActorCriticNet
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec
from diamond.stages.multiplications import policy_multiplications
from diamond.stages.registry import stages_of_protocol
from diamond.training.policy_part import POLICY
from tests.commands import MAKER, diamond, smoke_plan
from tests.commands import finish as finish_stage

STAGES = stages_of_protocol("static")
CONFIGS = [
    *(make_preset(name, game) for name in PRESETS for game in ("Boxing", "Breakout")),
    override(
        make_preset("tiny", "Boxing"),
        {
            "denoiser.middle_attention": True,
            "denoiser.depths": [2, 1, 1],
            "view.height": 34,
            "view.width": 30,
        },
    ),
]
TOLERANCE = 0.02
"""The estimate leaves out heads and embeddings."""


def shape_of(config: RunConfig) -> dict[str, int]:
    return {"num_actions": 6, "height": config.view.height, "width": config.view.width}


def counted(call: Callable[[], object]) -> float:
    """Multiplications of a call as torch counts them; only the plain attention is counted."""
    with (
        torch.no_grad(),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        call()
    return float(counter.get_total_flops()) / 2


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.preset}-{c.game}")
def test_the_work_of_the_denoiser_is_what_torch_counts(config: RunConfig) -> None:
    denoiser: Denoiser = DENOISER.build(diamond_of(config).denoiser, shape_of(config))
    height, width, history = (
        config.view.height,
        config.view.width,
        diamond_of(config).denoiser.history,
    )
    inputs = (
        torch.zeros(1, 3, height, width),
        torch.zeros(1),
        torch.zeros(1, 3 * history, height, width),
        torch.zeros(1, history, dtype=torch.int64),
    )
    expected = unet_multiplications(diamond_of(config).denoiser, height, width)
    assert expected == pytest.approx(counted(lambda: denoiser.net(*inputs)), rel=TOLERANCE)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.preset}-{c.game}")
def test_the_work_of_the_reward_end_model_is_what_torch_counts(config: RunConfig) -> None:
    net: RewardEndNet = REWARD_END.build(diamond_of(config).reward_end, shape_of(config))
    frames = torch.zeros(1, 1, 3, config.view.height, config.view.width)
    actions = torch.zeros(1, 1, dtype=torch.int64)
    expected = reward_end_multiplications(
        diamond_of(config).reward_end, config.view.height, config.view.width
    )
    found = counted(lambda: net(frames, actions, frames, None))
    if net.lstm is not None:  # a kernel of its own, which torch does not count
        found += sum(matrix.numel() for matrix in net.lstm.parameters() if matrix.dim() > 1)
    assert expected == pytest.approx(found, rel=TOLERANCE)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.preset}-{c.game}")
def test_the_work_of_the_policy_is_what_torch_counts(config: RunConfig) -> None:
    net: ActorCriticNet = POLICY.build(config.policy, shape_of(config))
    memory = (torch.zeros(1, config.policy.lstm_size),) * 2
    frames = torch.zeros(1, 3, config.view.height, config.view.width)
    expected = policy_multiplications(config.policy, config.view.height, config.view.width)
    assert expected == pytest.approx(counted(lambda: net(frames, memory)), rel=TOLERANCE)


def test_an_arm_with_more_denoising_steps_costs_more_where_it_imagines() -> None:
    base = make_preset("tiny", "Boxing")
    ten = override(base, {"sampler.steps": 10})
    heun = override(base, {"sampler.steps": 10, "sampler.order": 2})
    for stage in STAGES:
        mostly = stage in ("rollouts", "policy")
        imagines = mostly or stage == "policy_fidelity"  # and plays the game up to its starts
        assert (expected_seconds(ten, stage) > expected_seconds(base, stage)) == imagines
        assert (expected_seconds(heun, stage) > expected_seconds(ten, stage)) == imagines
        assert (expected_seconds(heun, stage) > 1.4 * expected_seconds(ten, stage)) == mostly


# --- wall time --------------------------------------------------------------------------------


def chain_of(*seconds: float) -> tuple[list[StageSpec], dict[str, float]]:
    """Stages that each read the one before."""
    specs: list[StageSpec] = []
    for number, _ in enumerate(seconds):
        upstream = {specs[-1].stage: specs[-1].key} if specs else {}
        specs.append(StageSpec(STAGES[number], {}, upstream, 0))
    return specs, {spec.key: value for spec, value in zip(specs, seconds, strict=True)}


def side_by_side(*seconds: float) -> tuple[list[StageSpec], dict[str, float]]:
    """Stages that read nothing."""
    specs = [StageSpec("frames", {"number": number}, {}, 0) for number, _ in enumerate(seconds)]
    return specs, {spec.key: value for spec, value in zip(specs, seconds, strict=True)}


def simulated(
    case: tuple[list[StageSpec], dict[str, float]], jobs: int, done: frozenset[str] = frozenset()
) -> float:
    return wall_seconds(*case, done, jobs) - IMPORT_SECONDS


@pytest.mark.parametrize("jobs", [1, 2, 7])
def test_a_chain_takes_its_sum_whatever_the_processes(jobs: int) -> None:
    assert simulated(chain_of(5, 2, 3), jobs) == pytest.approx(10)


def test_independent_stages_fill_the_processes() -> None:
    case = side_by_side(4, 4, 4, 4)
    assert simulated(case, 1) == pytest.approx(16)
    assert simulated(case, 2) == pytest.approx(8)
    assert simulated(case, 3) == pytest.approx(8)
    assert simulated(case, 4) == pytest.approx(4)
    assert simulated(case, 9) == pytest.approx(4)


def test_the_longest_goes_first() -> None:
    """Longest first gives 6 on two processes for 2, 2, 2, 6; the order given would give 8."""
    assert simulated(side_by_side(2, 2, 2, 6), 2) == pytest.approx(6)


def test_what_is_done_costs_nothing() -> None:
    specs, seconds = chain_of(5, 2, 3)
    assert simulated((specs, seconds), 1, frozenset({specs[0].key})) == pytest.approx(5)
    assert wall_seconds(specs, seconds, frozenset(seconds), 2) == 0.0


def test_the_priority_is_the_longest_chain_that_begins_with_a_stage() -> None:
    frames = StageSpec("frames", {}, {}, 0)
    denoiser = StageSpec("denoiser", {}, {"frames": frames.key}, 0)
    reward_end = StageSpec("reward_end", {}, {"frames": frames.key}, 0)
    policy = StageSpec("policy", {}, {"denoiser": denoiser.key, "reward_end": reward_end.key}, 0)
    seconds = {frames.key: 1.0, denoiser.key: 5.0, reward_end.key: 2.0, policy.key: 3.0}
    found = priorities([frames, denoiser, reward_end, policy], seconds)
    assert found == {policy.key: 3.0, reward_end.key: 5.0, denoiser.key: 8.0, frames.key: 9.0}
    swapped = seconds | {denoiser.key: 2.0, reward_end.key: 5.0}
    assert priorities([frames, denoiser, reward_end, policy], swapped)[frames.key] == 9.0


# --- corrections ------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimates of a machine without a GPU, whatever runs the tests."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def finish(store: Store, spec: StageSpec, seconds: float, device: str = "cpu") -> None:
    """Make a stage in no time and say that it took some."""
    finish_stage(store, spec, timings={"seconds": seconds}, device=device)


def test_a_measured_stage_corrects_the_estimate_of_its_kind_alone(tmp_path: Path) -> None:
    plan, store = smoke_plan("steps=1,2"), Store(tmp_path)
    before = Estimate(plan, store, "cpu")
    assert before.measured_share(plan.stages()) == 0.0
    for spec in plan.stages():
        if spec.stage in ("frames", "denoiser", "reward_end"):
            finish(store, spec, before.seconds(spec))
    first, second = (spec for spec in plan.stages() if spec.stage == "policy")
    finish(store, first, 10 * before.seconds(first))
    after = Estimate(plan, store, "cpu")
    assert after.seconds(second) == pytest.approx(10 * before.seconds(second))
    for spec in plan.stages():
        if spec.stage != "policy":
            assert after.seconds(spec) == pytest.approx(before.seconds(spec))
    assert after.measured_share([first, second]) == 1.0
    assert 0.0 < after.measured_share(plan.stages()) < 1.0


@pytest.mark.parametrize("stage", STAGES)
def test_a_study_is_estimated_from_another_one_of_the_home(stage: str, tmp_path: Path) -> None:
    """Other networks, other work: the rate is what carries over."""
    old, store = smoke_plan("denoiser.history=2,4"), Store(tmp_path)
    expected = Estimate(old, store, "cpu")
    for spec in old.stages():
        finish(store, spec, 3 * expected.seconds(spec))
    new = smoke_plan("steps=2,5", "denoiser.updates=20,50")
    blank, informed = Estimate(new, Store(tmp_path / "empty"), "cpu"), Estimate(new, store, "cpu")
    for spec in new.stages():
        if spec.stage == stage:
            assert informed.seconds(spec) == pytest.approx(3 * blank.seconds(spec)), spec


def test_work_of_another_size_or_on_another_device_says_nothing(tmp_path: Path) -> None:
    smoke, store = smoke_plan(), Store(tmp_path)
    for spec in smoke.stages():
        finish(store, spec, 1000.0, "cuda" if spec.stage == "frames" else "cpu")
    tiny = make_plan(Request(("steps=1,3",), "tiny", ("Boxing",), 1, None, None))
    blank, informed = Estimate(tiny, Store(tmp_path / "empty"), "cpu"), Estimate(tiny, store, "cpu")
    for spec in tiny.stages():
        assert informed.seconds(spec) == blank.seconds(spec)
    (frames,) = (spec for spec in smoke.stages() if spec.stage == "frames")
    assert Estimate(smoke, store, "cpu").seconds(frames) == blank_seconds(smoke, frames, tmp_path)


def blank_seconds(plan: Plan, spec: StageSpec, folder: Path) -> float:
    return Estimate(plan, Store(folder / "empty"), "cpu").seconds(spec)


def test_what_a_checkpoint_holds_is_not_to_do_again(tmp_path: Path) -> None:
    plan, store = smoke_plan(), Store(tmp_path)
    spec = next(spec for spec in plan.stages() if spec.stage == "denoiser")
    store.prepare(spec)
    claim = Claim(store.work(spec.stage, spec.key))
    assert claim.try_acquire()
    attempt = store.begin(spec.stage, spec.key, claim, MAKER)
    save_checkpoint(attempt.folder, {"w": torch.ones(1)}, {"done": 30, "total": 40})
    estimate = Estimate(plan, store, "cpu")
    assert estimate.left(spec) == pytest.approx(estimate.seconds(spec) / 4)
    other = next(spec for spec in plan.stages() if spec.stage == "frames")
    assert estimate.left(other) == estimate.seconds(other)
    out = io.StringIO()
    show_plan(plan, store, Workers(1), out)
    (row,) = (line for line in out.getvalue().splitlines() if line.startswith("denoiser"))
    assert "0 (+1 begun, 75%)" in row


def test_random_play_is_measured_apart_from_policies(tmp_path: Path) -> None:
    plan, store = smoke_plan(), Store(tmp_path)
    random_play = next(one.spec for one in plan.players if one.player == "random")
    before = Estimate(plan, store, "cpu")
    finish(store, random_play, 7 * before.seconds(random_play))
    after = Estimate(plan, store, "cpu")
    assert after.seconds(random_play) == pytest.approx(7 * before.seconds(random_play))
    for spec in plan.stages():
        if spec != random_play:
            assert after.seconds(spec) == before.seconds(spec)


def test_a_used_home_says_that_its_times_are_measured(smoke_home: Path) -> None:
    again = ("ablate", "steps=1,2", "--preset", "smoke", "--home", str(smoke_home), "--dry-run")
    text = " ".join(diamond(*again).stdout.split())
    assert "as measured in this home" in text
    done = diamond("ablate", "steps=1,2", "--home", str(smoke_home.parent / "new"), "--dry-run")
    assert "estimated: nothing like it was measured" in " ".join(done.stdout.split())


def test_a_dry_run_says_how_long_it_will_take(tmp_path: Path) -> None:
    done = diamond("ablate", "steps=1,3,10", "--home", str(tmp_path / "home"), "--dry-run")
    assert done.returncode == 0
    assert "about " in done.stdout
    assert " min to go on" in done.stdout
    for stage in STAGES:
        assert stage in done.stdout
    assert not (tmp_path / "home").exists()
