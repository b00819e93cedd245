"""Sweeps as files: every refusal with its line, options, identity."""

import os
from pathlib import Path
from typing import Any

import pytest

from diamond.errors import RequestError
from diamond.plan.toml_files import names_in
from diamond.sweep import declared_sweep
from diamond.sweep.declaration import (
    Sweep,
    SweepOptions,
    load_sweep,
)
from diamond.sweep.objectives import QUANTITIES, Measure
from diamond.sweep.space import (
    DeclaredParameter,
    Parameter,
    values_of,
)
from diamond.sweep.trials import baseline_texts, check_sweep, own_arms
from tests.commands import ROOT
from tests.recordings.made_sources import facts
from tests.sweeps import WHOLE, read

SHIPPED = sorted(path.stem for path in (ROOT / "studies").glob("*.toml"))


def parameter(name: str, **declared: Any) -> Parameter:
    return Parameter.of(name, DeclaredParameter.model_validate(declared))


def write(folder: Path, text: str = WHOLE, name: str = "mine") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


# --- mistakes -----------------------------------------------------------------------------------

STEPS, CHURN = "steps = { int = [1, 10] }", "churn = { float = [0, 12] }"
WHEN = 'when = { "sampler.quantizer" = ["floor", "round"] }'
AIM, TRIALS, UNTIL = 'metric = "l1"', "trials = 60", 'until = "fidelity"'
MEDIAN = '[pruner]\nname = "median"\nat = [20]\n\n[budget]'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds = 2", "seedz = 2", ("line 8", "'seedz'", "Did you mean 'seeds'?")),
        ("seeds = 2", "seeds = true", ("line 8", "seeds = True", "integer")),
        ("seeds = 2", "seeds = 0", ("line 8", "greater than or equal to 1")),
        ("seeds = 2", "seeds = = 2", ("not TOML", "line 8", "docs/studies.md")),
        ('"smoke"', '"smok"', ("line 3", "'smok'", "Did you mean 'smoke'?")),
        ('"Breakout"', '"Brekout"', ("line 4", "'Brekout'", "Did you mean 'Breakout'?")),
        (UNTIL, 'until = "fidelty"', ("line 9", "Did you mean 'fidelity'?")),
        (UNTIL, 'protocol = "onlin"', ("line 9", "Did you mean 'online'?")),
        (UNTIL, 'until = "rollouts"', ("line 22", "l1 comes of the stage fidelity")),
        ("denoiser.updates", "denoiser.updats", ("line 12", "Did you mean 'denoiser.updates'?")),
        ("denoiser.updates = 50", "churn = 5", ("line 12", "searched in [space] already")),
        ("[space]", '[slurm]\npartion = "x"\n[space]', ("line 15", "Did you mean 'partition'?")),
        ("[space]", '[slurm]\nidle = "soon"\n[space]', ("line 15", "'soon' is no time")),
        (STEPS, f"s{STEPS}", ("line 15", "'ssteps'", "Did you mean 'steps'?")),
        (STEPS, "steps = { imt = [1, 10] }", ("line 15", "'imt'", "Did you mean 'int'?")),
        (STEPS, "steps = { log = true }", ("line 15", "exactly one of int, float, choices; ")),
        (STEPS, "steps = { int = [1, 2], float = [1, 2] }", ("line 15", "int and float")),
        (STEPS, "steps = { int = [1.5, 10] }", ("line 15", "1.5")),
        (STEPS, "steps = { int = [1] }", ("line 15", "steps")),
        (STEPS, "steps = { int = [10, 1] }", ("line 15", "[10, 1] is empty or one value")),
        (STEPS, "steps = { int = [3, 3] }", ("line 15", "[3, 3] is empty or one value")),
        (STEPS, "steps = { int = [1, 10], step = 0.5 }", ("line 15", "0.5", "not whole")),
        (STEPS, "steps = { int = [1, 10], step = 0 }", ("line 15", "greater than 0")),
        (STEPS, "steps = { int = [1, 10], step = 20 }", ("line 15", "step 20", "one value")),
        (STEPS, "steps = { int = [1, 10], step = 2, log = true }", ("line 15", "no step")),
        (STEPS, "steps = { choices = [1] }", ("line 15", "nothing to search", "[settings]")),
        (STEPS, "steps = { choices = [] }", ("line 15", "exactly one of")),
        (STEPS, "steps = { choices = [1, 2, 1] }", ("line 15", "repeat a value")),
        (STEPS, "steps = { choices = [1, 2], log = true }", ("line 15", "neither log nor step")),
        (CHURN, "churn = { float = [0, 12], log = true }", ("line 16", "above 0")),
        (CHURN, "churn = { float = [0, inf] }", ("line 16", "finite")),
        (CHURN, "churn = { float = [0.12345, 1] }", ("line 16", "0.12345", "4 digits")),
        (CHURN, "churn = { float = [100, 101], step = 0.05 }", ("line 16", "100.05", "4 digits")),
        (CHURN, "churn = 3", ("line 16",)),
        (WHEN, "when = { steps = [1] }", ("line 14", "'steps'", "sampler.quantizer")),
        (WHEN, 'when = { "sampler.quantizer" = ["ceil"] }', ("'ceil'", "floor, round, none")),
        (WHEN, 'when = { quantize_at = ["call"] }', ("line 14", "'quantize_at'")),
        (WHEN, "when = {}", ("line 19", "exactly one other parameter")),
        (AIM, 'metric = "l3"', ("line 22", "'l3'", "Did you mean 'l1'?")),
        (AIM, 'metrc = "l1"', ("line 22", "'metrc'", "Did you mean 'metric'?")),
        (AIM, 'metric = "return"', ("line 22", "the stage returns", "until = 'returns'")),
        (AIM, 'metric = "ms_per_frame"\nat = 2', ("line 22", "leave `at` out")),
        (AIM, f"{AIM}\nat = 0", ("line 23", "greater than or equal to 1")),
        (AIM, f'{AIM}\ndirection = "up"', ("line 23", "'maximize' or 'minimize'")),
        (AIM, f"{AIM}\n\n[[objectives]]\n{AIM}", ("line 24", "two objectives are 'l1'")),
        (AIM, AIM + f"\n[[objectives]]\n{AIM}" * 4, ("objectives", "at most 4")),
        (f"[[objectives]]\n{AIM}\n", "objectives = []\n", ("objectives",)),
        (f"[[objectives]]\n{AIM}\n", "", ("objectives is missing",)),
        (
            "[sampler]",
            '[[constraints]]\nmetric = "psnr"\n\n[sampler]',
            ("line 24", "exactly one of at_most and at_least"),
        ),
        (
            "[sampler]",
            '[[constraints]]\nmetric = "psnr"\nat_most = 3\nat_least = 1\n\n[sampler]',
            ("line 24", "exactly one of at_most and at_least"),
        ),
        (
            "[sampler]",
            '[[constraints]]\nmetric = "psnrr"\nat_most = 3\n\n[sampler]',
            ("line 25", "Did you mean 'psnr'?"),
        ),
        ('name = "tpe"', 'name = "tpee"', ("line 25", "'tpe', 'nsga2', 'random' or 'grid'")),
        ('name = "tpe"', "startup_trials = 0", ("line 25", "greater than or equal to 1")),
        ('name = "tpe"', 'name = "grid"', ("line 24", "churn has none", "step = 2.5")),
        (TRIALS, "trials = 0", ("line 28", "greater than or equal to 1")),
        (TRIALS, "trials = 100000", ("line 28", "less than or equal to 1000")),
        (TRIALS, "hours = -1", ("line 28", "greater than 0")),
        (TRIALS, "", ("line 27", "the sweep would not end", "trials = 60")),
        (f"\n[budget]\n{TRIALS}\n", "", ("the sweep would not end",)),
        ("[budget]", '[pruner]\nname = "media"\n\n[budget]', ("line 28", "'median'")),
        ("[budget]", '[pruner]\nname = "median"\n\n[budget]', ("line 27", "at = [500, 1000]")),
        ("[budget]", MEDIAN.replace("[20]", "[20, 10]"), ("line 27", "rising order", "[20, 10]")),
        ("[budget]", MEDIAN.replace("[20]", "[10, 10]"), ("line 27", "rising order")),
        ("[budget]", MEDIAN.replace("[20]", "[0]"), ("line 29", "greater than or equal to 1")),
        (
            "[budget]",
            MEDIAN.replace("median", "percentile").replace("[20]", "[]"),
            ("line 27", "the pruner percentile looks at stated updates"),
        ),
        ("[budget]", MEDIAN.replace("median", "wilcoxon"), ("line 27", "leave `at` out")),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, words: tuple[str, ...]) -> None:
    assert WHOLE.count(old) == 1
    with pytest.raises(RequestError) as caught:
        read(WHOLE.replace(old, new))
    told = str(caught.value)
    assert told.startswith("mine.toml")
    for word in words:
        assert word in told, told


