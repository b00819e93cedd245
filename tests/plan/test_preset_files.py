"""A preset file: what it says, what it is refused for, and a study that outlives it."""

import json
from pathlib import Path

import pytest

from diamond.config.overrides import get_field
from diamond.config.run import RunConfig
from diamond.errors import RequestError
from diamond.plan.declarations import claims_hash, read_declaration
from diamond.plan.find_axis import find_axis
from diamond.plan.joined_requests import command_words, join_requests, read_request, request_data
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.recipe import Recipe, find_preset, preset_config
from diamond.plan.request import Request
from diamond.plan.variants import apply_axes
from diamond.sweep.declaration import SweepOptions, load_sweep
from diamond.sweep.trials import base_config, identity_of
from tests.commands import ROOT, diamond, report

OWN = """\
base = "smoke"

[settings]
denoiser.updates = 20
denoiser.noise_max = 30.0
offset_noise = 0.2
rollouts.num_starts = 1
"""
DECLARATION = """\
question = "Do more steps draw better frames?"
primary = "psnr"
preset = "own.toml"
until = "fidelity"

[axes]
steps = [1, 3]

[[claims]]
name = "more is better"
text = "Three steps are better than one."
expression = "psnr[steps=3] > psnr[steps=1]"
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    return path


def _recipe(path: Path) -> Recipe:
    found = find_preset(str(path))
    assert isinstance(found, Recipe)
    return found


def _request(path: Path, *axes: str) -> Request:
    return Request(axes or ("steps=1,3",), _recipe(path), ("Boxing",), 1, None, None)


def _keys(plan: Plan) -> set[str]:
    return {spec.key for spec in plan.stages()}


def _with(config: RunConfig, text: str) -> RunConfig:
    name, _, value = text.partition("=")
    return apply_axes(config, [(find_axis(name), value)])


def test_its_settings_are_those_of_the_command_line(own: Path) -> None:
    own.write_text(OWN.replace("rollouts.num_starts = 1\n", ""))
    settings = ("denoiser.updates=20 denoiser.noise_max=30.0", "offset_noise=0.2")
    said = Request(("steps=1,3",), "smoke", ("Boxing",), 1, None, None, settings=settings)
    plan = make_plan(_request(own))
    assert _keys(plan) == _keys(make_plan(said))
    assert plan.study == "steps-boxing-own-static"


def test_it_may_say_what_arms_are_scored_against(own: Path) -> None:
    config = preset_config(_recipe(own), "Boxing")
    assert (config.preset, config.rollouts.num_starts) == ("smoke", 1)


def test_what_a_preset_has_is_what_its_file_has(own: Path) -> None:
    config = preset_config(_recipe(own), "Boxing")
    formulation = find_axis("formulation")
    assert formulation.current(config) == "edm"
    ddpm = _with(config, "formulation=ddpm")
    assert get_field(_with(ddpm, "formulation=edm"), "denoiser.noise_max") == 30.0
    assert get_field(_with(ddpm, "noise=lognormal"), "denoiser.noise_max") == 30.0


def test_a_file_of_another_formulation_leads_back_to_its_base(own: Path) -> None:
    own.write_text('base = "smoke"\nsettings.formulation = "ddpm"\n')
    config = preset_config(_recipe(own), "Boxing")
    assert find_axis("formulation").current(config) == "ddpm"
    edm = _with(config, "formulation=edm")
    assert edm.world == preset_config("smoke", "Boxing").world


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"smoke"', '"smok"', ("line 1", "unknown preset 'smok'", "Did you mean 'smoke'?")),
        ('"smoke"', '"own.toml"', ("line 1", "unknown preset 'own.toml'", "allowed: desk")),
        ('base = "smoke"\n', "", ("base is missing: the preset that it starts from",)),
        ("denoiser.updates", "denoiser.update", ("line 4", "Did you mean 'denoiser.updates'?")),
        ("rollouts.num_starts", "rollouts.num_start", ("line 7", "'rollouts.num_starts'?")),
        ("denoiser.updates", "seed", ("line 4", "--seeds N")),
        ("[settings]", "[setings]", ("line 3", "Did you mean 'settings'?")),
        ("0.2", "{ a = 1 }", ("offset_noise.a",)),
    ],
)
def test_what_is_wrong_in_it_is_named(own: Path, old: str, new: str, told: tuple[str, ...]) -> None:
    own.write_text(OWN.replace(old, new, 1))
    with pytest.raises(RequestError) as refused:
        find_preset(str(own))
    assert all(part in str(refused.value) for part in (str(own), *told)), refused.value


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--preset", "onw.toml"), ("there is no preset 'onw.toml'", "mean 'own.toml'?", "desk")),
        (("--preset", "tiny.toml"), ("'tiny' is the name of a preset",)),
        (("--preset", "bad.toml"), ("bad.toml: not a valid run", "denoiser.updates", "'many'")),
        (("--preset", "own.toml", "--protocol", "online"), ("own.toml: denoiser.updates belongs",)),
    ],
)
def test_a_command_refuses_it(own: Path, words: tuple[str, ...], told: tuple[str, ...]) -> None:
    (own.parent / "tiny.toml").write_text(OWN)
    (own.parent / "bad.toml").write_text(OWN.replace("20", '"many"'))
    done = diamond("ablate", "steps=1,3", *words, "--dry-run", cwd=own.parent)
    assert done.returncode == 2
    assert all(part in done.stderr for part in told), done.stderr


def test_a_declaration_finds_it_beside_itself(own: Path) -> None:
    path = own.parent / "question.toml"
    said = read_declaration(DECLARATION, path)
    assert said.preset == _recipe(own)
    assert said.games == ("Boxing",)
    before = claims_hash(said)
    own.write_text(OWN.replace("20", "30"))
    assert claims_hash(read_declaration(DECLARATION, path)) != before
    with pytest.raises(RequestError, match=r"question.toml, line 3: .*there is no preset"):
        read_declaration(DECLARATION.replace("own.toml", "no.toml"), path)


def test_a_sweep_takes_it(own: Path) -> None:
    options = SweepOptions(preset=str(own), games=("Boxing",))
    sweep = load_sweep(str(ROOT / "studies" / "sampler.toml"), options)
    assert sweep.name == "sampler-own-boxing"
    assert base_config(sweep, "Boxing") == preset_config(_recipe(own), "Boxing")
    before = identity_of(sweep)
    own.write_text(OWN.replace("20", "30"))
    assert identity_of(load_sweep(str(sweep.path), options)) != before


def test_a_request_holds_what_it_said(own: Path) -> None:
    request = _request(own)
    moved = Path(own.rename(own.parent.parent / "own.toml"))
    assert read_request(json.loads(json.dumps(request_data(request))), None) == request
    assert join_requests(request, _request(moved)) == request
    moved.write_text(OWN.replace("20", "30"))
    with pytest.raises(RequestError, match=r"--preset is .*updates=20.* and .*updates=30"):
        join_requests(request, _request(moved))
    words = command_words(request)
    assert words[words.index("--preset") + 1] == str(own)


def test_a_study_outlives_its_file(own: Path) -> None:
    (own.parent / "question.toml").write_text(DECLARATION)
    ablate = ("ablate", "question.toml", "--game", "Boxing")
    done = diamond(*ablate, cwd=own.parent, page=False)
    assert done.returncode == 0, done.stderr
    own.write_text(OWN.replace("20", "30"))
    changed = diamond(*ablate, cwd=own.parent, page=False)
    assert changed.returncode == 2
    assert "denoiser.updates: was 20, now 30" in changed.stderr
    own.unlink()
    for words in (
        ("report", "question"),
        ("verify", "question"),
        ("studies",),
        ("export-study", "question", "question.zip"),
        ("import-study", "question.zip", "--home", "other"),
    ):
        done = diamond(*words, cwd=own.parent)
        assert done.returncode == 0, (words, done.stderr)
    result = report(own.parent / "mlruns", "question")
    assert result["preset"] == "own"
    configs = result["provenance"]["config"].values()
    assert {config["recipe"][0] for config in configs} == {"denoiser.updates=20"}
