"""Compiled networks of the world model: few graphs, the same results, said in manifests."""

import gc
import io
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.inputs import (
    SEED,
    GivenSegments,
    Networks,
    build_networks,
    full_precision,
    make_segments,
)
from benchmarks.ours import world_of
from diamond.cli.tables.plan_table import show_plan
from diamond.config.presets import make_preset
from diamond.data.segments import starts_of
from diamond.engine import stage_context
from diamond.engine.arithmetic import compile_network, release_memory
from diamond.engine.devices import Workers, check_compiler, named_device
from diamond.engine.files import read_json
from diamond.engine.store import Store
from diamond.errors import RequestError
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.denoiser import DENOISER
from diamond.families.diamond.reward_end_net import REWARD_END
from diamond.part import device_of
from diamond.plan.stage_keys import StageName
from diamond.rng import StreamNoise, torch_generator
from diamond.seeds import Purpose
from diamond.tracking.event_log import read_events
from diamond.workers.worker import Manner, run_stage
from tests.commands import SMOKE, copy_home, diamond, digests, smoke_plan

CONFIG = make_preset("smoke", "Boxing")
NUM_ACTIONS = 6
ROWS = 2
# Rounding of float32 in another order of additions, through a few dozen layers.
RELATIVE = 1e-4
# torch 2.13's compiler calls what torch 2.13 deprecates.
its_own_warning = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


def trace(network: nn.Module) -> None:
    """As `compile_network` does, without the compiler: graphs that are run as they were found."""
    network.compile(backend="eager", dynamic=False)


def networks(device: str = "cpu") -> Networks:
    return build_networks(CONFIG, NUM_ACTIONS, torch.device(device))


def segments(steps: int) -> GivenSegments:
    return GivenSegments(make_segments(CONFIG, NUM_ACTIONS, (ROWS, steps)))


def gradients(net: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [p for p in net.parameters() if p.requires_grad]))


def denoiser_terms(nets: Networks) -> list[Tensor]:
    config = diamond_of(CONFIG).denoiser
    source = segments(config.history + config.autoregressive_passes - 1)
    loss, _ = DENOISER.loss_of(nets.denoiser, config, source, SEED)(0)
    return [loss, *gradients(nets.denoiser, loss)]


def reward_end_terms(nets: Networks) -> list[Tensor]:
    loss, _ = REWARD_END.loss_of(nets.reward_end, diamond_of(CONFIG).reward_end, segments(3), SEED)(
        0
    )
    return [loss, *gradients(nets.reward_end, loss)]


def imagined(nets: Networks) -> list[Tensor]:
    world = world_of(CONFIG, nets, 3)
    start = segments(diamond_of(CONFIG).denoiser.history).segments.to(device_of(nets.reward_end))
    state = world.start(*starts_of(start))
    noise = StreamNoise(torch_generator(SEED, Purpose.BENCH, "imagination"))
    found: list[Tensor] = []
    for _ in range(2):
        state, step = world.step(state, start.actions[:, -1], noise)
        found += [step.frame, step.reward, step.end]
    return [*found, state.hidden]


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=False):
        yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("terms", [denoiser_terms, reward_end_terms, imagined])