def test_an_empty_space_says_what_to_add() -> None:
    head, _, rest = WHOLE.partition("[space]\n")
    text = f"{head}[space]\n\n[[objectives]]{rest.partition('[[objectives]]')[2]}"
    with pytest.raises(RequestError) as caught:
        read(text)
    assert str(caught.value) == (
        "mine.toml, line 14: [space] is empty: there is nothing to search\n"
        "  add a parameter, for instance: steps = { int = [1, 10] }"
    )
    with pytest.raises(RequestError, match="space is missing: what is searched"):
        read(text.replace("[space]\n", ""))


@pytest.mark.parametrize(
    "more",
    [
        f"[[objectives]]\n{AIM.replace('l1', 'psnr')}\n",
        '[[constraints]]\nmetric="psnr"\nat_least=3\n',
    ],
)
def test_a_pruner_goes_with_one_objective_alone(more: str) -> None:
    with pytest.raises(RequestError, match="a pruner stops trials by one objective"):
        read(WHOLE.replace("[sampler]", f"{more}\n[sampler]").replace("[budget]", MEDIAN))


def test_median_looks_at_the_fidelity_of_a_static_denoiser() -> None:
    whole = WHOLE.replace(UNTIL, 'until = "all"').replace(AIM, 'metric = "return"')
    with pytest.raises(RequestError, match="looks at the fidelity of a denoiser") as caught:
        read(whole.replace("[budget]", MEDIAN))
    assert "wilcoxon" in str(caught.value)
    online = WHOLE.replace(UNTIL, 'protocol = "online"\nuntil = "fidelity"')
    with pytest.raises(RequestError, match="the protocol online"):
        read(online.replace("[budget]", MEDIAN))
    assert read(WHOLE.replace("[budget]", MEDIAN)).pruner is not None


