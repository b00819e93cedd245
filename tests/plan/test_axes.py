"""The table of axes: what each value sets, which stages it touches, and what is refused."""

import re
import shlex
import subprocess
import sys

import pytest

from diamond.cli.axes import axes_page, axis_example
from diamond.config.defaults import DEFAULT_GAME, DEFAULT_PRESET
from diamond.config.overrides import get_field, override
from diamond.config.presets import PRESETS, make_preset
from diamond.config.run import Protocol, RunConfig
from diamond.errors import RequestError
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.formulations import DDPM_MAX_SIGMA, FLOW_MAX_SIGMA, FORMULATION_FIELDS
from diamond.plan.axis import Axis
from diamond.plan.find_axis import axes_of, find_axis
from diamond.plan.grammar import parse_assignments
from diamond.plan.variants import apply_axes
from diamond.stages.registry import stage_names, stages_of_protocol
from tests.commands import ROOT, environment
from tests.plan.test_stage_keys import ONLINE, REACHED, SMOKE, changed_stages, section_of

BREAKOUT = make_preset("smoke", "Breakout")

# Two valid values of each axis that differ in everything that the axis sets. The stage is
# the first one that they touch, found by hand from what each axis sets.
VALUES: dict[str, tuple[str, str, str]] = {
    "off_data": ("references", "none", "expert"),
    "collector": ("frames", "random", "mixed:0.5"),
    "num_frames": ("frames", "600", "700"),
    "resolution": ("frames", "32", "48"),
    "formulation": ("denoiser", "edm", "ddpm"),
    "target": ("denoiser", "edm", "v"),
    "precondition": ("denoiser", "on", "off"),
    "noise_embedding": ("denoiser", "log_sigma", "timestep"),
    "past_scale": ("denoiser", "sigma_data", "none"),
    "noise": ("denoiser", "lognormal(-0.4,1.2,0.002,20)", "loguniform(0.01,30)"),
    "offset_noise": ("denoiser", "0", "0.3"),
    "offset_law": ("denoiser", "constant", "sigma"),
    "sigma_data": ("denoiser", "0.5", "0.25"),
    "autoregressive": ("denoiser", "1", "3"),
    "quantizer": ("denoiser", "none", "round"),
    "cond_noise": ("denoiser", "0.1:0.1", "0.2"),
    "change": ("denoiser", "0", "5"),
    "history": ("denoiser", "1", "16"),
    "width": ("denoiser", "16", "32"),
    "depth": ("denoiser", "1", "2"),
    "attention": ("denoiser", "on", "off"),
    "ema": ("denoiser", "0", "0.9"),
    "lr": ("denoiser", "1e-3", "1e-4"),
    "balance": ("denoiser", "0", "0.5"),
    "updates": ("denoiser", "40", "80"),
    "reward_balance": ("reward_end", "0", "0.5"),
    "memory": ("reward_end", "lstm", "none"),
    "steps": ("rollouts", "1", "3"),
    "order": ("rollouts", "1", "2"),
    "churn": ("rollouts", "0", "1"),
    "solver": ("rollouts", "ode", "ancestral"),
    "grid": ("rollouts", "karras", "timesteps"),
    "sigma_max": ("rollouts", "5", "80"),
    "rho": ("rollouts", "7", "3"),
    "init_noise": ("rollouts", "unit", "marginal"),
    "quantize_at": ("rollouts", "call", "end"),
    "reward_end_sampling": ("rollouts", "sample", "argmax"),
    "algorithm": ("policy", "reinforce", "ppo"),
    "event_starts": ("policy", "0", "0.5"),
    "horizon": ("policy", "4", "8"),
    "gamma": ("policy", "0.9", "0.99"),
    "lambda": ("policy", "0.9", "1"),
    "entropy": ("policy", "0", "0.01"),
    "lpips": ("fidelity", "none", "alex"),
    "environment": ("agent", "imagination", "real"),
}
NAMES = tuple(axis.name for axis in axes_of() if axis.kind != "family")


def with_value(name: str, text: str, base: RunConfig = SMOKE) -> RunConfig:
    return apply_axes(base, [(find_axis(name), text)])


def fields_of(name: str, text: str, base: RunConfig = SMOKE) -> list[object]:
    config = with_value(name, text, base)
    return [get_field(config, field) for field in find_axis(name).fields]


def test_every_axis_has_values_and_names_are_their_own() -> None:
    assert list(VALUES) == list(NAMES), "each axis needs a line in VALUES, in the order of its row"
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "environment"])
def test_an_axis_changes_its_first_stage_and_what_reads_it_alone(name: str) -> None:
    axis = find_axis(name)
    expected, *texts = VALUES[name]
    base = BREAKOUT if name in ("collector", "off_data") else SMOKE
    before, after = (with_value(name, text, base) for text in texts)
    changed = changed_stages(before, after)
    reached = frozenset().union(*(REACHED[section_of(field)] for field in axis.fields))
    assert changed == reached
    assert ("references" in changed) == (name == "off_data")
    first = next(stage for stage in stage_names() if stage in changed)
    assert axis.first_stage == first == expected


