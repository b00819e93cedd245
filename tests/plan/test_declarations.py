"""Declarations: every mistake names its line, options override, the hash is that of the claims."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from diamond.cli import ablate
from diamond.cli.app import app
from diamond.cli.declaration_options import declared_lines
from diamond.cli.study_command import Options
from diamond.engine.declaration_timing import history_entry
from diamond.engine.study_history import read_entries, record_plan
from diamond.errors import ExitCode, RequestError
from diamond.families.diamond.config import diamond_of
from diamond.plan.claims.claim_arms import check_claims
from diamond.plan.declarations import (
    Declaration,
    Declared,
    Given,
    Override,
    claims_hash,
    load_declaration,
    read_declaration,
)
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.plan.toml_files import line_of
from diamond.stages.registry import stages_of_protocol
from diamond.workers.engines import read_engine
from tests.commands import ROOT, diamond

SHIPPED = sorted(path.stem for path in (ROOT / "ablations").glob("*.toml"))
TEXT = """\
# A comment
question = "Do more steps help?"
primary = "l1"
seeds = 3
games = [
    "Boxing",
    "Breakout",
]
until = "fidelity"

[axes]
steps = [1, 3]
denoiser.history = [2, 4]

[settings]
"denoiser.updates" = 50

[[claims]]
name = "first"
text = "One step drifts more."
expression = "l1[steps=1 denoiser.history=2] > l1[steps=3 denoiser.history=2]"

[[claims]]
name = "second"
text = "At t=5 too."
expression = "l1[steps=1 denoiser.history=4 @5]>2*l1[copy last frame @5]"
"""


def _read(text: str = TEXT) -> Declaration:
    return read_declaration(text, Path("mine.toml"))


def _plan(declaration: Declaration, options: Given | None = None) -> Plan:
    declared = Declared(Path("/x/mine.toml"), declaration)
    return make_plan(Request(**declared.request(options or Given())))


def test_a_declaration_becomes_the_request_that_it_says() -> None:
    declaration = _read()
    plan = _plan(declaration)
    assert plan.study == "mine"
    assert plan.request.assignments == ("steps=1,3", "denoiser.history=2,4")
    assert plan.request.games == ("Boxing", "Breakout")
    assert (plan.request.num_seeds, plan.until, plan.primary_metric) == (3, "fidelity", "l1")
    arms = [arm for arm in plan.arms if arm.kind == "arm"]
    assert {arm.name for arm in arms} == {
        f"steps={steps} denoiser.history={history}" for steps in (1, 3) for history in (2, 4)
    }
    assert {diamond_of(run.config).denoiser.updates for arm in arms for run in arm.runs} == {50}
    assert check_claims(plan) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds = 3", "seedz = 3", ("line 4", "'seedz'", "Did you mean 'seeds'?")),
        ("seeds = 3", "seeds = true", ("line 4", "seeds = True", "integer")),
        ("seeds = 3", "seeds = 0", ("line 4", "greater than or equal to 1")),
        ("seeds = 3", "seeds = = 3", ("not TOML", "line 4")),
        ('primary = "l1"', 'primary = "l3"', ("line 3", "'l3'", "Did you mean 'l1'?")),
        ('primary = "l1"\n', "", ("primary is missing",)),
        ('"Breakout",', '"Brekout",', ("line 5", "'Brekout'", "Did you mean 'Breakout'?")),
        ("steps = [1, 3]", "stpes = [1, 3]", ("line 12", "'stpes'", "Did you mean 'steps'?")),
        ("steps = [1, 3]", "steps = 3", ("line 12", "axes.steps = 3")),
        ("steps = [1, 3]", "steps = []", ("line 12", "axes.steps")),
        (
            "\ndenoiser.history",
            "\ndenoiser.histroy",
            ("line 13", "Did you mean 'denoiser.history'?"),
        ),
        ('"denoiser.updates"', '"denoiser.updats"', ("line 16", "'denoiser.updats'")),
        ('"denoiser.updates" = 50', "steps = 5", ("line 16", "varied in [axes] already")),
        ('text = "At t=5', 'txt = "At t=5', ("line 25", "'txt'", "Did you mean 'text'?")),
        ("2*l1[", "2*l7[", ("line 26", "column 37", "Did you mean 'l1'?")),
        ('name = "second"', 'name = "first"', ("line 24", "two claims are 'first'")),
        ('name = "second"', 'name = "a|b"', ("line 24", "letters, digits")),
        ('until = "fidelity"', 'until = "fidelty"', ("line 9", "Did you mean 'fidelity'?")),
        ('until = "fidelity"', 'preset = "tny"', ("line 9", "Did you mean 'tiny'?")),
        ('until = "fidelity"', 'design = "gird"', ("line 9", "Did you mean 'grid'?")),
        ('until = "fidelity"', 'match = "nfes"', ("line 9", "Did you mean 'nfe'?")),
        ('until = "fidelity"', 'protocol = "onlin"', ("line 9", "Did you mean 'online'?")),
        (
            "[settings]",
            '[slurm]\npartion = "gpu"\n[settings]',
            ("line 16", "'partion'", "Did you mean 'partition'?"),
        ),
        ("[settings]", "[slurm]\ntime = 12:00:00\n[settings]", ("line 16", "in quotes")),
        ("[settings]", "[slurm]\ncpus-per-task = 0\n[settings]", ("line 16", "from 1 on")),
        ("[settings]", '[slurm]\nqos = "a\\nb"\n[settings]', ("line 16", "only printable letters")),
        ("[settings]", '[slurm]\nidle = "soon"\n[settings]', ("line 16", "'soon' is no time")),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, words: tuple[str, ...]) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(RequestError) as caught:
        _read(TEXT.replace(old, new))
    for word in ("mine.toml", *words):
        assert word in str(caught.value)


@given(st.lists(st.sampled_from(["k = 1", "", "# c", 'm = """', "l = [\n 1,\n 2,\n]"]), max_size=6))
def test_the_line_of_a_key_is_where_it_begins(before: list[str]) -> None:
    lines = [
        text.replace("k", f"k{index}").replace("l =", f"l{index} =").replace("m =", f"m{index} =")
        + ('\nk = 1\n"""' if text.startswith("m") else "")
        for index, text in enumerate(before)
    ]
    above = "".join(f"{text}\n" for text in lines)
    text = f'{above}wanted = [\n "x",\n]\n[t]\na.b = 1\n[[u]]\n[[u]]\nc = 2\n'
    first = above.count("\n") + 1
    assert line_of(text, ["wanted"]) == first
    assert line_of(text, ["wanted", 0]) == first
    assert line_of(text, ["t", "a.b"]) == first + 4
    assert line_of(text, ["u", 1, "c"]) == first + 7
    assert line_of(text, ["u", 1, "absent"]) == first + 6
    assert line_of(text, ["absent"]) is None


