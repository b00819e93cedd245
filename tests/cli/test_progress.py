"""What a person sees of a command at work: times, rates, how many stages, what follows them."""

import io
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from diamond.cli import progress
from diamond.cli.progress import ProgressView, clock_text, doing, rate_text
from diamond.engine.plan_duration import Work
from diamond.plan.stage_keys import StageSpec
from diamond.workers.executor import StageEvent
from tests.commands import smoke_plan

PER = {"s": 1, "min": 60, "h": 3600}
SIZE = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}


@given(st.floats(0, 1e6))
def test_a_time_reads_as_on_a_clock(seconds: float) -> None:
    parts = [int(part) for part in clock_text(seconds).split(":")]
    assert all(part < 60 for part in parts[1:])
    assert sum(part * 60**place for place, part in enumerate(reversed(parts))) == round(seconds)
    assert re.fullmatch(r"\d+(:\d\d){1,2}", clock_text(seconds))


def test_a_minute_is_never_sixty_seconds() -> None:
    assert [clock_text(seconds) for seconds in (539.6, 59.7, 3599.9)] == ["9:00", "1:00", "1:00:00"]


@given(st.floats(1e-3, 1e11))
def test_a_rate_has_three_digits_at_most_and_its_unit(rate: float) -> None:
    found = re.fullmatch(r"([\d.]+)([kMG]?)/(s|min|h)", rate_text(rate))
    assert found is not None, rate_text(rate)
    number, size, per = found.groups()
    assert len(number.replace(".", "").lstrip("0")) <= 3
    assert float(number) * SIZE[size] / PER[per] == pytest.approx(rate, rel=0.01)


def shown(live: bool = False) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=100, force_terminal=live, color_system=None), out


def made(view: ProgressView, spec: StageSpec) -> None:
    view.show(StageEvent("started", spec))
    view.show(StageEvent("made", spec))


def test_the_line_of_all_stages_counts_those_that_are_done_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    specs = smoke_plan().stages()
    console, out = shown()
    view = ProgressView({spec.key: spec.stage for spec in specs}, console)
    done = frozenset(spec.key for spec in specs[:3])
    view.expect(Work(specs, {spec.key: 60.0 for spec in specs}, done, 1))
    expected = 60 * (len(specs) - 3)
    assert f"3 of {len(specs)} stages, 0:00 elapsed, about {expected / 60:.0f} min left" in (
        out.getvalue()
    )
    # Stages that take twice as long as the plan says make what is left longer.
    for spec in specs[3:8]:
        view.show(StageEvent("started", spec))
        clock[0] += 120
        view.show(StageEvent("made", spec))
    told = re.findall(
        r"(\d+) of (\d+) stages, ([\d:]+) elapsed, about (\d+) min left", out.getvalue()
    )
    assert told[-1][:3] == ("8", str(len(specs)), "10:00")
    assert 1.5 * (len(specs) - 8) < float(told[-1][3]) < 2.2 * (len(specs) - 8)


def test_what_fails_and_what_reads_it_are_at_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    specs = smoke_plan().stages()
    console, out = shown()
    view = ProgressView({spec.key: spec.stage for spec in specs}, console)
    view.expect(Work(specs, {spec.key: 1.0 for spec in specs}, frozenset(), 2))
    view.show(StageEvent("started", specs[0]))
    view.show(StageEvent("failed", specs[0], note="disk full"))
    for spec in specs[1:]:
        view.show(StageEvent("blocked", spec, note="frames failed"))
    assert f"{len(specs)} of {len(specs)} stages" in out.getvalue().splitlines()[-1]
    assert "about 0 s left" in out.getvalue().splitlines()[-1]


def test_a_search_says_how_many_stages_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    spec, other, *_ = smoke_plan().stages()
    console, out = shown()
    view = ProgressView({spec.key: "a", other.key: "b"}, console)
    made(view, spec)
    assert re.search(r"^1 stage made, 0:00 elapsed$", out.getvalue(), re.MULTILINE)
    made(view, other)
    assert re.search(r"^2 stages made, 0:00 elapsed$", out.getvalue(), re.MULTILINE)


def test_progress_has_units_and_no_rate_of_what_came_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    spec = next(spec for spec in smoke_plan().stages() if spec.stage == "denoiser")
    console, out = shown()
    view = ProgressView({spec.key: "denoiser"}, console)
    view.show(StageEvent("started", spec))
    for seconds, done in ((0.0, 1), (1e-5, 5), (20.0, 10), (24.0, 20)):
        clock[0] = seconds
        view.show(StageEvent("progress", spec, done, 40, "loss 0.1"))
    lines = [line for line in out.getvalue().splitlines() if "updates" in line]
    assert lines[1] == "denoiser: 5/40 updates  loss 0.1"
    assert lines[-1] == "denoiser: 20/40 updates  2.5/s  0:08 left  loss 0.1"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_stage_at_work_shows_its_name_and_how_far_it_is(width: int) -> None:
    spec = next(spec for spec in smoke_plan().stages() if spec.stage == "rollouts")
    name, out = "rollouts (formulation=ddpm steps=3)", io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    with ProgressView({spec.key: name}, console) as view:
        view.show(StageEvent("started", spec))
        view.show(StageEvent("progress", spec, 1200, 40000, "of 48 starts"))
    drawn = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", out.getvalue())
    assert name in drawn
    assert "…" not in drawn
    assert "1200/40000 time steps of 48 starts" in " ".join(re.sub("[━╸╺]", "", drawn).split())
    assert max(map(len, re.split(r"[\r\n]+", drawn))) <= width


@pytest.mark.parametrize("live", [True, False])
def test_what_follows_the_last_stage_is_said(live: bool) -> None:
    console, out = shown(live)
    with doing("writing report", console):
        pass
    lines = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", out.getvalue()).replace("\r", "\n").split("\n")
    assert "writing report: done in 0 s" in lines
    assert ("writing report: starts" in lines) != live