def wilcoxon(seeds: int, more: str = "") -> str:
    pruner = f'[pruner]\nname = "wilcoxon"\n{more}\n[budget]'
    return WHOLE.replace("seeds = 2", f"seeds = {seeds}").replace("[budget]", pruner)


def test_wilcoxon_needs_instances_enough_to_stop_before_the_last() -> None:
    one = wilcoxon(1).replace('    "Breakout",\n', "")
    with pytest.raises(RequestError, match="this sweep has one"):
        read(one)
    # k instances that are all worse have p = 2^-k: at 0.1 four are needed, and four there are.
    with pytest.raises(RequestError, match=r"4 instances.*p_threshold") as caught:
        read(wilcoxon(2))
    assert "line 27" in str(caught.value)
    assert read(wilcoxon(3)).pruner is not None
    assert read(wilcoxon(2, "p_threshold = 0.2")).pruner is not None


def test_a_grid_needs_no_budget() -> None:
    text = WHOLE.replace(CHURN, "churn = { float = [0, 10], step = 5 }").replace(TRIALS, "")
    text = text.replace("sigma_max = { float = [1, 40], log = true }\n", "")
    assert read(text.replace('"tpe"', '"grid"')).sampler.name == "grid"


# --- files, options, names ----------------------------------------------------------------------