def test_options_take_the_place_of_what_is_declared_and_are_told() -> None:
    declaration = _read()
    plan = _plan(declaration, Given(seeds=2, preset="smoke", games=("Pong",)))
    assert plan.study == "mine-pong-smoke"
    assert (plan.request.num_seeds, plan.request.preset) == (2, "smoke")
    declared = plan.request.declared
    assert declared is not None
    assert declared.overrides == (
        Override(option="--game", declared="Boxing,Breakout", given="Pong"),
        Override(option="--preset", declared="tiny", given="smoke"),
        Override(option="--seeds", declared="3", given="2"),
    )
    assert claims_hash(declared.declaration) == claims_hash(declaration)


def test_fresh_seeds_stay_in_a_study_and_fresh_starts_do_not() -> None:
    declaration = _read()
    seeded = _plan(declaration, Given(first_seed=3))
    assert (seeded.study, seeded.request.seeds) == ("mine", range(3, 6))
    assert seeded.request.declared is not None
    assert seeded.request.declared.overrides == (
        Override(option="--first-seed", declared="0", given="3"),
    )
    moved = _plan(declaration, Given(first_start=48, preset="smoke"))
    assert moved.study == "mine-smoke-start-48"
    assert moved.arms[0].runs[0].config.references.first_start == 48
    assert "--first-start: 48 in place of the declared 0" in list(declared_lines(moved))


def test_options_that_say_the_same_change_nothing() -> None:
    plan = _plan(_read(), Given(seeds=3, preset="tiny", games=("Boxing", "Breakout")))
    assert plan.study == "mine"
    assert plan.request.declared is not None
    assert plan.request.declared.overrides == ()


def test_a_declared_last_stage_is_lifted() -> None:
    """All stages are wanted: `returns` alone leaves out what the claims about frames rest on."""
    declaration = _read()
    plan = _plan(declaration, Given(until="all"))
    assert plan.until is None
    assert {spec.stage for spec in plan.stages()} == set(stages_of_protocol("static"))
    assert plan.study == "mine"
    assert plan.request.declared is not None
    assert plan.request.declared.overrides == (
        Override(option="--until", declared="fidelity", given="all"),
    )
    assert check_claims(plan) == []
    remarks = check_claims(_plan(declaration, Given(until="returns")))
    assert len(remarks) == 2
    assert all("stops after returns and makes no fidelity" in remark for remark in remarks)


