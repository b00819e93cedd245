"""Training that stops on its way: a longer one goes on from it and ends with the same bits."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diamond.config.base import canonical
from diamond.config.overrides import override
from diamond.config.presets import make_preset
from diamond.data.action_space import ActionSpace
from diamond.engine.files import digest, read_json, write_json
from diamond.engine.output_names import STATE_FILE, WEIGHTS_FILE
from diamond.engine.stage_cost import expected_seconds
from diamond.engine.stage_manifest import read_manifest, write_manifest
from diamond.engine.store import Store
from diamond.errors import RequestError
from diamond.families.diamond.config import DenoiserConfig
from diamond.makers import trained_parts as training_stages
from diamond.part import AnyPart, Part, Passes
from diamond.plan.make_plan import make_plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec, stages_of
from diamond.tracking.event_log import read_events
from diamond.workers.worker import run_stage
from tests.commands import finish, prepare_anew
from tests.training.test_training_loop import SMOKE, denoiser_config, toy_frames

UPDATES = 13
EVERY = 3
"""Updates between points of the curve; the last window is one of a single update."""
VIEW = canonical(SMOKE.view.model_copy(update={"height": 16, "width": 16}))
RECORDED = [StageSpec("frames", {"view": VIEW}, {}, seed) for seed in (0, 1)]
FRAMES = RECORDED[0].key
STOP = "denoiser.stop_after"


class PowerCutError(OSError):
    """The end of a process, in a test that wants to go on."""


@pytest.fixture(autouse=True)
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_stages, "RECORDS_PER_STAGE", UPDATES // EVERY)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The updates that are made, in their order."""
    made: list[int] = []
    watch(monkeypatch, made.append)
    return made


def watch(patched: pytest.MonkeyPatch, seen: Callable[[int], None]) -> None:
    """Have a function called with every update before its loss."""
    whole = Part.passes_of

    def watched(self: AnyPart, *arguments: Any) -> Callable[[int], Passes]:
        loss_of = whole(self, *arguments)

        def noted(update: int) -> Passes:
            seen(update)
            return loss_of(update)

        return noted

    patched.setattr(Part, "passes_of", watched)


def make_home(home: Path) -> Store:
    """A home with recorded frames, of the toy."""

    def record(folder: Path) -> None:
        ActionSpace((0, 1, 2)).save(folder)
        toy_frames().save(folder)

    for spec in RECORDED:
        finish(Store(home), spec, record)
    return Store(home)


def config_of(**changes: Any) -> DenoiserConfig:
    small = {"channels": (8,), "depths": (1,), "batch_size": 2, "updates": UPDATES, "ema": 0.9}
    return denoiser_config(**small | changes)


def spec_of(stop: int | None, seed: int = 0, frames: str = FRAMES, **changes: Any) -> StageSpec:
    config = config_of(stop_after=stop, **changes)
    return StageSpec(
        "denoiser", {"family": "diamond", "denoiser": canonical(config)}, {"frames": frames}, seed
    )


def make(store: Store, spec: StageSpec, checkpoint_seconds: float = 1e9) -> Path:
    """Make a stage as a worker does."""
    prepare_anew(store, spec)
    run_stage(store, spec.stage, spec.key, lambda _: None, checkpoint_seconds)
    assert store.status(spec) == "done" and store.damage(spec) is None
    return store.folder(spec.stage, spec.key)


def curve(folder: Path) -> list[tuple[int, dict[str, float]]]:
    events = read_events(folder / "events.jsonl", None)
    return [(event.step, dict(event.values)) for event in events]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole training, from nothing."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training_stages, "RECORDS_PER_STAGE", UPDATES // EVERY)
        return make(make_home(tmp_path_factory.mktemp("whole")), spec_of(None))


def assert_same(folder: Path, whole: Path) -> None:
    assert digest(folder / WEIGHTS_FILE) == digest(whole / WEIGHTS_FILE)
    assert curve(folder) == curve(whole)
    assert [step for step, _ in curve(folder)] == [3, 6, 9, 12, 13]