def test_a_sweep_is_found_by_its_file_and_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    path = write(tmp_path / "studies")
    assert load_sweep("studies/mine.toml").path == path
    assert load_sweep("mine").path == path
    assert load_sweep("mine").name == "mine"
    assert load_sweep("sampler").path == ROOT / "studies" / "sampler.toml"
    assert names_in("studies") == sorted([*SHIPPED, "mine"])
    with pytest.raises(RequestError, match="Did you mean 'sampler'") as caught:
        load_sweep("samplr")
    assert "diamond sweep studies/sampler.toml" in str(caught.value)
    with pytest.raises(RequestError, match=r"there is no sweep 'other\.toml'") as caught:
        load_sweep("other.toml")
    assert "mine, sampler" in str(caught.value)
    with pytest.raises(RequestError, match="a sweep is a file in studies/, or its name"):
        load_sweep(f"..{os.sep}studies{os.sep}mine")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RequestError, match="cannot read the sweep"):
        load_sweep(str(path))


def test_options_take_the_place_of_what_is_declared(tmp_path: Path) -> None:
    path = write(tmp_path)
    plain = load_sweep(str(path))
    assert (plain.name, plain.overrides) == ("mine", ())
    options = SweepOptions(trials=7, preset="tiny", games=("Pong",), seeds=3)
    changed = load_sweep(str(path), options)
    said = changed.declaration
    assert (said.preset, said.games, said.seeds, said.budget.trials) == ("tiny", ("Pong",), 3, 7)
    told = [(one.option, one.declared, one.given) for one in changed.overrides]
    assert told == [
        ("--preset", "smoke", "tiny"),
        ("--game", "Boxing,Breakout", "Pong"),
        ("--seeds", "2", "3"),
    ]
    assert changed.name == "mine-tiny-pong"
    named = load_sweep(str(path), SweepOptions(preset="tiny", name="other"))
    assert named.name == "other"
    same = load_sweep(str(path), SweepOptions(preset="smoke", games=("Boxing", "Breakout")))
    assert (same.name, same.overrides) == ("mine", ())
    folder = Path("/agents/My Agent")
    assert load_sweep(str(path), SweepOptions(checkpoint=folder)).name == "mine-my-agent"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (SweepOptions(trials=0), ("--trials 0", "1 to 1000")),
        (SweepOptions(trials=1001), ("--trials 1001", "1 to 1000")),
        (SweepOptions(seeds=0), ("--seeds 0", "1 to 1000")),
        (SweepOptions(preset="tny"), ("'tny'", "Did you mean 'tiny'?", "--preset")),
        (SweepOptions(games=("Pomg",)), ("'Pomg'", "Did you mean 'Pong'?")),
    ],
)
def test_a_wrong_option_is_refused(
    tmp_path: Path, options: SweepOptions, words: tuple[str, ...]
) -> None:
    with pytest.raises(RequestError) as caught:
        load_sweep(str(write(tmp_path)), options)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seeds = 2", "seeds = 3"),
        ('    "Breakout",\n', ""),
        ('preset = "smoke"', 'preset = "tiny"'),
        ("denoiser.updates = 50", "denoiser.updates = 60"),
        ("[1, 10]", "[1, 11]"),
        ("log = true", "log = false"),
        (', "round"] } }', "] } }"),
        (AIM, 'metric = "psnr"'),
        (AIM, f"{AIM}\nat = 2"),
        ("[sampler]", '[[constraints]]\nmetric = "psnr"\nat_least = 3\n[sampler]'),
        (UNTIL, ""),
    ],
)
def test_what_trials_must_agree_on_changes_the_identity(old: str, new: str) -> None:
    assert WHOLE.count(old) == 1
    assert identity(WHOLE.replace(old, new)) != identity(WHOLE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# A comment\n", ""),
        ("Which sampler", "What sampler"),
        (TRIALS, "trials = 61"),
        (TRIALS, "hours = 1"),
        ('name = "tpe"', 'name = "random"\nseed = 5'),
        ("[budget]", MEDIAN),
        ("[budget]", "[confirm]\nseeds = 5\n[budget]"),
        ("[budget]", '[slurm]\npartition = "gpu"\n[budget]'),
    ],
)
def test_budget_sampler_and_pruner_may_change_between_commands(old: str, new: str) -> None:
    assert WHOLE.count(old) == 1
    assert identity(WHOLE.replace(old, new)) == identity(WHOLE)