def test_a_declared_match_is_lifted(tmp_path: Path) -> None:
    matched = TEXT.replace("steps = [1, 3]", '"denoiser.batch_size" = [16, 8]').replace(
        'until = "fidelity"', 'match = "updates"'
    )
    declaration = _read(matched.partition("[[claims]]")[0])
    plan, lifted = _plan(declaration), _plan(declaration, Given(match="none"))
    assert any(arm.matched for arm in plan.arms)
    assert not any(arm.matched for arm in lifted.arms)
    assert (plan.study, lifted.study) == ("mine", "mine-unmatched")
    assert lifted.request.match is None
    declared = lifted.request.declared
    assert declared is not None
    assert declared.overrides == (Override(option="--match", declared="updates", given="none"),)
    assert "--match: none in place of the declared updates" in list(declared_lines(lifted))
    record_plan(lifted, tmp_path, "diamond ablate mine --match none")
    (entry,) = read_entries(tmp_path)
    assert entry["declared"]["overrides"] == [
        {"option": "--match", "declared": "updates", "given": "none"}
    ]


def test_what_stands_for_all_and_none_may_be_declared_and_changes_nothing() -> None:
    plain = _read(TEXT.replace('until = "fidelity"\n', ""))
    spelt = _read(TEXT.replace('until = "fidelity"', 'until = "all"\nmatch = "none"'))
    assert claims_hash(plain) == claims_hash(spelt)
    plan = _plan(spelt, Given(until="all", match="none"))
    assert plan.stages() == _plan(plain).stages()
    assert plan.study == "mine"
    assert plan.request.declared is not None
    assert plan.request.declared.overrides == ()


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("]>2*l1[", "] > 2 * l1[", True),
        ("seeds = 3", "seeds = 5", True),
        ("# A comment", "", True),
        ("2*l1[", "3*l1[", False),
        ("One step drifts more.", "One step drifts less.", False),
        ("Do more steps help?", "Do they?", False),
        ('primary = "l1"', 'primary = "psnr"', False),
        ('until = "fidelity"', 'design = "ofat"', False),
        ('until = "fidelity"', "", True),
        ('until = "fidelity"', 'arms = ["own: steps=7"]', False),
        ('until = "fidelity"', 'preset = "smoke"', False),
        ('until = "fidelity"', 'match = "nfe"', False),
        ("[settings]", '[slurm]\ntime = "8:00:00"\ncpus-per-task = 4\n[settings]', True),
        ("steps = [1, 3]", "steps = [1, 3, 10]", True),
        ("steps = [1, 3]", "steps = [3, 1]", False),
        ('updates" = 50', 'updates" = 60', False),
    ],
)
def test_the_hash_is_that_of_the_claims(old: str, new: str, same: bool) -> None:
    assert old in TEXT
    assert (claims_hash(_read()) == claims_hash(_read(TEXT.replace(old, new)))) == same


def test_what_is_said_to_slurm_is_execution() -> None:
    """It reaches the engine, whose own options come first, and nothing of the study."""
    text = TEXT.replace("[settings]", '[slurm]\ntime = "8:00:00"\ncpus-per-task = 4\n[settings]')
    plan, plain = _plan(_read(text)), _plan(_read())
    assert plan.request.slurm == {"time": "8:00:00", "cpus-per-task": "4"}
    choice = read_engine(
        "slurm", "time=60 partition=gpu", detach=False, declared=plan.request.slurm
    )
    assert choice.options == {"time": "60", "cpus-per-task": "4", "partition": "gpu"}
    assert read_engine("ray", None, detach=False, declared=plan.request.slurm).options == {}
    assert plan.stages() == plain.stages()
    entries = [history_entry(one.request.declared) for one in (plan, plain) if one.request.declared]
    assert entries[0] == entries[1]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("steps=3 denoiser.history=2", "steps=3", ("claim 'first', Boxing", "fits 2 arms")),
        ("copy last frame", "copy frame", ("claim 'second'", "Did you mean 'copy last frame'?")),
    ],
)
def test_a_claim_about_no_arm_is_refused_before_anything_runs(
    old: str, new: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(RequestError) as caught:
        check_claims(_plan(_read(TEXT.replace(old, new))))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("given", "old", "new", "word"),
    [
        (Given(preset="smoke"), "@5", "@50", "time step 50 is beyond the horizon of 10"),
        (Given(until="denoiser"), "@5", "@5", "makes no fidelity"),
        (Given(), "l1[steps=1 denoiser.history=2] >", "return[steps=1 denoiser.history=2] >",
         "plays nothing"),
        (Given(), "l1[steps=1 denoiser.history=2] > l1[",
         "cell_accuracy[steps=1 denoiser.history=2] > cell_accuracy[", "in Boxing, Breakout,"),
    ],
)  # fmt: skip
def test_what_will_keep_a_claim_undecided_is_told(
    given: Given, old: str, new: str, word: str
) -> None:
    remarks = check_claims(_plan(_read(TEXT.replace(old, new)), given))
    assert any(word in remark for remark in remarks)


