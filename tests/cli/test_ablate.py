"""`diamond ablate` from end to end on the smoke preset, as a user runs it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run

from diamond.config.base import canonical
from diamond.config.metric_table import METRIC_OF, RESULT_METRICS, is_set, needs_cells
from diamond.config.overrides import override
from diamond.config.presets import make_preset
from diamond.engine.output_names import DRAWN_EVENTS_FILE
from diamond.families.diamond.config import diamond_of
from diamond.stages.registry import stages_of_protocol
from tests.commands import (
    ROOT,
    SMOKE,
    STUDY,
    check_futures,
    check_tracked,
    client,
    copy_home,
    diamond,
    digests,
    environment,
    manifests,
    plain,
    points,
    report,
    smoke_plan,
    stages_made,
    tracked,
)

STAGES = stages_of_protocol("static")

HORIZON = 10
HEAVY = ("torch", "numpy", "mlflow", "matplotlib", "ale_py", "gymnasium", "cv2", "scipy")
NUM_STAGES = {
    "references": 1, "inverse_dynamics": 1, "frames": 1, "denoiser": 1, "reward_end": 1,
    "rollouts": 4, "fidelity": 4, "policy": 2, "policy_fidelity": 2, "returns": 7,
}  # fmt: skip
"""Of ``steps=1,3``: four worlds are scored, two policies play, and five players beside them."""


@dataclass(frozen=True)
class Moment:
    """What there is after a command."""

    document: dict[str, Any]
    stdout: str
    stderr: str
    report: dict[str, Any]
    digests: dict[str, dict[str, str]]
    manifests: dict[str, dict[str, Any]]
    runs: dict[str, Run]
    points: dict[tuple[str, str], list[int]]


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> tuple[Moment, ...]:
    """A fresh home after ``steps=1,3``, the same again, ``steps=1,3,5`` and ``steps=3``."""
    home = tmp_path_factory.mktemp("fresh") / "home"
    preset = ("--preset", "smoke")
    return (
        _moment(home, "steps=1,3", *preset),
        _moment(home, "steps=1,3", *preset),
        _moment(home, "steps=1,3,5", *preset),
        _moment(home, "steps=3", *preset),
    )


def _moment(home: Path, *arguments: str) -> Moment:
    done = diamond("ablate", *arguments, "--home", str(home), "--json", page=False)
    assert done.returncode == 0, done.stderr
    return Moment(
        plain(json.loads(done.stdout)),
        done.stdout,
        done.stderr,
        json.loads((home / "studies" / STUDY / "report.json").read_text()),
        digests(home),
        manifests(home),
        {run.data.tags["diamond.run_key"]: run for run in tracked(home)},
        points(home),
    )


# --- stages -----------------------------------------------------------------------------------


def test_the_stages_of_the_plan_are_made_and_shared(smoke_home: Path) -> None:
    folders = {name: len(list((smoke_home / "stages" / name).iterdir())) for name in STAGES}
    assert folders == NUM_STAGES
    assert set(manifests(smoke_home)) == {f"{s.stage}/{s.key}" for s in smoke_plan().stages()}


def test_every_output_is_in_its_manifest_with_its_digest(smoke_home: Path) -> None:
    assert digests(smoke_home) == {
        name: manifest["outputs"] for name, manifest in manifests(smoke_home).items()
    }
    assert all(digests(smoke_home).values())


def test_nothing_is_left_lying_about(smoke_home: Path) -> None:
    names = {path.name for path in smoke_home.rglob("*") if path.is_file()}
    assert not [name for name in names if name.endswith((".tmp", ".pkl", ".pt", ".pickle"))]
    assert not any(name.startswith(("claim-", "beat-")) for name in names)
    assert not list(smoke_home.rglob("checkpoint"))


@pytest.mark.slow  # An interrupted study against a whole one says the same.
def test_the_same_command_in_another_home_gives_the_same_bits(
    smoke_home: Path, moments: tuple[Moment, ...]
) -> None:
    assert moments[0].digests == digests(smoke_home)


@pytest.mark.slow  # tests/plan/test_stage_keys.py
def test_another_seed_gives_other_results_on_the_same_data(
    smoke_home: Path, tmp_path: Path
) -> None:
    home = copy_home(smoke_home, tmp_path / "home")
    moment = _moment(home, *SMOKE, "--seeds", "2", "--until", "fidelity")
    new = moment.digests.keys() - digests(smoke_home).keys()
    made = sorted(name.split("/")[0] for name in new)
    assert made == ["denoiser", "fidelity", "fidelity", "reward_end", "rollouts", "rollouts"]
    old = digests(smoke_home)
    for name in new:
        stage = name.split("/")[0]
        others = [files for other, files in old.items() if other.startswith(f"{stage}/")]
        # Of so few events every model may draw the same rewards and ends.
        few = (".json", DRAWN_EVENTS_FILE)
        weights = {n: d for n, d in moment.digests[name].items() if not n.endswith(few)}
        assert not any(weights.items() & files.items() for files in others), name
    arm = moment.document["arms"][0]
    assert [run["seed"] for run in arm["runs"]] == [0, 1]
    assert arm["interval"]["unit"] == "seed"
    assert arm["interval"]["n"] == 2
    assert arm["runs"][0]["metrics"] != arm["runs"][1]["metrics"]
    assert arm["runs"][0]["returns"] is None
    names = {run.info.run_name for run in moment.runs.values()}
    assert "steps=1 seed 1" in names
    assert "steps=1 mean" in names


def test_a_plan_until_fidelity_has_no_policy(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    done = diamond("ablate", *SMOKE, "--until", "fidelity", "--dry-run", "--home", home)
    assert done.returncode == 0
    assert "fidelity" in done.stdout
    assert "policy" not in done.stdout
    assert "returns" not in done.stdout


# --- what a second command does ---------------------------------------------------------------


def test_the_same_command_again_makes_nothing(moments: tuple[Moment, ...]) -> None:
    first, second, *_ = moments
    assert first.document["costs"]["stages_made"] == sum(NUM_STAGES.values())
    assert first.document["costs"]["stages_reused"] == 0
    assert second.document["costs"]["stages_made"] == 0
    assert second.document["costs"]["stages_reused"] == sum(NUM_STAGES.values())
    assert stages_made(second.document) == set()
    assert second.digests == first.digests
    assert second.manifests == first.manifests


def test_the_same_command_again_adds_no_run_and_no_point(moments: tuple[Moment, ...]) -> None:
    first, second, *_ = moments
    ids = [{key: run.info.run_id for key, run in m.runs.items()} for m in (first, second)]
    assert ids[0] == ids[1]
    assert first.points == second.points
    for key, run in first.runs.items():
        assert second.runs[key].data.metrics == run.data.metrics
        assert second.runs[key].data.params == run.data.params


def test_a_new_value_makes_only_its_own_stages(moments: tuple[Moment, ...]) -> None:
    _, second, third, _ = moments
    new = third.manifests.keys() - second.manifests.keys()
    assert sorted(name.split("/")[0] for name in new) == [
        "fidelity",
        "policy",
        "policy_fidelity",
        "returns",
        "returns",
        "rollouts",
    ]
    assert third.document["costs"]["stages_made"] == len(new)
    old = {name: manifest for name, manifest in third.manifests.items() if name not in new}
    assert old == second.manifests
    assert {name: third.digests[name] for name in second.digests} == second.digests
    ids = {key: run.info.run_id for key, run in third.runs.items()}
    assert {key: ids[key] for key in second.runs} == {
        key: run.info.run_id for key, run in second.runs.items()
    }
    added = {third.runs[key].info.run_name for key in third.runs.keys() - second.runs.keys()}
    assert added == {"steps=5 seed 0", "steps=5 mean"}
    assert [arm["name"] for arm in third.document["arms"]][:3] == ["steps=1", "steps=3", "steps=5"]


def test_fewer_values_later_take_nothing_back(moments: tuple[Moment, ...]) -> None:
    """Baselines stay the runs that they are, and means of arms left out this time stay too."""
    _, _, third, fourth = moments
    ids = [{key: run.info.run_id for key, run in m.runs.items()} for m in (third, fourth)]
    assert ids[0] == ids[1]
    assert third.points == fourth.points
    assert fourth.digests == third.digests
    assert fourth.document["costs"]["stages_made"] == 0
    assert [arm["name"] for arm in fourth.document["arms"] if arm["kind"] == "arm"] == ["steps=3"]
    assert {run.info.status for run in fourth.runs.values()} == {"FINISHED"}


# --- what is written --------------------------------------------------------------------------


def test_standard_output_is_the_document_alone(moments: tuple[Moment, ...]) -> None:
    for moment in moments:
        assert json.loads(moment.stdout) == moment.report
        assert moment.stdout.startswith("{\n")
        assert moment.stdout.endswith("}\n")
        assert "Traceback" not in moment.stderr
        assert "Warning" not in moment.stderr


def test_a_person_gets_a_table_a_sentence_and_the_paths(smoke_home: Path) -> None:
    text = (smoke_home.parent / "stdout.txt").read_text()
    for word in ("steps=1", "steps=3", "copy last frame", "median background", "PSNR", "IoU"):
        assert word in text
    folder = smoke_home / "studies" / STUDY
    assert str(folder / "report.html") in text
    assert str(folder / "report.md") in text
    assert f"diamond ui --home {smoke_home}" in text
    assert max(len(line.rstrip()) for line in text.splitlines() if "/" not in line) <= 100
    log = (smoke_home.parent / "stderr.txt").read_text()
    assert "24 stages, 0 done already" in log
    assert "denoiser: done in" in log
    assert "Traceback" not in log
    assert "Warning" not in log


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def test_the_report_is_one_file_and_shows_every_arm(smoke_home: Path) -> None:
    folder = smoke_home / "studies" / STUDY
    html = (folder / "report.html").read_text()
    links = _Links()
    links.feed(html)
    assert not [link[:60] for link in links.found if not link.startswith(("data:", "#"))]
    assert sum(link.startswith("data:image/") for link in links.found) >= 2
    markdown = (folder / "report.md").read_text()
    for text in (html, markdown):
        for name in ("steps=1", "steps=3", "copy last frame", "median background"):
            assert name in text
        assert "ndertrained policy" in text


def test_the_document_is_complete(smoke_home: Path) -> None:
    document = report(smoke_home)
    assert document["study"] == STUDY
    assert document["horizon"] == HORIZON
    assert document["report_steps"] == [1, 5, 10]
    assert any("the judge of actions names" in note for note in document["notes"])
    assert [arm["kind"] for arm in document["arms"]] == ["arm", "arm", "baseline", "baseline"]
    for arm in document["arms"]:
        trained = arm["kind"] == "arm"
        assert set(arm["metrics"]) == {
            column
            for column, spec in METRIC_OF.items()
            if (trained or spec.group not in ("reward and end", "policy", "returns"))
            and not spec.extra
            if not needs_cells(column) and not column.startswith("action_r2")  # of numbers alone
        }
        for name, metric in arm["metrics"].items():
            assert set(metric) == ({"mean"} if is_set(name) else {"1", "5", "10", "mean"})
        for run in arm["runs"]:
            assert (run["state"], run["error"]) == ("done", None)
            assert all(len(curve) == HORIZON for curve in run["curves"].values())
            assert (run["returns"] is not None) == (arm["kind"] == "arm")
    calls = [arm["runs"][0]["costs"]["denoiser_calls_per_frame"] for arm in document["arms"][:2]]
    assert calls == [1, 3]
    assert {row["metric"] for row in document["comparisons"]} == {
        spec.name
        for spec in RESULT_METRICS
        if not spec.extra and not needs_cells(spec.name) and spec.name != "action_r2"
    }
    check_futures(document)
    (answer,) = document["answers"]
    assert answer["game"] == "Boxing" and answer["best"] is None
    assert answer["found"]["head"].startswith("Nothing can be concluded: the preset smoke")
    assert document["summary"] == f"{answer['found']['head']} {answer['found']['text']}"
    assert document["next"][0] == answer["sure"]["command"]
    assert {row["lo"] for row in document["comparisons"]} == {None}
    assert [row["arm"] for row in document["survival"]] == [arm["name"] for arm in document["arms"]]
    for row in document["survival"]:
        assert row["reason"] is None
        assert len(row["curve"]["survival"]) == len(row["curve"]["at_risk"]) == HORIZON
    for path in ("report_html", "report_md", "report_json"):
        assert Path(document["paths"][path]).is_file()


def test_every_result_carries_its_provenance(smoke_home: Path) -> None:
    document = report(smoke_home)
    provenance = document["provenance"]
    config = make_preset("smoke", "Boxing")
    three = override(config, {"sampler.steps": 3})
    assert provenance["config"]["steps=3 | Boxing"] == json.loads(json.dumps(canonical(three)))
    head, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "-uno")
    assert provenance["git_commit"] == head
    assert provenance["dirty"] == (None if changes is None else bool(changes))
    assert provenance["versions"]["torch"]
    assert provenance["versions"]["ale-py"]
    assert provenance["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert provenance["device"] in ("cpu", "cuda")
    assert document["seeds"] == [0]
    for manifest in manifests(smoke_home).values():
        assert manifest["code"]["git_commit"] == head
        assert manifest["device"] in ("cpu", "cuda")
        assert manifest["numerics"] >= 1
        assert manifest["timings"]["seconds"] >= 0
    arms = [arm for arm in document["arms"] if arm["kind"] == "arm"]
    for arm in arms:
        keys = {name: info["key"] for name, info in arm["runs"][0]["stages"].items()}
        assert {f"{name}/{key}" for name, key in keys.items()} <= manifests(smoke_home).keys()
        assert set(keys) == set(STAGES)


def _git(*arguments: str) -> str | None:
    if not (ROOT / ".git").exists():
        return None
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


# --- the tracking store -----------------------------------------------------------------------


def _by_kind(home: Path) -> Mapping[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in tracked(home):
        found.setdefault(run.data.tags["diamond.kind"], []).append(run)
    return found


def test_the_tracking_store_shows_the_study(smoke_home: Path) -> None:
    check_tracked(smoke_home)
    kinds = _by_kind(smoke_home)
    names = {kind: sorted(run.info.run_name for run in runs) for kind, runs in kinds.items()}
    assert names == {
        "study": [STUDY],
        "arm": ["steps=1 seed 0", "steps=3 seed 0"],
        "aggregate": ["steps=1 mean", "steps=3 mean"],
        "baseline": ["copy last frame", "median background"],
        "real": ["real frames"],
    }
    (parent,) = kinds["study"]
    for run in (*kinds["arm"], *kinds["aggregate"], *kinds["baseline"], *kinds["real"]):
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert "| steps=3 |" in parent.data.tags["mlflow.note.content"]
    store = client(smoke_home)
    files = {file.path for file in store.list_artifacts(parent.info.run_id)}
    assert files == {"report.html", "report.md", "report.json", "figures"}
    for run in kinds["arm"]:
        (config,) = (file.path for file in store.list_artifacts(run.info.run_id))
        assert config == f"config-{run.data.tags['diamond.run_key']}.json"


def test_a_run_of_an_arm_has_its_values_and_provenance(smoke_home: Path) -> None:
    head = _git("rev-parse", "HEAD")
    for run in _by_kind(smoke_home)["arm"]:
        tags = run.data.tags
        number = run.data.params["steps"]
        assert run.info.run_name.startswith(f"steps={number} ")
        assert run.data.params["seed"] == "0"
        assert run.data.params["game"] == "Boxing"
        assert tags.get("mlflow.source.git.commit") == head
        assert tags["diamond.dirty"] in ("True", "False", "None")
        assert tags["diamond.device"] in ("cpu", "cuda")
    (study,) = _by_kind(smoke_home)["study"]
    assert json.loads(study.data.tags["diamond.versions"])["torch"]


def test_curves_over_the_horizon_and_over_training_are_there(smoke_home: Path) -> None:
    kinds, found = _by_kind(smoke_home), points(smoke_home)
    steps = list(range(1, HORIZON + 1))
    for run in (*kinds["arm"], *kinds["baseline"]):
        key = run.data.tags["diamond.run_key"]
        assert found[key, "fidelity/psnr/mean"] == steps
    (real,) = kinds["real"]
    assert found[real.data.tags["diamond.run_key"], "fidelity/core_ratio/mean"] == steps
    for run in kinds["aggregate"]:
        key = run.data.tags["diamond.run_key"]
        assert found[key, "fidelity/psnr/mean"] == steps
        # Two starts have no interval.
        assert not {(key, f"fidelity/psnr/{part}") for part in ("lower", "upper")} & found.keys()
    config = make_preset("smoke", "Boxing")
    for run in kinds["arm"]:
        key = run.data.tags["diamond.run_key"]
        assert found[key, "denoiser/loss"] == list(
            range(1, diamond_of(config).denoiser.updates + 1)
        )
        assert found[key, "reward_end/loss"] == list(
            range(1, diamond_of(config).reward_end.updates + 1)
        )
        assert found[key, "policy/loss"] == list(range(1, config.policy.updates + 1))


def test_tracked_numbers_are_those_of_the_document(smoke_home: Path) -> None:
    document = report(smoke_home)
    by_key = {run.data.tags["diamond.run_key"]: run for run in tracked(smoke_home)}
    for arm in document["arms"]:
        (result,) = arm["runs"]
        metrics = by_key[result["run_key"]].data.metrics
        for name, values in result["metrics"].items():
            if not name.endswith("_real"):  # those are a run of their own
                assert metrics.get(f"overall/{name}") == values["mean"]


# --- before anything runs ---------------------------------------------------------------------


def assert_not_loaded(modules: set[str], arguments: tuple[str, ...], folder: Path) -> None:
    """Run a command in a process of its own; at its end none of the modules is there."""
    script = (
        "import sys; sys.argv = ['diamond', *sys.argv[1:]]\n"
        "from diamond.cli.app import main\n"
        "try: main()\n"
        f"finally: print('LOADED', sorted({modules} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=folder,
        check=False,
    )
    assert done.stderr.splitlines()[-1] == "LOADED []", done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("ablate", "--help"),
        ("scores", "--help"),
        ("axes",),
        ("axes", "--fields"),
        ("ablate", "steps=1,3,10", "--dry-run", "--home", "nowhere"),
        ("ablate", "stpes=1,3"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_answers_come_without_the_heavy_libraries(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    assert_not_loaded(set(HEAVY), arguments, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (("--help",), {"pydantic"}),
        (
            ("ablate", "steps=1,3,10", "--dry-run", "--home", "nowhere"),
            {"tomllib", "diamond.plan.declarations", "diamond.plan.claims.claim_parser"},
        ),
    ],
    ids=["help", "dry run"],
)
def test_a_command_loads_only_what_it_needs(
    arguments: tuple[str, ...], unneeded: set[str], tmp_path: Path
) -> None:
    assert_not_loaded(unneeded, arguments, tmp_path)


def test_a_command_leaves_torch_to_its_workers(smoke_home: Path, tmp_path: Path) -> None:
    home = copy_home(smoke_home, tmp_path / "home", "references", "frames")
    assert_not_loaded(
        {"torch"}, ("ablate", *SMOKE, "--until", "frames", "--home", str(home)), tmp_path
    )


def test_an_arm_that_changed_under_its_name_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = ("steps=1,3", "--preset", "smoke", "--name", "mine", "--until", "references")
    assert diamond("ablate", *first, "--home", str(home), page=False).returncode == 0
    before = digests(home)
    game = ("--game", "Boxing")
    other = ("steps=3,5", "--preset", "tiny", *game, "--name", "mine", "--home", str(home))
    done = diamond("ablate", *other)
    assert done.returncode == 2
    assert "arm 'steps=3' of study 'mine' is not what it was" in done.stderr
    assert "denoiser.updates" in done.stderr
    assert "frames.num_frames" in done.stderr
    assert "sampler.steps" not in done.stderr
    assert "denoiser.batch_size: was " in done.stderr
    assert "--name mine-2" in done.stderr
    assert digests(home) == before