@pytest.mark.parametrize("stops", [(6,), (4,), (1, 2), (6, 11), (12,)])
def test_a_longer_training_goes_on_and_ends_with_the_same_bits(
    stops: Sequence[int], tmp_path: Path, whole: Path, trained: list[int]
) -> None:
    store = make_home(tmp_path)
    for stop in stops:
        folder = make(store, spec_of(stop))
        assert len(trained) == stop
        # The points that a stop leaves open belong to who goes on.
        assert curve(folder) == [point for point in curve(whole) if point[0] <= stop]
    assert_same(make(store, spec_of(None)), whole)
    assert trained == list(range(UPDATES))


def test_a_stopped_training_has_the_weights_of_that_update(tmp_path: Path, whole: Path) -> None:
    """Those that it has when it goes on from an earlier stop, and when it does not."""
    first, second = make_home(tmp_path / "first"), make_home(tmp_path / "second")
    make(first, spec_of(4))
    after, alone = make(first, spec_of(8)), make(second, spec_of(8))
    for name in (WEIGHTS_FILE, STATE_FILE):
        assert digest(after / name) == digest(alone / name)
    assert digest(alone / WEIGHTS_FILE) != digest(whole / WEIGHTS_FILE)
    assert not (whole / STATE_FILE).exists()
    manifest = read_json(alone / "manifest.json")
    assert manifest["timings"]["updates"] == 8
    assert set(manifest["outputs"]) == {WEIGHTS_FILE, STATE_FILE, "shape.json"}


def test_the_largest_stop_is_taken_and_none_from_behind(tmp_path: Path, trained: list[int]) -> None:
    store = make_home(tmp_path)
    make(store, spec_of(7))
    trained.clear()
    make(store, spec_of(3))
    assert trained == [0, 1, 2]
    trained.clear()
    make(store, spec_of(9))
    assert trained == [7, 8]


@pytest.mark.parametrize(
    "other",
    [
        spec_of(6, seed=1),
        spec_of(6, frames=RECORDED[1].key),
        spec_of(6, updates=UPDATES + 1),
        spec_of(6, offset_noise=0.2),
    ],
    ids=["seed", "frames", "updates", "config"],
)
def test_another_training_is_not_gone_on_from(
    other: StageSpec, tmp_path: Path, trained: list[int]
) -> None:
    store = make_home(tmp_path)
    make(store, other)
    trained.clear()
    make(store, spec_of(7))
    assert trained == list(range(7))


def damage(folder: Path, kind: str) -> None:
    match kind:
        case "state" | "weights":
            path = folder / (STATE_FILE if kind == "state" else WEIGHTS_FILE)
            content = bytearray(path.read_bytes())
            content[-3] ^= 1
            path.write_bytes(content)
        case "no state":
            (folder / STATE_FILE).unlink()
        case "manifest" | "device":
            manifest = read_manifest(folder)
            assert manifest is not None
            if kind == "device":
                write_manifest(folder, manifest | {"device": "cuda"})
            else:
                write_json(folder / "manifest.json", manifest | {"sha256": "0" * 64})
        case "events cut":
            lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
            (folder / "events.jsonl").write_text("".join(lines[:-1]))
        case "events":
            (folder / "events.jsonl").write_text("{}\n")


@pytest.mark.parametrize(
    "kind", ["state", "weights", "no state", "manifest", "device", "events", "events cut"]
)
def test_what_is_not_whole_is_left_alone(kind: str, tmp_path: Path, trained: list[int]) -> None:
    """The next earlier one takes its place."""
    store = make_home(tmp_path)
    make(store, spec_of(2))
    damage(make(store, spec_of(6)), kind)
    trained.clear()
    make(store, spec_of(7))
    assert trained == list(range(2, 7))


