"""A metric of a user's own: from an installed package to keys, scores, claims, page and errors."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from diamond.config import own_metrics
from diamond.config.own_metrics import TAKEN, OwnMetric
from diamond.config.presets import make_preset
from diamond.data.action_space import ActionSpace
from diamond.data.frame_files import read_stack
from diamond.data.reference_files import load_references, view_references
from diamond.engine.declaration_timing import last_declared, recorded_declaration
from diamond.engine.needed_stages import plan_needs, read_needs
from diamond.engine.output_names import FRAMES_FILE
from diamond.engine.report_file import read_result
from diamond.engine.sealed_json import unsealed
from diamond.engine.store import Store
from diamond.engine.study_history import read_entries, with_plan
from diamond.errors import RequestError, StageFailedError
from diamond.fidelity.extras import Extras, extra_scores, load_extras
from diamond.findings.claim_verdicts import claim_rows
from diamond.findings.pair_fidelity import find_pairs, pairs_extras, pairs_result, score_pairs
from diamond.plan.claims.claim_grammar import CLAIM_METRICS
from diamond.plan.declarations import read_declaration
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.report.console import result_table
from diamond.report.figures.horizon_figures import horizon_panels
from diamond.report.tables import metric_groups
from diamond.results.arm_model import Run
from diamond.results.document import from_document, to_document
from diamond.results.model import Result
from diamond.studies.run_study import StudyRun
from diamond.sweep.declaration import read_sweep
from diamond.sweep.objectives import QUANTITIES
from tests.commands import copy_home, diamond

PACKAGE = Path(__file__).parents[1] / "own_metric"
PLACE = "edge_metrics:EDGE_ERROR"
CPU = torch.device("cpu")
SETTING = 'fidelity.metrics=["edge_error"]'
DECLARATION = """\
question = "Which sampler keeps the edges?"
primary = "edge_error"
preset = "smoke"
until = "fidelity"

[axes]
steps = [1, 3]

[settings]
fidelity.metrics = ["edge_error"]

[[claims]]
name = "edges"
text = "Three steps keep the edges better at t=5."
expression = "edge_error[steps=3 @5] < edge_error[steps=1 @5]"
"""
SWEEP = """\
question = "Which sampler keeps the edges?"
preset = "smoke"
until = "fidelity"

[space]
steps = { int = [1, 4] }

[settings]
fidelity.metrics = ["edge_error"]

[[objectives]]
metric = "edge_error"
at = 5

