"""The online protocol: what an agent collects, how it goes on, and what is refused."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diamond.ablation.plan import Plan, Request, make_plan
from diamond.ablation.stages import StageSpec
from diamond.config.presets import make_preset
from diamond.pipeline.context import StageContext
from diamond.pipeline.store import Store
from diamond.pipeline.worker import run_stage
from diamond.tracking.events import read_events
from diamond.training.collector import Collector
from tests.commands import digests

SMOKE = make_preset("smoke", "Boxing", "online")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in a worker: the order of additions depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def online_plan(*settings: str, games: tuple[str, ...] = ("Boxing",)) -> Plan:
    return make_plan(
        Request(settings, "smoke", games, 1, None, None, protocol="online", goal="agent")
    )


def agent_of(plan: Plan) -> StageSpec:
    return next(spec for spec in plan.stages() if spec.stage == "agent")


def make_agent(home: Path, spec: StageSpec, checkpoint_seconds: float = 1e9) -> Path:
    store = Store(home)
    store.check_writable()
    store.prepare(spec)
    run_stage(store, "agent", spec.key, lambda _: None, checkpoint_seconds)
    return store.folder("agent", spec.key)


def curves(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Metrics by epoch, without those that measure time."""
    return [
        (e.step, {n: v for n, v in e.values.items() if not n.endswith("per_second")})
        for e in read_events(folder / "events.jsonl", None)
    ]


# --- going on after an interruption -----------------------------------------------------------


class PowerCutError(Exception):
    """The end of a process, in a test that wants to go on."""


IMAGINED = ("policy.horizon_steps=4",)  # what the preset has anyway
REAL = ("environment=real", "policy.batch_size=2", "online.final_epochs=3")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, ...], Path]:
    """Agents that nobody interrupted."""
    torch.set_num_threads(1)
    homes: dict[tuple[str, ...], Path] = {}
    for settings in (IMAGINED, REAL):
        homes[settings] = tmp_path_factory.mktemp("whole")
        make_agent(homes[settings], agent_of(online_plan(*settings)))
    return homes


def cut_at(moment: Callable[[Mapping[str, Any]], bool]) -> Callable[..., None]:
    """A checkpoint that is the last thing a process does when its moment has come."""
    whole = StageContext.checkpoint

    def cut(
        self: StageContext, tensors: Mapping[str, Tensor], done: int, extra: Mapping[str, Any]
    ) -> None:
        if moment({"done": done, **extra["progress"]}):
            whole(self, tensors, done, extra)
            self.events.metric(99, {"loss": 1e9})  # what a resume has to forget
            self.events.commit()
            raise PowerCutError

    return cut


@pytest.mark.parametrize(
    ("settings", "moment"),
    [
        (IMAGINED, lambda at: at["done"] == 2),  # the denoiser, in the first epoch
        (IMAGINED, lambda at: at["done"] == 6),  # the actor-critic, in the first epoch
        (IMAGINED, lambda at: at["epoch"] == 2 and not at["collected"]),
        (IMAGINED, lambda at: at["epoch"] == 2 and at["collected"]),
        (IMAGINED, lambda at: at["epoch"] == at["num_epochs"]),  # nothing is collected any more
        (REAL, lambda at: at["done"] == 1),
        (REAL, lambda at: at["epoch"] == 3 and not at["collected"]),
    ],
)
def test_an_agent_cut_at_any_moment_ends_with_the_same_bits(
    whole: Mapping[tuple[str, ...], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: tuple[str, ...],
    moment: Callable[[Mapping[str, Any]], bool],
) -> None:
    spec = agent_of(online_plan(*settings))
    with monkeypatch.context() as patched:
        patched.setattr(StageContext, "checkpoint", cut_at(moment))
        with pytest.raises(PowerCutError):
            make_agent(tmp_path, spec, checkpoint_seconds=0.0)
    assert Store(tmp_path).status(spec) == "partial"
    folder = make_agent(tmp_path, spec)
    name = f"agent/{spec.key}"
    assert digests(tmp_path)[name] == digests(whole[settings])[name]
    assert curves(folder) == curves(whole[settings] / "stages" / name)


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_an_agent_whose_collected_frames_were_damaged_begins_anew(
    whole: Mapping[tuple[str, ...], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    spec = agent_of(online_plan(*IMAGINED))
    with monkeypatch.context() as patched:
        patched.setattr(StageContext, "checkpoint", cut_at(lambda at: at["epoch"] == 2))
        with pytest.raises(PowerCutError):
            make_agent(tmp_path, spec, checkpoint_seconds=0.0)
    path = next(tmp_path.glob("stages/agent/*/checkpoint/replay/frames.npy"))
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        content[200] ^= 1  # in the first frame, behind the header
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    begun: list[int] = []
    begin = Collector.begin

    def count(self: Collector) -> None:
        begun.append(1)
        begin(self)

    monkeypatch.setattr(Collector, "begin", count)
    folder = make_agent(tmp_path, spec)
    assert begun == [1]
    name = f"agent/{spec.key}"
    assert digests(tmp_path)[name] == digests(whole[IMAGINED])[name]
    assert curves(folder) == curves(whole[IMAGINED] / "stages" / name)