@pytest.mark.parametrize(("at", "goes_on_at"), [(5, 4), (10, 9)])
def test_cut_after_taking_over_it_goes_on_from_the_later_of_both(
    at: int,
    goes_on_at: int,
    tmp_path: Path,
    whole: Path,
    trained: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = make_home(tmp_path)
    make(store, spec_of(4))
    with monkeypatch.context() as patched:
        watch(patched, cut_at(at))
        with pytest.raises(PowerCutError):
            make(store, spec_of(None), 0.0)
    trained.clear()
    assert_same(make(store, spec_of(None), 0.0), whole)
    assert trained == list(range(goes_on_at, UPDATES))


def test_a_checkpoint_of_its_own_gives_way_to_a_later_stop(
    tmp_path: Path, whole: Path, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_home(tmp_path)
    with monkeypatch.context() as patched:
        watch(patched, cut_at(4))
        with pytest.raises(PowerCutError):
            make(store, spec_of(None), 0.0)
    make(store, spec_of(8))
    trained.clear()
    assert_same(make(store, spec_of(None), 0.0), whole)
    assert trained == list(range(8, UPDATES))


def cut_at(at: int) -> Callable[[int], None]:
    """Fails at an update."""

    def cut(update: int) -> None:
        if update == at:
            raise PowerCutError

    return cut


def test_the_time_of_what_was_taken_over_is_counted(tmp_path: Path) -> None:
    store = make_home(tmp_path)
    folder = make(store, spec_of(11))
    manifest = read_manifest(folder)
    assert manifest is not None
    timings = manifest["timings"] | {"seconds": 1000.0}
    write_manifest(folder, manifest | {"timings": timings})
    seconds = read_json(make(store, spec_of(None)) / "manifest.json")["timings"]["seconds"]
    assert 1000.0 < seconds < 1000.0 + 600.0


# --- the field --------------------------------------------------------------------------------


def test_to_the_end_is_what_was_before_the_field() -> None:
    assert "stop_after" not in canonical(config_of())
    stopped = override(SMOKE, {"denoiser.stop_after": "1"})
    keys, others = ({s.stage: s.key for s in stages_of(c)} for c in (SMOKE, stopped))
    changed = {stage for stage in keys if keys[stage] != others[stage]}
    assert changed == {"denoiser", "rollouts", "fidelity", "policy", "policy_fidelity", "returns"}
    assert override(stopped, {"denoiser.stop_after": "null"}) == SMOKE


@pytest.mark.parametrize(("stop", "said"), [(0, "greater than or equal to 1"), (8, "1 to 7")])
def test_a_stop_lies_before_the_end(stop: int, said: str) -> None:
    values = {"denoiser.updates": "8", "denoiser.stop_after": str(stop)}
    with pytest.raises(RequestError, match=said) as caught:
        override(SMOKE, values)
    assert f"denoiser.stop_after={stop}" in str(caught.value)


def test_an_agent_is_not_stopped() -> None:
    online = make_preset("smoke", "Boxing", "online")
    with pytest.raises(RequestError, match=r"denoiser\.stop_after belongs to .*\n.* leave it out"):
        override(online, {"denoiser.stop_after": "1"})
    data = json.loads(json.dumps(canonical(online)))
    data["world"]["denoiser"]["stop_after"] = 1
    with pytest.raises(ValueError, match=r"denoiser\.stop_after=1: protocol online"):
        type(online).model_validate(data)


def test_a_stop_is_not_scaled_with_the_updates() -> None:
    arms = ("denoiser.batch_size=2,4",)
    request = Request(arms, "smoke", ("Boxing",), 1, "denoiser", None, settings=(f"{STOP}=1",))
    with pytest.raises(RequestError, match=r"--match updates: .*denoiser\.stop_after=1"):
        make_plan(replace(request, match="updates"))
    assert len(make_plan(replace(request, match="nfe")).arms) == 2


def test_the_work_of_a_stopped_training_is_that_of_its_updates() -> None:
    full = override(SMOKE, {"denoiser.updates": "8"})
    quarter = override(full, {"denoiser.stop_after": "2"})
    assert expected_seconds(quarter, "denoiser") == expected_seconds(full, "denoiser") / 4
    assert expected_seconds(quarter, "reward_end") == expected_seconds(full, "reward_end")