def test_the_graphs_of_the_networks_compute_what_they_do(terms: Any) -> None:
    """With gradients and without."""
    plain = terms(networks())
    nets = networks()
    trace(nets.denoiser.net)
    trace(nets.reward_end)
    for ours, theirs in zip(terms(nets), plain, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.usefixtures("fresh_compiler")
def test_one_graph_serves_all_noise_levels_and_starts_are_not_compiled() -> None:
    """Not even the first step after a start is compiled for itself."""
    counts = {"denoiser": 0, "reward_end": 0}
    nets = networks()
    world = world_of(CONFIG, nets, 10)

    def counting(name: str) -> Any:
        def compile_graph(module: Any, _inputs: Any) -> Any:
            counts[name] += 1
            return module.forward

        return compile_graph

    nets.denoiser.net.compile(backend=counting("denoiser"), fullgraph=True, dynamic=False)
    nets.reward_end.compile(backend=counting("reward_end"), dynamic=False)
    start = segments(diamond_of(CONFIG).denoiser.history).segments
    for rows in (1, 2):
        world.start(*(given[:rows] for given in starts_of(start)))
    assert counts == {"denoiser": 0, "reward_end": 0}
    state = world.start(*starts_of(start))
    noise = StreamNoise(torch_generator(SEED, Purpose.BENCH, "imagination"))
    for _ in range(3):
        state, _ = world.step(state, start.actions[:, -1], noise)
    assert counts == {"denoiser": 1, "reward_end": 1}


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize(
    ("stage", "upstream", "compiled"),
    [
        ("denoiser", ("frames",), ["DenoiserNet"]),
        ("reward_end", ("frames",), ["RewardEndNet"]),
        ("rollouts", ("references", "denoiser", "reward_end"), ["DenoiserNet", "RewardEndNet"]),
        ("policy", ("frames", "denoiser", "reward_end"), ["DenoiserNet", "RewardEndNet"]),
    ],
)
def test_a_stage_compiles_its_world_model_and_says_so(
    stage: StageName,
    upstream: tuple[str, ...],
    compiled: list[str],
    smoke_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Traced alone, nothing else of a stage changes: its outputs have the same bits."""
    seen: list[str] = []

    def note(network: nn.Module, trains: bool) -> None:
        assert trains is (stage in ("denoiser", "reward_end"))
        seen.append(type(network).__name__)
        trace(network)

    monkeypatch.setattr(stage_context, "compile_network", note)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    store = Store(copy_home(smoke_home, tmp_path, *upstream))
    spec = next(spec for spec in smoke_plan().stages() if spec.stage == stage)
    store.prepare(spec)
    run_stage(store, stage, spec.key, lambda _: None, 1e9, Manner(compiled=True))
    assert seen == compiled
    manifest = store.manifest(stage, spec.key)
    assert manifest is not None and manifest["device"] == "cpu (compiled)"
    name = f"{stage}/{spec.key}"
    assert digests(tmp_path)[name] == digests(smoke_home)[name]


@pytest.mark.usefixtures("fresh_compiler")
def test_a_compiled_network_is_gone_between_stages() -> None:
    """It and what was compiled of it hold each other, and with it the memory of a whole stage."""
    nets = networks()
    trace(nets.reward_end)
    reward_end_terms(nets)
    alive = weakref.ref(nets.reward_end)
    gc.disable()
    try:
        del nets
        release_memory()
        assert alive() is None
    finally:
        gc.enable()


class Doubled(nn.Module):
    """The smallest network."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        doubled: Tensor = 2 * self.layer(x)
        return doubled


def counting_compiles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let `compile_network` count graphs in the place of compiling them, within torch's limits."""
    graphs: list[int] = []
    plain = nn.Module.compile

    def compile_graph(module: Any, _inputs: Any) -> Any:
        graphs.append(1)
        return module.forward

    def compile_module(self: nn.Module, **_: Any) -> None:
        plain(self, backend=compile_graph, dynamic=False)

    monkeypatch.setattr(nn.Module, "compile", compile_module)
    return graphs


@pytest.mark.usefixtures("fresh_compiler")
def test_every_stage_of_a_worker_compiles_as_if_it_were_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Torch keeps at most `recompile_limit` variants of a function, whichever network it is of."""
    graphs = counting_compiles(monkeypatch)
    counts = []
    for stage in range(torch._dynamo.config.recompile_limit + 2):
        before = len(graphs)
        net = Doubled(nn.Linear(3, 1 + stage))
        compile_network(net, trains=True)
        net(torch.zeros(1, 3))
        release_memory()
        counts.append(len(graphs) - before)
    assert counts == [1] * len(counts)


@pytest.mark.usefixtures("fresh_compiler")
def test_a_stage_that_cannot_compile_does_not_go_on_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graphs = counting_compiles(monkeypatch)
    limit = torch._dynamo.config.recompile_limit
    net = Doubled(nn.Linear(3, 2))
    compile_network(net, trains=True)
    for rows in range(2, 2 + limit):
        net(torch.zeros(rows, 3))
    assert len(graphs) == limit
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        net(torch.zeros(2 + limit, 3))


def test_what_only_imagines_is_left_as_it_is_on_a_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **_: compiled.append(self))
    net = networks().reward_end
    compile_network(net, trains=False)
    assert compiled == []
    compile_network(net, trains=True)
    compile_network(net.to("meta"), trains=False)
    assert compiled == [net, net]


def test_without_it_nothing_is_compiled(smoke_home: Path) -> None:
    devices = {read_json(path)["device"] for path in smoke_home.glob("stages/*/*/manifest.json")}
    assert devices == {"cpu"}


def test_the_plan_says_that_networks_are_compiled(tmp_path: Path) -> None:
    for workers, shown in ((Workers(2), False), (Workers(2, compiled=True), True)):
        out = io.StringIO()
        show_plan(smoke_plan(), Store(tmp_path), workers, out)
        assert ("compiled" in out.getvalue()) is shown
    assert [named_device("cuda", c) for c in (False, True)] == ["cuda", "cuda (compiled)"]


@pytest.mark.parametrize("command", ["ablate", "train", "sweep"])
def test_a_machine_without_a_compiler_is_told_so_before_anything_runs(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    words = {"ablate": SMOKE, "train": ("--preset", "smoke"), "sweep": ("sampler",)}
    done = diamond(command, *words[command], "--compile", "--home", str(tmp_path / "home"))
    assert done.returncode == 2
    assert "--compile: torch compiles with no-such-compiler, which is not found" in done.stderr
    assert "CXX" in done.stderr and not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "name", ["TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE", "TORCHDYNAMO_SUPPRESS_ERRORS"]
)
def test_a_variable_that_turns_the_compiler_off_is_not_ignored(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", sys.executable)  # any program that is there
    monkeypatch.setenv(name, "0")
    check_compiler()
    monkeypatch.setenv(name, "1")
    with pytest.raises(RequestError, match=f"{name}=1 tells torch .* without compiling\n  unset"):
        check_compiler()


@pytest.mark.slow
@its_own_warning
def test_a_compiled_training_learns_what_a_plain_one_learns(
    smoke_home: Path, tmp_path: Path
) -> None:
    """The compiler itself: every loss and gradient norm of the denoiser's 40 updates."""
    store = Store(copy_home(smoke_home, tmp_path, "frames"))
    spec = next(spec for spec in smoke_plan().stages() if spec.stage == "denoiser")
    store.prepare(spec)
    run_stage(store, "denoiser", spec.key, lambda _: None, 1e9, Manner(compiled=True))
    logs = [home / "stages/denoiser" / spec.key / "events.jsonl" for home in (tmp_path, smoke_home)]
    ours, theirs = ([event.values for event in read_events(log, None)] for log in logs)
    assert len(ours) == len(theirs) > 0
    for mine, plain in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(plain, rel=RELATIVE)


@pytest.mark.slow
@its_own_warning
@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_compiled_networks_imagine_what_plain_ones_imagine(device: str) -> None:
    nets = networks(device)
    compile_network(nets.denoiser.net, trains=True)
    compile_network(nets.reward_end, trains=True)
    with full_precision():
        plain, compiled = imagined(networks(device)), imagined(nets)
    for ours, theirs in zip(compiled, plain, strict=True):
        # A pixel may fall on the other side of one of 256 levels.
        assert torch.allclose(ours.float(), theirs.float(), atol=2 / 255 + 1e-6, rtol=RELATIVE)
        assert float((ours.float() - theirs.float()).abs().mean()) < RELATIVE