[budget]
trials = 4
"""
RECORD = """\
from diamond.config.own_metrics import OwnMetric
METRIC = OwnMetric(
    interface={interface}, name="{called}", label="Edges", direction="lower",
    score="{score}", numerics={numerics},
)
"""
Offer = Callable[..., None]


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Each test finds and loads metrics anew."""
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.startswith("edge_"):
            del sys.modules[name]
    own_metrics.load_metric.cache_clear()
    own_metrics._place.cache_clear()


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Offers a metric as an installed package does: its metadata and its module on the path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def offered(
        name: str, package: str = "edges", text: str | None = None, **fields: object
    ) -> None:
        folder = site / f"{package}-1.0.dist-info"
        folder.mkdir(exist_ok=True)
        module = f"edge_{package}"
        (folder / "METADATA").write_text(f"Name: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[diamond.metrics]\n{name} = {module}:METRIC\n")
        said = {"interface": 1, "called": name, "score": "edge_of:score", "numerics": 1, **fields}
        (site / f"{module}.py").write_text(RECORD.format(**said) if text is None else text)
        sys.modules.pop(module, None)
        own_metrics.load_metric.cache_clear()
        monkeypatch.syspath_prepend(str(site))

    return offered


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package was installed into, as a user does it."""
    folder = tmp_path_factory.mktemp("own")
    # The build writes beside its sources.
    shutil.copytree(PACKAGE, folder / "sources")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-index", "--no-deps", "--no-build-isolation"),
            *("--target", str(folder / "site"), str(folder / "sources")),
        ],
        check=True,
    )
    return folder / "site"


def planned(*settings: str) -> Plan:
    return make_plan(
        Request(("steps=1,3",), "smoke", ("Boxing",), 1, "fidelity", None, settings=settings)
    )


def keys(plan: Plan) -> dict[str, str]:
    return {spec.stage: spec.key for spec in plan.arms[0].runs[0].stages}


def test_an_installed_metric_is_scored_claimed_and_shown(
    installed: Path, smoke_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From `pip install` to the claim: the settings name the metric, and nothing else does."""
    home = copy_home(smoke_home, tmp_path / "home")
    file = tmp_path / "edges.toml"
    file.write_text(DECLARATION)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    done = diamond("ablate", str(file), "--home", str(home), "--json", page=False)
    assert done.returncode == 0, done.stderr
    result = from_document(unsealed(json.loads(done.stdout)))
    stages = [(n, one) for arm in result.arms for n, one in arm.runs[0].stages.items()]
    assert {name for name, stage in stages if stage.made} == {"fidelity"}
    for arm in result.arms:
        found = arm.runs[0].curves["edge_error"]
        assert found == pytest.approx(expected_curve(home, arm.runs[0]), abs=1e-12, nan_ok=True)
        assert arm.metrics["edge_error"].keys() == {"1", "5", "10", "mean"}
    rows = [row for row in result.comparisons if row.metric == "edge_error"]
    assert {row.family for row in rows} == {"primary", "reference"}
    (claim,) = result.claims
    one, three = (arm.runs[0].curves["edge_error"][4] for arm in result.arms[:2])
    assert one is not None and three is not None
    assert claim.on_primary and claim.games[0].parts[0].values == pytest.approx((three - one,))
    # Without the package, what it computed is still read and shown, and nothing more is planned.
    monkeypatch.delenv("PYTHONPATH")
    shown = diamond("show", "edges", "--home", str(home))
    assert shown.returncode == 0, shown.stderr
    assert "Edge error" in shown.stdout
    kept = read_result(home / "studies" / "edges" / "report.json")
    assert kept is not None
    check_shown(kept)
    declared = last_declared(read_entries(home / "studies" / "edges"))
    assert declared is not None
    claims = recorded_declaration(declared).declaration
    assert claim_rows(claims, kept, Store(home)) == kept.claims
    refused = diamond("ablate", str(file), "--home", str(home))
    assert refused.returncode == 2
    assert "edges.toml, line 10" in refused.stderr
    assert "unknown metric 'edge_error'" in refused.stderr


def expected_curve(home: Path, run: Run) -> list[float]:
    """The mean over starts of what the metric says it is, from the frames of a home."""
    references = home / "stages" / "references" / run.stages["references"].key
    imagined = read_stack(home / "stages" / "rollouts" / run.stages["rollouts"].key / FRAMES_FILE)
    num_starts, horizon = imagined.shape[:2]
    space = ActionSpace.load(references)
    seen = load_references(references)[:num_starts]
    view = view_references(seen, make_preset("smoke", "Boxing").view, space, horizon)
    apart = np.abs(steps_of(view.targets) - steps_of(imagined)).mean(axis=(2, 3, 4))
    apart[~view.valid] = np.nan
    return [float(column[~np.isnan(column)].mean()) for column in apart.T]