@pytest.mark.parametrize("name", NAMES)
def test_online_an_axis_changes_the_agent_alone(name: str) -> None:
    _, one, other = VALUES[name]
    if name in ("collector", "num_frames", "updates"):
        with pytest.raises(RequestError, match="belongs to the static protocol"):
            with_value(name, other, make_preset("smoke", "Breakout", "online"))
        return
    if name == "environment":
        assert find_axis(name).first_stage == "agent"
        assert with_value(name, other, ONLINE).imagines is False
        return
    base = make_preset("smoke", "Breakout", "online") if name == "off_data" else ONLINE
    before, after = (with_value(name, text, base) for text in (one, other))
    changed = changed_stages(before, after)
    if name == "off_data":
        assert changed == {"references", "rollouts", "fidelity", "policy_fidelity"}
        return
    if name == "lpips":
        assert changed == {"fidelity"}
        return
    # The judge sees what the agents see, and is otherwise the same for all of them.
    judged = {"inverse_dynamics"} if name == "resolution" else set()
    without = frozenset({"references", "inverse_dynamics"})
    assert changed == (frozenset(stages_of_protocol("online")) - without) | judged


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", PRESETS)
def test_the_current_value_is_one_that_changes_nothing(name: str, preset: str) -> None:
    axis = find_axis(name)
    base = make_preset(preset, "Breakout", "online" if name == "environment" else "static")
    current = axis.current(base)
    if (
        name == "quantizer"
        and diamond_of(base).sampler.quantizer != diamond_of(base).denoiser.quantizer
    ):
        assert current == "floor / round"
        return
    assert with_value(name, current, base) == base


@pytest.mark.parametrize("name", NAMES)
def test_the_current_value_is_what_was_set(name: str) -> None:
    axis = find_axis(name)
    base = ONLINE if name == "environment" else BREAKOUT
    for text in VALUES[name][1:]:
        config = with_value(name, text, base)
        again = with_value(name, axis.current(config), base)
        assert again == config


@pytest.mark.parametrize(
    ("text", "law", "numbers"),
    [
        ("lognormal(-0.4,1.2,0.01,30)", "lognormal", (-0.4, 1.2, 0.01, 30)),
        ("lognormal(-0.4, 1.2)", "lognormal", (-0.4, 1.2, 0.002, 20)),
        ("lognormal", "lognormal", (-0.2, 1.3, 0.002, 20)),
        ("loguniform(0.01,30)", "loguniform", (-0.2, 1.3, 0.01, 30)),
        ("timesteps", "timesteps", (-0.2, 1.3, 0.002, DDPM_MAX_SIGMA)),
        ("time", "time", (-0.2, 1.3, 0.002, FLOW_MAX_SIGMA)),
        ("time(0.1,10)", "time", (-0.2, 1.3, 0.1, 10)),
    ],
)
def test_noise_sets_law_numbers_and_clip(text: str, law: str, numbers: tuple[float, ...]) -> None:
    assert fields_of("noise", text) == [law, *numbers]


@pytest.mark.parametrize("shared", ["formulation=ddpm", "formulation=flow", "noise=timesteps(1,9)"])
@pytest.mark.parametrize("text", ["lognormal", "lognormal(-1,1.5)", "timesteps", "time"])
def test_noise_without_a_clip_is_that_of_the_preset_on_any_formulation(
    shared: str, text: str
) -> None:
    """Set on what all arms share, and beside it in one arm: the same run as on EDM but for it."""
    name, value = shared.split("=")
    base = with_value(name, value)
    assert fields_of("noise", text, base) == fields_of("noise", text)
    noise, formulation = find_axis("noise"), find_axis("formulation")
    if name == "formulation":
        assert with_value("noise", text, base) == apply_axes(
            SMOKE, [(formulation, value), (noise, text)]
        )
    back = apply_axes(base, [(formulation, "edm"), (noise, text)])
    assert back == with_value("noise", text)


def test_noise_keeps_what_was_changed_on_the_law_of_the_preset() -> None:
    changed = override(SMOKE, {"denoiser.noise_loc": -1.2, "denoiser.noise_max": 30.0})
    assert with_value("noise", "lognormal", changed) == changed


