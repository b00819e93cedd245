"""Games other than those of Atari 100k: names, what a plan finds out by playing, whole studies."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diamond.config.base import canonical
from diamond.config.environments import MINATAR_CELLS, GymnasiumConfig, default_environment
from diamond.config.game_names import MINATAR_GAMES, check_game, check_games, kind_of, slug_of
from diamond.config.overrides import get_field, override
from diamond.config.presets import PRESETS, make_preset
from diamond.data.collect import collect_references
from diamond.data.reference_files import load_references, save_references
from diamond.envs.probe import probed
from diamond.errors import RequestError
from diamond.findings.arm_inputs import scored_on
from diamond.findings.reader_notes import study_notes
from diamond.plan import game_probe as probing
from diamond.plan.game_probe import Facts, probe, settled
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import stages_of
from tests.agents import write_agent
from tests.commands import ROOT, diamond, report

DRIFT = "tests.own_games:Own/Drift-v0"
MINATAR = "MinAtar/Breakout-v1"
BOTH = "steps-minatar-breakout-v1-tests-own-games-own-drift-v0-smoke-static"
RETURNS = ("imagined_return", "real_return", "imagination_gap")


def plan_of(*assignments: str, games: tuple[str, ...], **changes: Any) -> Plan:
    return make_plan(Request(assignments, "smoke", games, 1, None, None, None, **changes))


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "name", "kind", "slug"),
    [
        ("Breakout", "Breakout", "atari", "breakout"),
        ("ALE/Breakout-v5", "Breakout", "atari", "breakout"),
        ("ALE/Pitfall-v5", "Pitfall", "atari", "pitfall"),
        (MINATAR, MINATAR, "minatar", "minatar-breakout-v1"),
        ("CarRacing-v3", "CarRacing-v3", "gymnasium", "carracing-v3"),
        ("a.b:My/Game-v0", "a.b:My/Game-v0", "gymnasium", "a-b-my-game-v0"),
    ],
)
def test_a_game_has_one_name(said: str, name: str, kind: str, slug: str) -> None:
    assert check_game(said) == name
    assert (kind_of(name), slug_of(name)) == (kind, slug)
    assert default_environment(name).kind == kind


@pytest.mark.parametrize(
    ("said", "meant"),
    [("Brekout", "Breakout"), ("ALE/Pitfal-v5", "Pitfall"), ("MinAtar/Brekout-v1", MINATAR)],
)
def test_a_name_that_is_none_is_refused(said: str, meant: str) -> None:
    with pytest.raises(RequestError, match=f"Did you mean '{meant}'"):
        check_game(said)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("game", ["Pitfall", MINATAR, "CarRacing-v3"])
def test_every_preset_has_a_recipe_for_any_game(preset: str, game: str) -> None:
    config = make_preset(preset, game)
    assert config.game == game
    assert (config.view.height == 10) == (game == MINATAR)
    make_preset(preset, game, "online")


# --- fields of kinds --------------------------------------------------------------------------


def test_a_field_of_another_kind_is_refused() -> None:
    with pytest.raises(
        RequestError, match=r"trail is a field of games of the kind minatar.*\n.*mode"
    ):
        override(make_preset("smoke", "Boxing"), {"environment.trail": "false"})


def test_options_are_json_under_their_names() -> None:
    car = make_preset("smoke", "CarRacing-v3")
    changed = override(
        car, {"environment.options.continuous": "false", "environment.options.lap": "[0.9]"}
    )
    assert isinstance(changed.environment, GymnasiumConfig)
    assert changed.environment.options == {"continuous": False, "lap": [0.9]}
    assert isinstance(car.environment, GymnasiumConfig) and car.environment.options == {}
    assert get_field(changed, "environment.options.continuous") is False
    nested = override(changed, {"environment.options.map.size": "3"})
    assert get_field(nested, "environment.options.map.size") == 3
    with pytest.raises(RequestError, match="continuous is False, which has no parts"):
        override(changed, {"environment.options.continuous.x": "1"})
    with pytest.raises(RequestError, match=r"unknown axis 'environment\.options\.'"):
        override(car, {"environment.options.": "5"})


@pytest.mark.parametrize(
    "names",
    [
        ("ALE/Breakout-v5", "Breakout"),
        ("Breakout", "ale_py:ALE/Breakout-v5"),
        ("MiniGrid-Empty-5x5-v0", "minigrid:MiniGrid-Empty-5x5-v0"),
        ("X-v0", "a:X-v0"),
    ],
)
def test_two_names_of_one_game_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(RequestError, match=f"{names[0]} and {names[1]} are one game"):
        check_games(names)


def test_a_policy_records_frames_of_its_own_game_alone(tmp_path: Path) -> None:
    folder = write_agent(tmp_path / "agent", make_preset("smoke", MINATAR))
    assert plan_of(f"collector=random,{folder}", games=(MINATAR,))
    with pytest.raises(RequestError, match=r"environment.trail true, the preset smoke has false"):
        plan_of(f"collector={folder}", games=(MINATAR,), settings=("environment.trail=false",))


# --- what a plan finds out --------------------------------------------------------------------


@pytest.mark.parametrize("game", ["Boxing", MINATAR])
def test_known_games_are_not_tried(game: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(probing, "probe")
    config = make_preset("smoke", game)
    assert settled(config) is config


def test_a_view_that_does_not_fit_the_cells_is_refused() -> None:
    with pytest.raises(RequestError, match=r"view\.crop"):
        settled(override(make_preset("smoke", MINATAR), {"view.crop": (0, 11, 0, 10)}))


@pytest.mark.parametrize("sticky", [0.0, 0.5])
@pytest.mark.parametrize("game", MINATAR_GAMES)
def test_minatar_repeats(game: str, sticky: float) -> None:
    """What a plan takes for granted of it: equal plays, ten rows and columns, a choice."""
    environment = default_environment(game).model_copy(update={"sticky_actions": sticky})
    found = probed(game, canonical(environment))
    assert len(set(found["digests"])) == 1
    assert found["native_size"] == list(MINATAR_CELLS)
    assert found["num_actions"] >= 2


def test_two_processes_play_minatar_alike() -> None:
    assert probe(MINATAR, default_environment(MINATAR)) == Facts(3, (10, 10), None, None, True)


def test_a_game_that_does_not_repeat_has_no_counterfactuals() -> None:
    config = settled(make_preset("smoke", DRIFT))
    assert config.references.counterfactuals is None
    assert not config.environment.replayable
    assert get_field(config, "environment.pixels") == "observation"


def test_a_game_that_repeats_in_one_process_alone_is_found_out() -> None:
    game = "tests.own_games:Own/PerProcess-v0"
    assert not probe(game, default_environment(game)).deterministic


def test_what_was_found_outweighs_what_the_user_says() -> None:
    config = override(make_preset("smoke", DRIFT), {"environment.deterministic": "true"})
    with pytest.raises(RequestError, match=r"deterministic=true: .* gave other frames"):
        settled(config)
    grey = make_preset("smoke", "tests.own_games:Own/Grey-v0")
    assert settled(grey).references.counterfactuals is not None
    known = override(grey, {"environment.deterministic": "false"})
    assert settled(known).references.counterfactuals is None


def test_another_file_is_another_game(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source = (ROOT / "tests/own_games.py").read_text().replace("tests.own_games", "edited_games")
    config = make_preset("smoke", "edited_games:Own/Grey-v0")
    keys = []
    for text in (source, source + "# edited\n", source):
        (tmp_path / "edited_games.py").write_text(text)
        probing._probe.cache_clear()
        keys.append({spec.stage: spec.key for spec in stages_of(settled(config))})
    assert keys[0] == keys[2]
    assert all(keys[0][stage] != keys[1][stage] for stage in ("references", "frames", "denoiser"))


def test_a_game_whose_process_ends_is_refused() -> None:
    game = "tests.own_games:Own/Exit-v0"
    with pytest.raises(RequestError, match="Own/Exit-v0 cannot be played: "):
        probe(game, default_environment(game))


def test_a_crop_beyond_the_screen_is_refused() -> None:
    config = override(make_preset("smoke", MINATAR), {"view.crop": "[0,11,0,10]"})
    with pytest.raises(RequestError, match="within the screen of 10 x 10"):
        settled(config)


def test_arms_that_play_other_games_are_not_compared() -> None:
    plan = plan_of("environment.trail=true,false", games=(MINATAR,))
    first, second = (arm for arm in plan.arms if arm.kind == "arm")
    assert scored_on(first) != scored_on(second)
    references = [
        next(spec.key for spec in arm.runs[0].stages if spec.stage == "references")
        for arm in (first, second)
    ]
    assert len(set(references)) == 2
    assert any("arms play it in different ways" in note for note in study_notes(plan))


# --- commands ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two kinds of games, one of which does not repeat."""
    home = tmp_path_factory.mktemp("any") / "home"
    arguments = ("steps=1,3", "--preset", "smoke", "--game", f"{MINATAR},{DRIFT}")
    done = diamond("ablate", *arguments, "--home", str(home), page=False)
    assert done.returncode == 0, done.stderr
    assert f"{DRIFT} gives other frames for equal seeds and actions" in done.stderr.replace(
        "\n", " "
    )
    return home