def test_a_primary_metric_of_cells_needs_a_game_of_cells() -> None:
    text = TEXT.replace('primary = "l1"', 'primary = "cell_accuracy_changed"')
    with pytest.raises(RequestError, match="'cell_accuracy_changed': no frames of the study are"):
        check_claims(_plan(_read(text)))
    shown = '[settings]\n"view.height" = 10\n"view.width" = 10'
    mixed = text.replace("Breakout", "MinAtar/Breakout-v1").replace("[settings]", shown)
    assert check_claims(_plan(_read(mixed), Given(preset="smoke"))) == []


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("preset", [None, "smoke"])
def test_a_shipped_declaration_loads_and_its_claims_mean_arms(
    name: str, preset: str | None
) -> None:
    declared = load_declaration(name)
    assert declared.declaration.claims
    remarks = check_claims(make_plan(Request(**declared.request(Given(preset=preset)))))
    # What is shipped can be decided at its own size; smoke has a horizon of 10.
    assert preset == "smoke" or remarks == []


def test_a_file_of_the_current_folder_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ablations").mkdir()
    (tmp_path / "ablations" / "steps.toml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    assert load_declaration("steps").declaration == _read()
    assert load_declaration("ablations/steps.toml").path == tmp_path / "ablations" / "steps.toml"
    assert load_declaration("single_vs_multi_step_boxing").path.parent == ROOT / "ablations"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("stepz",), ("cannot read 'stepz'", "Did you mean 'steps'?", "diamond ablate steps=1,3")),
        (("none.toml",), ("no declaration 'none.toml'", "steps")),
        (("paper", "order=1,2"), ("'paper' says what varies", "'order=1,2'", "paper.toml")),
        (("paper", "learning"), ("'paper' says what varies", "'learning'")),
        (("history",), ("diamond ablate history=4,2", "diamond ablate ablations/history.toml")),
        (("churn",), ("'churn' is an axis", "diamond ablate churn=0,1")),
    ],
)
def test_a_word_that_is_no_declaration_is_refused(
    arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = diamond("ablate", *arguments, "--dry-run")
    assert done.returncode == 2
    for word in words:
        assert word in done.stderr


def test_the_plan_says_what_was_declared_and_what_an_option_changed(tmp_path: Path) -> None:
    arguments = ("ablations/steps.toml", "--preset", "smoke", "--seeds", "2", "--dry-run")
    done = diamond("ablate", *arguments, "--home", str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "steps-smoke" in text
    assert load_declaration("steps").declaration.question in text
    assert "--preset: smoke in place of the declared tiny" in text
    assert "--seeds: 2 in place of the declared 3" in text
    assert "time step 100 is beyond the horizon of 10" in text
    assert not (tmp_path / "home").exists()


def test_a_declaration_is_run_in_part_as_any_study_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Options] = []

    def note(_: Request, options: Options) -> ExitCode:
        seen.append(options)
        return ExitCode.DONE

    monkeypatch.setattr(ablate, "run_study", note)
    words = ["ablate", "noise_levels", "--only", "steps=3", "--only", "steps=1", "--retry-failed"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert [(options.only, options.retry_failed) for options in seen] == [
        (("steps=3", "steps=1"), True)
    ]


def test_an_arm_that_a_declaration_does_not_have_is_refused() -> None:
    done = diamond("ablate", "noise_levels", "--only", "nonsense", "--dry-run")
    assert done.returncode == ExitCode.BAD_REQUEST
    assert "unknown arm 'nonsense'" in done.stderr