def identity(text: str) -> str:
    return Sweep(Path("mine.toml"), read(text), "mine").identity


def test_trials_on_another_recording_of_the_same_name_are_no_part_of_the_study() -> None:
    sweeps = [
        Sweep(Path("mine.toml"), read(WHOLE), "mine", recordings=(facts(digest=digit * 64),))
        for digit in "01"
    ]
    assert len({identity(WHOLE), *(one.identity for one in sweeps)}) == 3


def test_the_checkpoint_and_options_are_part_of_the_identity(tmp_path: Path) -> None:
    path = str(write(tmp_path))
    found = {
        load_sweep(path, options).identity
        for options in (
            SweepOptions(),
            SweepOptions(preset="tiny"),
            SweepOptions(seeds=3),
            SweepOptions(checkpoint=Path("/agents/one")),
            SweepOptions(checkpoint=Path("/agents/two")),
        )
    }
    assert len(found) == 5
    assert load_sweep(path, SweepOptions(trials=3, name="x")).identity == identity(WHOLE)


# --- held against the presets -------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_sweep_can_be_run(name: str) -> None:
    assert SHIPPED == ["agent", "sampler", "world_model"]
    sweep = load_sweep(str(ROOT / "studies" / f"{name}.toml"))
    plan = check_sweep(sweep)
    assert [arm.name for arm in own_arms(plan)] == ["baseline"] * len(sweep.declaration.games)
    known = values_of(sweep.declaration.parameters, baseline_texts(sweep))
    assert known is not None, "the preset is a point of the space, so that trials can be held to it"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (STEPS, "steps = { int = [0, 10] }", ("[space] steps: 0 is not allowed",)),
        (
            '["call", "end"]',
            '["call", "ende"]',
            ("[space] quantize_at: ende is not allowed", "Did you mean 'end'?"),
        ),
        ("[1, 40], log", "[0.001, 40], log", ("[space] sigma_max: 0.001", "below sigma_max")),
        (AIM, f"{AIM}\nat = 11", ("l1@11", "the preset smoke is 10", "at = 1 to 10")),
        ("denoiser.updates = 50", "denoiser.updates = 0", ("denoiser.updates",)),
        (AIM, 'metric = "cell_accuracy"', ("cell_accuracy: no frames", "MinAtar's are")),
        (AIM, 'metric = "lpips"', ("lpips is not measured", "[settings]", 'lpips = "alex"')),
    ],
)
def test_a_space_whose_ends_are_not_allowed_is_refused_before_anything_runs(
    tmp_path: Path, old: str, new: str, words: tuple[str, ...]
) -> None:
    assert WHOLE.count(old) == 1
    sweep = load_sweep(str(write(tmp_path, WHOLE.replace(old, new))))
    with pytest.raises(RequestError) as caught:
        check_sweep(sweep)
    for word in words:
        assert word in str(caught.value)


def test_a_measure_names_its_time_step() -> None:
    psnr = next(quantity for quantity in QUANTITIES if quantity.name == "psnr")
    assert (Measure(psnr).name, Measure(psnr).at) == ("psnr", "mean")
    assert (Measure(psnr, 5).name, Measure(psnr, 5).at) == ("psnr@5", "5")
    assert Measure(psnr, 5).label == f"{psnr.label}, t=5"
    assert Measure(psnr).label == f"{psnr.label}, mean over t"


def test_the_guide_that_errors_name_is_there() -> None:
    assert (ROOT / declared_sweep.GUIDE.split()[0]).is_file()