def steps_of(frames: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Size of the step from each pixel to its right neighbour, of uint8 (n, t, h, w, 3)."""
    whole = frames.astype(np.int64)
    steps: NDArray[np.int64] = np.abs(whole[..., 1:, :] - whole[..., :-1, :])
    return steps


def check_shown(result: Result) -> None:
    """A result has what its page says of the metric."""
    info = result.metric("edge_error")
    assert (info.title, info.better) == ("Edge error [levels]", "lower is better")
    assert (info.group, info.kind, info.low, info.high) == ("packages", "frame", 0, None)
    (group,) = [one for one in metric_groups(result, "Boxing") if "edge_error" in one["tables"]]
    assert group["name"] == "primary metric"
    secondary = result.model_copy(update={"primary_metric": "core_ratio"})
    assert "Edge error\nmean" in result_table(secondary, "Boxing").columns
    figure = horizon_panels(result, "Boxing", ["edge_error"])
    assert figure.axes[0].get_ylabel() == "Edge error [levels]"


def test_pairs_of_frames_are_scored_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PACKAGE))
    rng = np.random.default_rng(0)
    real, imagined = rng.integers(0, 256, (2, 5, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "real.npy", real)
    np.save(tmp_path / "imagined.npy", imagined)
    own, extras = pairs_extras((f'fidelity.metrics=["{PLACE}"]',))
    pairs = find_pairs(tmp_path / "real.npy", tmp_path / "imagined.npy", None, 2, None)
    scores = score_pairs(pairs, extras)
    apart = np.abs(steps_of(real[None]) - steps_of(imagined[None])).mean(axis=(2, 3, 4))
    assert scores["imagined"]["edge_error"] == pytest.approx(apart[:, 2:], abs=1e-12)
    assert "edge_error" not in score_pairs(pairs)["imagined"]
    result = pairs_result(pairs, scores, "diamond fidelity", own)
    assert from_document(to_document(result)) == result
    assert result.metric("edge_error").label == "Edge error"


def test_its_name_and_numerics_are_part_of_the_key_of_the_scores_alone(offer: Offer) -> None:
    plain = keys(planned())
    offer("edge_error")
    found = keys(planned(SETTING))
    assert {stage for stage in plain if plain[stage] != found[stage]} == {"fidelity"}
    assert keys(planned('fidelity.metrics=["edge_edges:METRIC"]')) == found
    offer("edge_error", numerics=2)
    raised = keys(planned(SETTING))
    assert {stage for stage in found if found[stage] != raised[stage]} == {"fidelity"}


def test_the_order_of_metrics_does_not_matter(offer: Offer) -> None:
    offer("edge_error")
    offer("blur", package="blurs")
    one, other = (
        keys(planned(f"fidelity.metrics=[{words}]"))
        for words in ('"edge_error","blur"', '"blur","edge_error"')
    )
    assert one == other


def test_claims_and_sweeps_know_what_their_settings_ask_for(offer: Offer, tmp_path: Path) -> None:
    offer("edge_error")
    assert read_declaration(DECLARATION, tmp_path / "a.toml").primary == "edge_error"
    (measure,) = read_sweep(SWEEP, tmp_path / "b.toml").measures
    assert (measure.quantity.aim, measure.quantity.stage) == ("minimize", "fidelity")
    assert measure.label == "Edges, t=5"
    unasked = DECLARATION.replace('fidelity.metrics = ["edge_error"]', "")
    with pytest.raises(RequestError, match="unknown primary metric 'edge_error'"):
        read_declaration(unasked, tmp_path / "a.toml")
    unasked = unasked.replace('primary = "edge_error"', 'primary = "l1"')
    with pytest.raises(RequestError, match=r"unknown metric 'edge_error'.*fidelity\.metrics"):
        read_declaration(unasked, tmp_path / "a.toml")
    with pytest.raises(RequestError, match="unknown metric 'edge_error'"):
        read_sweep(SWEEP.replace('fidelity.metrics = ["edge_error"]', ""), tmp_path / "b.toml")


def test_names_that_mean_something_are_taken() -> None:
    assert {*CLAIM_METRICS, *(quantity.name for quantity in QUANTITIES), "abs"} == TAKEN
    for name in ("psnr", "abs", "ms_per_frame", "edge_error_real"):
        with pytest.raises(ValueError, match=r"name of something else|end in _real"):
            OwnMetric(interface=1, name=name, label="A", direction="lower", score="a:b", numerics=1)


@pytest.mark.parametrize(
    ("given", "words", "said"),
    [
        ({}, "edge_eror", ("unknown metric 'edge_eror'", "mean 'edge_error'", "pip install")),
        ({}, "psnr", ("no metric of your own", "leave it out")),
        ({}, "lpips", ("no metric of your own", "lpips=alex")),
        ({}, "edge_nowhere:METRIC", ("edge_nowhere:METRIC does not load", "ModuleNotFound")),
        ({}, "edge_edges:OTHER", ("edge_edges:OTHER does not load", "no attribute 'OTHER'")),
        ({"text": "METRIC = 3"}, "edge_error", ("package edges", "of type int", "OwnMetric")),
        ({"text": "1 / 0"}, "edge_error", ("package edges does not load", "ZeroDivisionError")),
        ({"interface": 2}, "edge_error", ("package edges", "written for interface 2", "has 1")),
        ({"called": "psnr"}, "edge_error", ("package edges", "'psnr' is the name of")),
        ({"called": "edge"}, "edge_error", ("package edges calls itself 'edge'",)),
        ({"score": "nowhere"}, "edge_error", ("package edges", "score", "match pattern")),
    ],
)
def test_what_is_no_metric_is_refused(
    given: dict[str, object], words: str, said: tuple[str, ...], offer: Offer
) -> None:
    offer("edge_error", **given)
    with pytest.raises(RequestError) as caught:
        planned(f'fidelity.metrics=["{words}"]')
    for part in said:
        assert part in str(caught.value)


def test_two_metrics_of_one_name_are_refused(offer: Offer) -> None:
    offer("edge_error")
    offer("edge_error", package="others")
    with pytest.raises(RequestError, match="packages edges and others offer a metric"):
        planned(SETTING)
    words = '"edge_edges:METRIC","edge_others:METRIC"'
    with pytest.raises(RequestError, match="two metrics are called 'edge_error'"):
        planned(f"fidelity.metrics=[{words}]")


def test_a_plan_that_is_older_than_the_package_is_not_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(PACKAGE))
    asked = {"name": "edge_error", "numerics": 1, "record": PLACE}
    assert set(load_extras({"metrics": [asked]}, CPU).own) == {"edge_error"}
    with pytest.raises(RequestError, match="give the command again"):
        load_extras({"metrics": [asked | {"numerics": 2}]}, CPU)


@pytest.mark.parametrize(
    ("score", "said"),
    [("edge_edges:nothing", "no attribute 'nothing'"), ("edge_edges:NUMBER", "of type int")],
)
def test_a_function_that_is_not_there_is_refused(score: str, said: str, offer: Offer) -> None:
    text = RECORD.format(interface=1, called="edge_error", score=score, numerics=1)
    offer("edge_error", text=f"{text}NUMBER = 1\n")
    asked = {"name": "edge_error", "numerics": 1, "record": "edge_edges:METRIC"}
    with pytest.raises(RequestError, match=f"function {score} of the metric 'edge_error'.*{said}"):
        load_extras({"metrics": [asked]}, CPU)


def test_a_study_looks_for_functions_before_it_makes_anything(offer: Offer, tmp_path: Path) -> None:
    StudyRun(planned(), Store(tmp_path), "").check_extras()
    offer("edge_error", score="edge_edges:nothing")
    with pytest.raises(RequestError, match="no attribute 'nothing'"):
        StudyRun(planned(SETTING), Store(tmp_path), "").check_extras()


def test_a_study_whose_metric_is_gone_is_still_listed(
    offer: Offer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its needs were lost, those that follow from its plans are left out."""
    offer("edge_error")
    plan = planned(SETTING)
    entries = with_plan([], plan, "diamond ablate")
    assert read_needs(tmp_path, entries).items() >= plan_needs(plan).items()
    monkeypatch.undo()
    own_metrics._place.cache_clear()
    assert read_needs(tmp_path, entries) == {}


FRAMES = np.zeros((4, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros(3), r"float64 \(3,\) for 4 frames"),
        (np.zeros(4, np.float32), r"float32 \(4,\)"),
        ([0.0] * 4, "list"),
        (np.array([0, 1, np.inf, 2]), "an infinite value"),
    ],
)
def test_a_function_that_returns_something_else_is_refused(values: Any, said: str) -> None:
    with pytest.raises(StageFailedError, match=f"'edge_error' returned {said}"):
        extra_scores(FRAMES, FRAMES, Extras(own={"edge_error": lambda real, imagined: values}))


def test_a_function_cannot_change_what_others_see() -> None:
    def spoiling(real: NDArray[np.uint8], imagined: NDArray[np.uint8]) -> NDArray[np.float64]:
        before: NDArray[np.float64] = imagined.mean(axis=(1, 2, 3))
        imagined[:] = 255
        return before

    frames = FRAMES.copy()
    found = extra_scores(FRAMES, frames, Extras(own={"a": spoiling, "b": spoiling}))
    assert not found["a"].any() and not found["b"].any() and not frames.any()
    assert extra_scores(FRAMES[:0], FRAMES[:0], Extras(own={"a": spoiling}))["a"].shape == (0,)


def test_words_that_are_no_names_are_refused() -> None:
    for words in ('["Edge Error"]', '["a:b:c"]', "[1]", "edge_error"):
        with pytest.raises(RequestError, match=r"fidelity\.metrics"):
            planned(f"fidelity.metrics={words}")