def test_a_study_mixes_kinds_of_games(home: Path) -> None:
    found = report(home, BOTH)
    assert {arm["game"] for arm in found["arms"]} == {MINATAR, DRIFT}
    for arm in found["arms"]:
        for run in arm["runs"]:
            if arm["name"].startswith("steps"):
                assert run["returns"]["mean"] is not None
                assert run["returns"]["hns"] is None


def test_imagination_stands_beside_the_game_where_it_can_be_replayed(home: Path) -> None:
    found = report(home, BOTH)
    for arm in found["arms"]:
        if arm["kind"] == "arm":
            there = {name: arm["metrics"][name]["mean"] is not None for name in RETURNS}
            replayed = arm["game"] == MINATAR
            assert there == {"imagined_return": True} | dict.fromkeys(RETURNS[1:], replayed)
            assert arm["metrics"]["policy_entropy"]["mean"]["mean"] > 0.9
            assert {"event_recall", "event_recall_real", "reward_rate"} <= arm["metrics"].keys()
            # Of frames that are no cells none is exact.
            assert ("event_frames_exact" in arm["metrics"]) == replayed
        else:
            assert not {"event_recall", "reward_rate", *RETURNS} & arm["metrics"].keys()
    (note,) = (note for note in found["notes"] if "imagination gap" in note)
    assert note.startswith(f"{DRIFT}: ")
    assert found["warning"].startswith("Warning: the preset smoke is for tests and learns nothing;")
    assert "fewer than 10 held-out starts (2)" in found["warning"]


