"""Plans on recordings: which stages there are, which starts, what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diamond.config.recorded import RecordedFrames, Window
from diamond.errors import RequestError
from diamond.plan.joined_requests import command_words, read_request, request_data
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.recordings.asked_recordings import games_of
from diamond.plan.recordings.recorded_notes import recorded_lines
from diamond.plan.request import Request
from tests.agents import write_agent
from tests.recordings.made_sources import facts

MINE = "frames:mine"
WITHOUT_GAME = {"references", "frames", "denoiser", "inverse_dynamics", "rollouts", "fidelity"}


def asked(found: RecordedFrames, game: str = MINE, **changed: Any) -> Request:
    request = Request(("steps=1,3",), "smoke", (game,), 1, None, None, recordings=(found,))
    return replace(request, **changed)


def stages(plan: Plan) -> set[str]:
    return {spec.stage for spec in plan.stages()}


def test_windows_lie_end_to_end_the_first_of_all_parts_first() -> None:
    windows = facts().windows(24)
    assert windows == (
        Window(0, 0, 40, 16),
        Window(1, 0, 40, 16),
        Window(2, 0, 12, 6),
        Window(0, 40, 40, 16),
        Window(0, 80, 40, 16),
        Window(0, 120, 30, 16),
    )
    # What is left of a part has a context and one frame more, or it is no start.
    assert facts(held_out=(56,)).windows(24) == (Window(0, 0, 40, 16),)
    assert facts(held_out=(57,)).windows(24) == (Window(0, 0, 40, 16), Window(0, 40, 17, 16))
    assert facts(held_out=(1,)).windows(24) == ()


@pytest.mark.parametrize(("num", "horizon"), [(200, 184), (24, 8), (23, 12), (5, 3), (2, 1)])
def test_a_short_part_is_half_context(num: int, horizon: int) -> None:
    found = facts(held_out=(num,))
    assert found.longest_horizon == horizon
    (window,) = found.windows(horizon)
    assert window.num_frames - window.num_context == horizon


@pytest.mark.parametrize(
    ("changed", "more"),
    [
        ({}, {"reward_end", "policy", "policy_fidelity"}),
        ({"rewards": False}, set()),
        ({"num_actions": 0}, {"reward_end"}),
        ({"num_actions": 0, "rewards": False}, set()),
    ],
)
def test_what_a_recording_lacks_leaves_out_stages(changed: dict[str, Any], more: set[str]) -> None:
    plan = make_plan(asked(facts(**changed)))
    assert stages(plan) == WITHOUT_GAME | more
    left_out = {"reward_end", "policy", "policy_fidelity", "returns"} - more
    told = " ".join(recorded_lines(plan, MINE))
    assert all(stage in told for stage in left_out)


def test_a_game_brings_counterfactuals_and_returns() -> None:
    plan = make_plan(asked(facts(), "Breakout"))
    config = plan.arms[0].runs[0].config
    assert {"policy", "returns"} <= stages(plan)
    assert config.references.counterfactuals is not None and config.references.recorded is None
    assert config.frames.recorded is not None and config.frames.num_frames == 400
    assert plan.study == "steps-breakout-frames-mine-smoke-static"
    without = make_plan(asked(facts(rewards=False), "Breakout"))
    assert stages(without) == WITHOUT_GAME


def test_numbers_of_the_preset_are_at_most_those_of_the_recording() -> None:
    config = make_plan(asked(facts(), preset="tiny")).arms[0].runs[0].config
    # The longest held-out part has 150 frames, 16 of them context.
    assert config.references.horizon_steps == config.rollouts.horizon_steps == 100
    assert config.rollouts.num_starts == config.references.num_starts == 4
    short = make_plan(asked(facts(held_out=(40, 12)), preset="tiny")).arms[0].runs[0].config
    assert (short.rollouts.horizon_steps, short.rollouts.num_starts) == (24, 2)


def test_starts_from_a_number_on_are_others() -> None:
    later = make_plan(asked(facts(), first_start=2, preset="tiny")).arms[0].runs[0].config
    assert (later.references.first_start, later.rollouts.num_starts) == (2, 2)
    with pytest.raises(RequestError, match="has 4 held-out starts of 100 env steps"):
        make_plan(asked(facts(), first_start=4, preset="tiny"))


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (asked(facts(held_out=())), "no held-out frames.*--hold-out 0.1"),
        (asked(facts(training=(60,))), "60 training frames.*64 or more"),
        (asked(facts(), until="returns"), "no game to play"),
        (asked(facts(num_actions=0), until="policy"), "these are numbers"),
        (asked(facts(rewards=False), until="reward_end"), "both rewards and ends"),
        (asked(facts(), protocol="online"), "has them already"),
        (asked(facts(), assignments=("collector=random,expert",)), "nobody plays"),
        (asked(facts(), settings=("off_data=expert",)), "nobody plays"),
    ],
)
def test_what_a_recording_cannot_be_asked_is_refused(request_: Request, told: str) -> None:
    with pytest.raises(RequestError, match=f"(?s){told}"):
        make_plan(request_)


def test_a_recording_takes_the_place_of_a_game_or_stands_beside_one() -> None:
    assert games_of(None, None) is None
    assert games_of("a,b", None) == ("frames:a", "frames:b")
    assert games_of("a", ("Boxing",)) == ("Boxing",)
    for frames, games in (("a,b", ("Boxing",)), ("a", ("Boxing", "Pong"))):
        with pytest.raises(RequestError, match="one of each"):
            games_of(frames, games)


def test_a_study_remembers_what_it_has_to_know_of_a_recording() -> None:
    for request in (asked(facts()), asked(facts(), "Breakout")):
        data = request_data(request)
        assert read_request(data, None) == request
        assert "--frames mine" in " ".join(command_words(request))
    assert "--game" not in command_words(asked(facts()))
    assert "recordings" not in request_data(replace(asked(facts()), recordings=()))


def test_keys_follow_from_what_a_recording_holds() -> None:
    def keys(found: RecordedFrames, game: str = MINE) -> dict[str, str]:
        run = make_plan(asked(found, game)).arms[0].runs[0]
        return {spec.stage: spec.key for spec in run.stages}

    other = facts(digest="1" * 64)
    same, without_game = keys(facts()), keys(other)
    assert all(same[stage] != without_game[stage] for stage in same)
    trained, beside_game = keys(facts(), "Breakout"), keys(other, "Breakout")
    shared = {stage for stage in trained if trained[stage] == beside_game[stage]}
    assert shared == {"references", "inverse_dynamics"}


@pytest.mark.parametrize("words", ["reward_balance=0,1", "event_starts=0,0.5"])
def test_arms_that_differ_in_what_is_left_out_are_refused(words: str) -> None:
    make_plan(asked(facts(), assignments=(words,)))
    with pytest.raises(RequestError, match=r"are the same run on frames:mine: .*both rewards"):
        make_plan(asked(facts(rewards=False), assignments=(words,)))
    # What has no policy because actions are numbers can still tell rewards.
    numbers = asked(facts(num_actions=0), assignments=(words,))
    if words.startswith("reward"):
        make_plan(numbers)
    else:
        with pytest.raises(RequestError, match="these are numbers"):
            make_plan(numbers)


def test_a_checkpoint_trains_nothing_on_a_recording(tmp_path: Path) -> None:
    checkpoint = write_agent(tmp_path / "breakout")
    with pytest.raises(RequestError, match="--frames mine with --checkpoint"):
        make_plan(asked(facts(), "Breakout", checkpoint=checkpoint))
    with pytest.raises(RequestError, match=r"trained on Breakout(?s:.)*leave --frames out"):
        make_plan(asked(facts(), checkpoint=checkpoint))


def test_an_arm_that_wants_more_frames_than_there_are_is_refused() -> None:
    with pytest.raises(RequestError, match=r"num_frames=401(?s:.)*allowed: 64 to 400"):
        make_plan(asked(facts(), assignments=("num_frames=100,401",)))
    plan = make_plan(asked(facts(), assignments=("num_frames=100,400",)))
    told = recorded_lines(plan, MINE)
    assert told[0] == f"{MINE}: arms are trained on 100 to 400 frames of the recording mine."