def test_values_that_are_more_than_one_number() -> None:
    assert fields_of("cond_noise", "0.2") == [0.2, 0.0]
    assert fields_of("cond_noise", "0.2:0.1") == [0.2, 0.1]
    assert fields_of("quantizer", "none") == ["none", "none"]
    assert fields_of("resolution", "48") == [48, 48]
    assert fields_of("depth", "3") == [(3, 3)]
    tiny = make_preset("tiny", "Boxing")
    assert diamond_of(tiny).denoiser.channels == (32, 64, 64)
    assert fields_of("width", "96", tiny) == [(48, 96, 96)]


def test_collectors_play_the_frames_and_leave_the_references() -> None:
    assert fields_of("collector", "random", BREAKOUT) == ["random_held", 1.0, None]
    assert fields_of("collector", "mixed:0.25", BREAKOUT) == ["expert", 0.25, None]
    assert with_value("collector", "expert", BREAKOUT) == BREAKOUT
    assert with_value("collector", "random", BREAKOUT).references == BREAKOUT.references
    # Boxing is played at random already: the same frames, whatever the word.
    assert with_value("collector", "random") == SMOKE


def test_single_axes_change_parts_of_a_formulation_in_any_order() -> None:
    chosen = [(find_axis(name), text) for name, text in (("target", "v"), ("formulation", "ddpm"))]
    for order in (chosen, chosen[::-1]):
        config = apply_axes(SMOKE, order)
        assert diamond_of(config).denoiser.target == "v"
        assert diamond_of(config).sampler.solver == "ancestral"


@pytest.mark.parametrize("formulation", FORMULATION_FIELDS)
def test_single_axes_lead_from_a_formulation_back_to_the_preset(formulation: str) -> None:
    fields = FORMULATION_FIELDS[formulation]  # type: ignore[index]
    singles = [axis for axis in axes_of() if axis.kind == "single"]
    owners = {axis.name: axis for field in fields for axis in singles if field in axis.fields}
    assert {field for axis in owners.values() for field in axis.fields} >= set(fields)
    chosen = [(axis, axis.current(SMOKE)) for axis in owners.values()]
    there = with_value("formulation", formulation)
    assert (there == SMOKE) == (formulation == "edm")
    assert apply_axes(SMOKE, [(find_axis("formulation"), formulation), *chosen]) == SMOKE


@pytest.mark.parametrize("there", FORMULATION_FIELDS)
@pytest.mark.parametrize("base", FORMULATION_FIELDS)
def test_a_formulation_is_the_same_whatever_it_is_set_on(base: str, there: str) -> None:
    for preset in ("smoke", "tiny"):
        config = make_preset(preset, "Boxing")
        expected = with_value("formulation", there, config)
        started = with_value("formulation", base, config)
        assert with_value("formulation", there, started) == expected
        assert find_axis("formulation").current(expected) == there


def test_a_formulation_takes_another_one_away_with_what_was_changed_in_it() -> None:
    chosen = [(find_axis("formulation"), "ddpm"), (find_axis("target"), "v")]
    changed = apply_axes(SMOKE, chosen)
    assert find_axis("formulation").current(changed) == "ddpm, changed"
    assert with_value("formulation", "edm", changed) == SMOKE


def test_a_formulation_keeps_what_was_changed_on_edm_and_is_no_part_of_it() -> None:
    changed = with_value("noise", "loguniform(0.01,5)", with_value("quantizer", "none"))
    assert with_value("formulation", "edm", changed) == changed
    few = with_value("noise", "lognormal(0,1)")
    assert diamond_of(with_value("formulation", "ddpm", few)).denoiser.noise_loc == 0


