"""Starts of a better player: who plays, what is scored apart, and what does not change."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors

from diamond.config.presets import make_preset
from diamond.config.run import RunConfig
from diamond.config.scoring import DEFECTS
from diamond.config.shipped_policies import SHIPPED, shipped_file
from diamond.data.collect import collect_off_data, collect_references
from diamond.data.reference_files import Reference, load_references
from diamond.engine.files import digest
from diamond.engine.output_names import (
    OFF_DATA_FOLDER,
    OFF_DATA_FRAMES_FILE,
    OFF_DATA_SCORES_FILE,
    SCORES_FILE,
)
from diamond.engine.store import Store
from diamond.envs.open_game import action_codes
from diamond.errors import RequestError
from diamond.findings.ablation_result import build_result
from diamond.findings.arm_scores import comparisons, off_data_comparisons
from diamond.nets.actor_critic_net import ActorCriticNet, ActorCriticShape
from diamond.plan.find_axis import find_axis
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec, stages_of
from diamond.plan.variants import apply_axes
from diamond.report.answer.answers import answered
from diamond.report.off_data import off_data_differences, off_data_sentences, off_data_table
from diamond.report.page import write_report
from diamond.studies.scored_model import on_starts
from diamond.studies.study_runs import Snapshot, is_compared, tracked_runs
from diamond.tensor_files import filled
from diamond.weights.checkpoint_folders import adopt_players
from diamond.workers.worker import run_stage
from tests.agents import write_agent

GAME = "MinAtar/Breakout-v1"
MAX_BYTES = 500_000
"""Of shipped weights: they are in every wheel."""


def with_player(word: str, game: str = GAME) -> RunConfig:
    return apply_axes(make_preset("smoke", game), [(find_axis("off_data"), word)])


def ignore(message: object) -> None:
    pass


@pytest.mark.parametrize("game", SHIPPED)
def test_shipped_weights_are_what_the_table_says(game: str) -> None:
    policy = SHIPPED[game].policy
    path = shipped_file(policy.weights)
    assert path is not None
    assert digest(path) == policy.weights
    assert path.stat().st_size < MAX_BYTES
    config = make_preset("smoke", game)
    assert policy.num_actions == len(action_codes(game, config.environment))
    view = policy.view
    shape = ActorCriticShape(
        policy.num_actions, view.height, view.width, policy.channels, policy.lstm_size
    )
    filled(lambda: ActorCriticNet(shape), load_tensors(path), torch.device("cpu"))
    assert shipped_file("0" * 64) is None


def codes_of(references: list[Reference]) -> list[tuple[int, ...]]:
    return [one.action_codes for one in references]


def test_off_data_leaves_the_other_starts_and_follows_from_its_numbers() -> None:
    config = with_player("expert", "Breakout")
    said = config.references
    collect = partial(collect_references, "Breakout", config.environment)
    plain = list(collect(said.model_copy(update={"off_data": None}), 0))
    assert codes_of(list(collect(said, 0))) == codes_of(plain)
    further = partial(collect_off_data, "Breakout", config.environment)
    found = list(further(said, 0))
    assert said.off_data is not None
    assert len(found) == said.off_data.num_starts
    assert all(one.branch is None for one in found)
    assert codes_of(found) != codes_of(plain)
    fewer = said.off_data.model_copy(update={"num_starts": 1})
    assert codes_of(list(further(said.model_copy(update={"off_data": fewer}), 0))) == codes_of(
        found[:1]
    )
    assert list(further(said.model_copy(update={"off_data": None}), 0)) == []


def test_the_frames_and_the_judge_of_a_study_do_not_depend_on_it() -> None:
    plain, played = (
        {spec.stage: spec.key for spec in stages_of(config)}
        for config in (make_preset("smoke", GAME), with_player("shipped"))
    )
    changed = {stage for stage in plain if plain[stage] != played[stage]}
    assert changed == {"references", "rollouts", "fidelity", "policy_fidelity"}


def test_there_are_as_many_starts_as_others_up_to_a_number() -> None:
    for preset in ("smoke", "tiny", "paper"):
        base = make_preset(preset, GAME)
        said = apply_axes(base, [(find_axis("off_data"), "shipped")]).references
        assert said.off_data is not None
        assert said.off_data.num_starts == min(64, base.references.num_starts)


def test_recorded_episodes_have_no_other_player() -> None:
    said = with_player("shipped").references
    with pytest.raises(ValueError, match="recorded episodes have no other player"):
        type(said).model_validate(said.model_dump() | {"recorded": "0" * 64})


def test_a_policy_needs_its_weights() -> None:
    data = with_player("shipped").model_dump()
    data["references"]["off_data"]["policy"] = None
    with pytest.raises(ValueError, match=r"off_data\.play\.collector=policy: a trained"):
        RunConfig.model_validate(data)


def test_a_world_model_that_is_scored_alone_has_none() -> None:
    assert on_starts(with_player("shipped"), 2, 4, None).references.off_data is None


def test_the_policy_of_a_checkpoint_plays_them_with_weights_that_the_home_keeps(
    tmp_path: Path,
) -> None:
    agent = write_agent(tmp_path / "agent")
    settings = (f"off_data={agent}",)
    plan = make_plan(
        Request(("steps=1,3",), "smoke", ("Breakout",), 1, "frames", None, settings=settings)
    )
    assert plan.collectors == (str(agent),)
    adopt_players(plan, tmp_path / "home")
    (spec,) = (
        spec for spec in stages_of(plan.arms[0].runs[0].config) if spec.stage == "references"
    )
    folder = make(Store(tmp_path / "home"), spec)
    assert len(load_references(folder / OFF_DATA_FOLDER)) == 2
    with pytest.raises(RequestError, match=r"off_data=.*: the checkpoint was trained on Breakout"):
        with_player(str(agent), "Pong")


def make(store: Store, spec: StageSpec) -> Path:
    store.prepare(spec)
    run_stage(store, spec.stage, spec.key, ignore, 20.0)
    return store.folder(spec.stage, spec.key)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Store]:
    """All stages of two arms and of controls, with the shipped player off the data."""
    words = ("steps=1,2", "denoiser.updates=4", "reward_end.updates=2", "num_frames=200")
    plan = make_plan(
        Request(
            words,
            "smoke",
            (GAME,),
            1,
            "fidelity",
            None,
            settings=("off_data=shipped",),
            controls=True,
        )
    )
    store = Store(tmp_path_factory.mktemp("home"))
    for spec in plan.stages():
        make(store, spec)
    return plan, store


def folder_of(study: tuple[Plan, Store], stage: str) -> Path:
    plan, store = study
    spec = next(spec for spec in plan.arms[0].runs[0].stages if spec.stage == stage)
    return store.folder(stage, spec.key)


def test_its_starts_are_imagined_and_scored_beside_the_others(
    study: tuple[Plan, Store],
) -> None:
    further = load_references(folder_of(study, "references") / OFF_DATA_FOLDER)
    assert len(further) == 2
    assert (folder_of(study, "rollouts") / OFF_DATA_FRAMES_FILE).is_file()
    scores = load_file(folder_of(study, "fidelity") / SCORES_FILE)
    others = load_file(folder_of(study, "fidelity") / OFF_DATA_SCORES_FILE)
    # Samples and counterfactuals are made of the ordinary starts alone.
    missing = scores.keys() - others.keys()
    assert missing and all(name.startswith(("delta_psnr", "energy")) for name in missing)
    assert others.keys() < scores.keys()
    for name, values in others.items():
        assert values.shape == scores[name].shape


def test_the_ordinary_scores_are_those_of_a_study_without_it(
    study: tuple[Plan, Store], tmp_path: Path
) -> None:
    plan, _ = study
    request = plan.request
    plain = make_plan(Request(request.assignments, "smoke", (GAME,), 1, "fidelity", None))
    home = Store(tmp_path)
    made = {spec.stage: make(home, spec) for spec in plain.arms[0].runs[0].stages}
    for name in ("frames.npz", "samples.npz", "counterfactual.npz"):
        assert (made["rollouts"] / name).read_bytes() == (
            folder_of(study, "rollouts") / name
        ).read_bytes()
    alone = load_file(made["fidelity"] / SCORES_FILE)
    beside = load_file(folder_of(study, "fidelity") / SCORES_FILE)
    assert alone.keys() == beside.keys()
    for name, values in alone.items():
        np.testing.assert_array_equal(values, beside[name])


def test_the_result_keeps_the_two_apart(study: tuple[Plan, Store]) -> None:
    plan, store = study
    result = build_result(plan, store, {}, frozenset(), 0.0, "diamond ablate")
    (said,) = result.off_data
    assert (said.player, said.num_starts) == ("shipped", 2)
    for arm in result.arms:
        assert arm.off_data.keys() < arm.metrics.keys()
        found, other = arm.off_data["psnr"]["mean"], arm.metrics["psnr"]["mean"]
        assert found is not None and other is not None
        assert found.mean != other.mean
    assert [row.family for row in result.off_data_comparisons] != []
    assert {row.family for row in result.off_data_comparisons} == {"off_data"}
    assert all(row.family_size is None for row in result.off_data_comparisons)
    assert "off_data" not in {row.family for row in result.comparisons}
    assert comparisons(plan, GAME, store) != off_data_comparisons(plan, GAME, store)
    run = result.arms[0].runs[0]
    assert run.known_frames is not None and run.known_frames_off_data is not None
    assert 0 <= run.known_frames_off_data <= 1
    assert json.loads(result.model_dump_json())["off_data"][0]["player"] == "shipped"
    names = [row.name for row in off_data_table(result, GAME).rows]
    assert "Cell accuracy" in "".join(names)
    assert off_data_table(result, GAME, {"psnr"}).rows[0].name == "PSNR [dB]"
    assert off_data_differences(result, GAME).columns == ("metric", result.arms[1].name)
    assert "occur in the training frames" in off_data_sentences(result, GAME)[1]


def test_controls_are_scored_and_tracked_beside_the_arms(
    study: tuple[Plan, Store], tmp_path: Path
) -> None:
    plan, store = study
    result = build_result(plan, store, {}, frozenset(), 0.0, "diamond ablate")
    assert [arm.kind for arm in result.controls] == ["control"] * len(DEFECTS)
    assert all(run.state == "done" for arm in result.controls for run in arm.runs)
    assert "control" not in {arm.kind for arm in result.arms}
    assert {row.defect for row in result.sensitivity} == set(DEFECTS)
    assert {row.metric for row in result.sensitivity} <= {one.name for one in result.metrics}
    runs = tracked_runs(Snapshot(plan, result, store, tmp_path, finished=True))
    controls = [run for run in runs if run.kind == "control"]
    assert [run.name for run in controls] == [f"control {one} seed 0" for one in DEFECTS]
    assert all(run.curves and not is_compared(run, GAME) for run in controls)


def test_page_and_markdown_show_both_sections(study: tuple[Plan, Store], tmp_path: Path) -> None:
    plan, store = study
    result = build_result(plan, store, {}, frozenset(), 0.0, "diamond ablate")
    # Two starts give no interval, so nothing is told: as if there were enough of them.
    told = tuple(
        row.model_copy(update={"tells": True, "seen": "worse"}) for row in result.sensitivity
    )
    assert {row.tells for row in result.sensitivity} == {None}
    write_report(answered(result.model_copy(update={"sensitivity": told})), [], tmp_path)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert f"Starts off the data: {GAME}" in text
        assert "of a better player (shipped)" in text
        assert f"Known defects that metrics tell: {GAME}" in text
        assert "imagined under the actions of another start" in text