def test_counterfactuals_are_of_games_that_repeat(home: Path) -> None:
    folders = {}
    for folder in (home / "stages" / "references").iterdir():
        manifest = json.loads((folder / "manifest.json").read_text())
        folders[manifest["config"]["game"]] = folder
    assert (folders[MINATAR] / "counterfactual.npz").exists()
    assert not (folders[DRIFT] / "counterfactual.npz").exists()


@pytest.mark.parametrize("padding", ["start", "none"])
def test_references_of_a_game_that_does_not_repeat_are_whole(tmp_path: Path, padding: str) -> None:
    config = settled(make_preset("smoke", DRIFT))
    environment = config.environment.model_copy(update={"padding": padding})
    wanted = config.references.model_copy(update={"num_starts": 8, "max_offset_steps": 20})
    save_references(collect_references(DRIFT, environment, wanted, 0), tmp_path)
    references = load_references(tmp_path)
    assert any(reference.offset > 0 for reference in references)
    for reference in references:
        whole, native = np.asarray(reference.stills), np.asarray(reference.native)
        # The second pixel counts env steps from the reset on.
        assert whole[:, 0, 1, 0].tolist() == list(range(len(whole)))
        real = native[reference.num_padded :]
        assert np.array_equal(whole[max(0, reference.offset) :][: len(real)], real)


def test_nothing_is_made_of_a_game_that_cannot_be_played(tmp_path: Path) -> None:
    for game, text in (
        ("CarRasing-v3", "Did you mean 'CarRacing-v3'"),
        ("nowhere.to.be:Found-v0", "the module 'nowhere.to.be' does not load"),
        ("Pendulum-v1", "allowed: discrete ones"),
    ):
        done = diamond("ablate", "steps=1,3", "--game", game, "--home", str(tmp_path / "home"))
        assert done.returncode == 2
        assert text in done.stderr
        assert not (tmp_path / "home").exists()