REFUSED: dict[str, tuple[str, ...]] = {
    "order=3": ("unknown value of order '3'", "allowed: 1, 2"),
    "attention=maybe": ("unknown value of attention 'maybe'", "allowed: off, on"),
    "target=epsilon": ("Did you mean 'eps'?", "allowed: edm, eps, v, velocity, x0"),
    "formulation=edn": ("unknown formulation 'edn'", "Did you mean 'edm'?"),
    "grid=karas": ("Did you mean 'karras'?",),
    "quantizer=flor": ("Did you mean 'floor'?", "floor, none, round"),
    "collector=mixed:2": ("from 0 to 1", "collector=mixed:0.1"),
    "collector=mixed": ("from 0 to 1",),
    "collector=mixed:nan": ("from 0 to 1",),
    "collector=mxied:0.1": ("Did you mean 'mixed:SHARE'?", "or the folder of a checkpoint"),
    "collector=expret": ("Did you mean 'expert'?",),
    "collector=expert": ("Boxing has no scripted expert", "Breakout, Pong"),
    "collector=no/where": ("'no/where' is not a checkpoint", "diamond import-checkpoint"),
    "noise=lognormal(1)": ("lognormal takes none or 2 or 4 finite numbers", "lognormal(LOC,SCALE)"),
    "noise=lognormal(1,x)": ("finite numbers",),
    "noise=lognormal()": ("finite numbers",),
    "noise=loguniform": ("loguniform takes 2 finite numbers", "loguniform(MIN,MAX)"),
    "noise=loguniform(3,1)": ("noise_min 3.0 must be below noise_max 1.0",),
    "noise=loguniform(0,1)": ("denoiser.noise_min=0.0", "greater than 0"),
    "noise=lognormel(1,2)": ("Did you mean 'lognormal'?",),
    "noise=lognormal(1,2)x": ("unknown value of noise",),
    "cond_noise=2": ("from 0 to 1", "TRAIN:INFER"),
    "cond_noise=0.1:": ("TRAIN:INFER",),
    "cond_noise=0.1:0.2:0.3": ("TRAIN:INFER",),
    "history=3": ("cond_channels 64", "allowed with it: history 1, 2, 4, 8, 16"),
    "history=17": ("less than or equal to 16",),
    "width=0": ("whole numbers from 1",),
    "width=1.5": ("whole numbers from 1",),
    "width=-16": ("whole numbers from 1",),
    "depth=two": ("whole numbers from 1",),
    "resolution=33": ("sides are multiples of 2",),
    "resolution=4": ("view.height=4", "greater than or equal to 8"),
    "resolution=512": ("less than or equal to",),
    "steps=0": ("greater than or equal to 1",),
    "ema=1": ("less than 1",),
    "ema=on": ("valid number",),
    "lr=true": ("valid number",),
    "gamma=1.5": ("less than or equal to 1",),
    "num_frames=10": ("greater than or equal to 64",),
    "sigma_max=0.001": ("sigma_min 0.002 must be below sigma_max 0.001",),
    "environment=reel": ("Did you mean 'real'?",),
}


@pytest.mark.parametrize("assignment", REFUSED)
def test_a_value_that_is_none_is_refused_with_what_is_allowed(assignment: str) -> None:
    name, _, text = assignment.partition("=")
    base = ONLINE if name == "environment" else SMOKE
    with pytest.raises(RequestError) as caught:
        with_value(name, text, base)
    message = re.sub(r"\s+", " ", str(caught.value))
    for part in REFUSED[assignment]:
        assert part in message


def test_levels_of_different_width_keep_their_ratio() -> None:
    with pytest.raises(RequestError, match=r"width=33.*keep their ratio: multiples of 2"):
        with_value("width", "33", make_preset("tiny", "Boxing"))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [("Steps", "steps"), ("quantiser", "quantizer"), ("colector", "collector"), ("LR", "lr")],
)
def test_an_unknown_axis_gives_the_nearest(wrong: str, match: str) -> None:
    with pytest.raises(RequestError, match=rf"unknown axis '{wrong}'. Did you mean '{match}'\?"):
        find_axis(wrong)


def test_a_field_without_a_text_names_its_axis() -> None:
    with pytest.raises(RequestError, match="with the axis collector=CHECKPOINT"):
        find_axis("frames.policy")


def test_the_page_of_the_docs_is_that_of_the_table() -> None:
    """Made by: python -m diamond.cli.axes > docs/reference/axes.md."""
    assert (ROOT / "docs/reference/axes.md").read_text(encoding="utf-8") == axes_page()


def test_listing_the_axes_loads_no_array_library() -> None:
    code = (
        "import sys\n"
        "from diamond.cli.axes import show_axes\n"
        "show_axes(fields=True)\n"
        "heavy = {'torch', 'numpy', 'ale_py', 'gymnasium', 'cv2', 'mlflow', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


@pytest.mark.parametrize("axis", axes_of(), ids=lambda axis: axis.name)
def test_the_example_of_an_axis_has_two_values_that_differ(axis: Axis) -> None:
    (words,) = shlex.split(axis_example(axis))[2:]
    (asked,) = parse_assignments((words,))
    assert asked.name == axis.name
    if "VALUE" in asked.values:
        # Of these one value alone can be used here.
        assert axis.name in ("family", "collector", "lpips")
        return
    protocol: Protocol = "online" if axis.fields[0].startswith("online.") else "static"
    config = make_preset(DEFAULT_PRESET, DEFAULT_GAME, protocol)
    one, other = (apply_axes(config, [(axis, text)]) for text in asked.values)
    assert one != other


@pytest.mark.parametrize("width", [60, 100, 160])
def test_the_list_fits_the_terminal(width: int) -> None:
    code = (
        "import diamond.cli.axes as axes\n"
        f"axes.text_width = lambda stream: {width}\n"
        "axes.show_axes(fields=False)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    lines = done.stdout.splitlines()
    assert width - 15 < max(map(len, lines)) <= width
    for axis in axes_of():
        assert any(line.startswith(f"{axis.name} ") for line in lines), axis.name
        assert axis.source in re.sub(r"\s+", " ", done.stdout)
