"""Results like those of a small study as plain fields, which tests change before use."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diamond.config.metric_table import METRIC_OF
from diamond.report.figures.strips import Strips
from diamond.results.model import Result
from diamond.studies.compared_frames import Film

HORIZON = 100
STEPS = (1, 5, 10, 20, 50, 100)
METRICS = (
    ("psnr", "PSNR", "dB", "higher"),
    ("ssim", "SSIM", "", "higher"),
    ("l1", "L1", "", "lower"),
    ("psnr_fg", "PSNR of the foreground", "dB", "higher"),
    ("ssim_fg", "SSIM of the foreground", "", "higher"),
    ("l1_fg", "L1 of the foreground", "", "lower"),
    ("foreground_iou", "Foreground IoU", "", "higher"),
    ("core_ratio", "Core ratio", "", "real"),
    ("core_ratio_real", "Core ratio of the real frames", "", "real"),
)
LABEL = "undertrained; cropped frames, reduced actions; not comparable with published scores"
# First value, last value and half width of the interval of each metric; core ratios are per arm.
SHAPES = {
    "psnr": (28.4, 20.2, 0.6),
    "ssim": (0.95, 0.78, 0.01),
    "l1": (0.009, 0.031, 0.001),
    "psnr_fg": (17.2, 11.4, 0.5),
    "ssim_fg": (0.71, 0.22, 0.02),
    "l1_fg": (0.08, 0.21, 0.01),
    "foreground_iou": (0.72, 0.18, 0.03),
    "core_ratio_real": (0.681, 0.679, 0.01),
}
MALICIOUS = 'steps=3"><script>alert(1)</script><img src=x> | `b` $x$ {{ 7*7 }}'


def result(document: dict[str, Any]) -> Result:
    """Return the result that the fields of a document make."""
    return Result.model_validate(document)


def curve_of(metric: str, core: float | None, shift: float) -> dict[str, list[float | None]]:
    """Return smooth curves with an interval; a core ratio of None is undefined everywhere."""
    undefined: list[float | None] = [None] * HORIZON
    if metric == "core_ratio" and core is None:
        return {"mean": undefined, "lo": list(undefined), "hi": list(undefined)}
    first, last, half = SHAPES.get(metric, (core or 0.0, core or 0.0, 0.02))
    fall = 1 - np.log(np.arange(1, HORIZON + 1)) / np.log(HORIZON)
    mean = last + (first - last) * fall * (1 + shift) + 0.2 * half * np.sin(np.arange(HORIZON))
    return {
        "mean": [float(value) for value in mean],
        "lo": [float(value - half) for value in mean],
        "hi": [float(value + half) for value in mean],
    }


def _arm(name: str, core: float | None, *, kind: str, game: str, seeds: tuple[int, ...]) -> Any:
    """Return an arm whose runs are all done."""
    curves = {row[0]: curve_of(row[0], core, 0.05 * len(name) % 0.1) for row in METRICS}
    metrics: dict[str, Any] = {}
    for metric, curve in curves.items():
        defined = curve["mean"][0] is not None
        columns = {str(step): step - 1 for step in STEPS} if defined else {}
        values: dict[str, dict[str, float | None]] = {
            at: {part: curve[part][column] for part in ("mean", "lo", "hi")} | {"n": 12}
            for at, column in columns.items()
        }
        if defined:
            means: dict[str, float | None] = {
                part: float(np.mean(np.array(curve[part], float))) for part in curve
            }
            values["mean"] = means | {"n": 12}
        metrics[metric] = values
    if core is not None:
        metrics["core_ratio"]["mean"] |= {"mean": core, "lo": core - 0.02, "hi": core + 0.02}
    is_arm = kind == "arm"
    calls = int(re.findall(r"\d+", name)[0]) if is_arm and re.search(r"\d", name) else 0
    run = {
        "state": "done",
        "error": None,
        "run_key": "ab" * 32,
        "stages": {
            "frames": {"key": "f0" * 32, "made": False, "seconds": 8.1, "state": "done"},
            "denoiser": {"key": "d0" * 32, "made": True, "seconds": 241.0, "state": "done"},
        },
        "metrics": {},
        "curves": {},
        "returns": {
            "mean": -1.6, "lo": -4.0, "hi": 0.9, "n": 12, "distinct": 12, "label": LABEL,
            "players": [
                {"player": "random", "mean": -1.2, "n": 12, "difference": -0.4},
                {"player": "constant", "action": "FIRE", "mean": -0.5, "n": 12,
                 "distinct": 2, "difference": -1.1, "difference_lo": -3.4, "difference_hi": 1.2},
                {"player": "blind", "mean": -2.0, "n": 12, "difference": 0.4,
                 "difference_lo": -1.9, "difference_hi": 2.7},
            ],
        } if is_arm else None,
        "costs": {
            "denoiser_calls_per_frame": calls,
            "ms_per_frame": 9.4 * max(calls, 0.1),
            "rollout_seconds": 14.0 * max(calls, 0.1),
            "num_parameters": 1_250_316,
        } if is_arm else None,
    }  # fmt: skip
    many = len(seeds) > 1
    return {
        "name": name,
        "kind": kind,
        "game": game,
        "aa": name.endswith(" again"),
        "axis_values": {"steps": str(calls)},
        "runs": [run | {"seed": seed} for seed in seeds],
        "metrics": metrics,
        "curves": curves,
        "beside": {
            "random": {"mean": -0.4},
            "constant": {"mean": -1.1, "lo": -3.4, "hi": 1.2},
            "blind": {"mean": 0.4, "lo": -1.9, "hi": 2.7},
        } if is_arm else {},
        "interval": {
            "level": 0.95,
            "method": "t over seeds" if many else "bootstrap over starts within one trained model",
            "unit": "seed" if many else "start",
            "n": len(seeds) if many else 12,
        },
    }  # fmt: skip


def comparison(a: str, b: str, numbers: tuple[float, float, float], **changes: Any) -> Any:
    """Return a comparison of the core ratio with the baseline arm `b`: (difference, lo, hi)."""
    difference, lo, hi = numbers
    row = {
        "game": "Boxing", "metric": "core_ratio", "at": "mean", "a": a, "b": b,
        "difference": difference, "lo": lo, "hi": hi, "n": 12, "unit": "start",
        "method": "bootstrap over starts within one trained model",
        "p": None, "p_min": None, "p_corrected": None, "p_t": None, "p_t_corrected": None,
        "family": "primary", "family_size": None, "within_noise": None, "detectable": None,
        "decision": "not shown" if lo <= 0 <= hi else "shown", "reason": None,
    }  # fmt: skip
    return row | changes


def document(
    cores: dict[str, float],
    comparisons: list[Any],
    seeds: tuple[int, ...] = (0,),
    games: tuple[str, ...] = ("Boxing",),
) -> dict[str, Any]:
    """Return a finished result document with numbers like those of a small Boxing study."""
    arms = [
        _arm(name, core, kind="arm", game=game, seeds=seeds)
        | {"is_baseline": name == next(iter(cores))}
        for game in games
        for name, core in cores.items()
    ]
    baselines: list[tuple[str, float | None]] = [("copy-last", 0.68), ("median-background", None)]
    arms += [
        _arm(name, core, kind="baseline", game=game, seeds=seeds[:1])
        for game in games
        for name, core in baselines
    ]
    return {
        "study": "steps-boxing-tiny",
        "question": "How does steps (denoising steps) change fidelity in Boxing?",
        "command": "diamond ablate steps=1,3,10",
        "preset": "tiny",
        "games": list(games),
        "seeds": list(seeds),
        "protocol": "static",
        "until": "report",
        "horizon": HORIZON,
        "report_steps": list(STEPS),
        "primary_metric": "core_ratio",
        "baseline_arm": next(iter(cores)),
        "metrics": [
            dict(zip(("name", "label", "unit", "direction"), row, strict=True))
            | {"low": METRIC_OF[row[0]].low, "high": METRIC_OF[row[0]].high}
            for row in METRICS
        ],
        "arms": arms,
        "comparisons": comparisons,
        "noise_floor": [],
        "claims": [],
        "summary": "",
        "notes": ["Boxing has no scripted expert: frames were collected with random held actions."],
        "strips": [],
        "costs": {
            "wall_seconds": 512.0, "stage_seconds": {"frames": 8.1, "denoiser": 241.0},
            "stages_made": 14, "stages_reused": 2,
        },
        "provenance": {
            "git_commit": "0123456789abcdef0123456789abcdef01234567", "dirty": True,
            "versions": {"torch": "2.13.0", "numpy": "2.4.6"}, "device": "cpu",
            "config": {"steps=1": {"sampler": {"steps": 1}, "denoiser": {"updates": 2060}}},
        },
        "paths": {"home": "mlruns", "mlflow_command": "diamond ui --home mlruns"},
    }  # fmt: skip


def three_arms() -> dict[str, Any]:
    """Return the study of the main command: one step is less sharp, 3 and 10 are alike."""
    return document(
        {"steps=1": 0.57, "steps=3": 0.66, "steps=10": 0.65},
        [
            comparison("steps=3", "steps=1", (0.09, 0.07, 0.11)),
            comparison("steps=10", "steps=1", (0.08, 0.06, 0.10)),
        ],
    )


def answered_arms() -> dict[str, Any]:
    """Return the study of the main command with its answer: ``steps=3`` is the best arm."""
    answer = {
        "game": "Boxing",
        "best": "steps=3",
        "found": {"head": "More steps are *sharper*.", "text": "0.57 with 1 step, 0.66 with 3."},
        "against": {"head": "But they are slow."},
        "sure": {"head": "One training.", "text": "Another training may differ by more."},
    }
    return three_arms() | {"answers": [answer]}


def over_seeds(a: str, b: str, numbers: tuple[float, float, float], **changes: Any) -> Any:
    """Return a comparison over three seeds, one of two in its family, with p values."""
    found = {
        "n": 3, "unit": "seed", "method": "t interval over paired seeds",
        "p": 0.25, "p_min": 0.25, "p_corrected": 0.5, "p_t": 0.01, "p_t_corrected": 0.02,
        "family_size": 2, "within_noise": False, "detectable": 0.05,
    }  # fmt: skip
    return comparison(a, b, numbers, **(found | changes))


def noise_row(floor: float | None, metric: str = "core_ratio") -> dict[str, Any]:
    """Return the noise floor of the arm steps=1, the same at every time step."""
    return {
        "game": "Boxing",
        "metric": metric,
        "arm": "steps=1",
        "n": 1 if floor is None else 3,
        "at": dict.fromkeys([*map(str, STEPS), "mean"], floor),
        "curve": [floor] * HORIZON,
        "reason": "not defined: needs two seeds" if floor is None else None,
    }


def seeded() -> dict[str, Any]:
    """Return a study of three seeds: an arm shown, one shown alone, an A/A arm, a reference."""
    doc = document(
        {"steps=1": 0.57, "steps=3": 0.66, "steps=10": 0.60, "steps=1 again": 0.58},
        [
            over_seeds("steps=3", "steps=1", (0.09, 0.05, 0.13)),
            over_seeds(
                "steps=10", "steps=1", (0.03, 0.001, 0.059), decision="shown alone",
                p_t=0.045, p_t_corrected=0.09, within_noise=True,
            ),
            over_seeds(
                "steps=1 again", "steps=1", (0.01, -0.02, 0.04), family="control", p=None,
                p_min=None, p_corrected=None, family_size=None, detectable=None,
                method="Welch's t interval over unpaired seeds",
            ),
            over_seeds(
                "copy-last", "steps=1", (0.11, 0.09, 0.13), family="reference", family_size=None
            ),
            over_seeds(
                "steps=3", "steps=1", (-0.4, -0.9, 0.1), metric="psnr", family="secondary"
            ),
            over_seeds(
                "steps=10", "steps=1", (-0.8, -0.9, -0.7), metric="psnr", family="secondary"
            ),
            over_seeds(
                "copy-last", "steps=1", (0.8, 0.7, 0.9), metric="psnr", family="reference"
            ),
        ],
        seeds=(0, 1, 2),
    )  # fmt: skip
    return doc | {"noise_floor": [noise_row(0.04), noise_row(0.5, "psnr")]}


def fail(doc: dict[str, Any], name: str, error: str) -> None:
    """Turn every run of an arm into a failed one."""
    for arm in doc["arms"]:
        if arm["name"] == name:
            arm |= {"metrics": {}, "curves": {}, "interval": None}
            for run in arm["runs"]:
                run |= {"state": "failed", "error": error, "returns": None, "costs": None}


def frames_of(seed: int) -> NDArray[np.uint8]:
    """Return six frames with values over the whole range."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (len(STEPS), 32, 32, 3), dtype=np.uint8)


def strips_of(doc: dict[str, Any]) -> list[Strips]:
    """Return the film strips of one start."""
    names = ["real", *dict.fromkeys(arm["name"] for arm in doc["arms"])]
    rows = tuple((name, frames_of(index)) for index, name in enumerate(names))
    return [Strips("Boxing", 0, 3, STEPS, rows)]


def films_of(doc: dict[str, Any], num_starts: int = 2, size: int = 8) -> list[Film]:
    """Return films of random frames; the last arms of the document repeat the first frame."""
    names = list(dict.fromkeys(arm["name"] for arm in doc["arms"]))
    films = []
    for start in range(num_starts):
        generator = np.random.default_rng(start)
        shape = (len(names) + 1, HORIZON, size, size, 3)
        frames = generator.integers(0, 256, shape, dtype=np.uint8)
        frames[1 + names.index("copy-last")] = frames[0, :1]
        rows = tuple(zip(["real", *names], frames, strict=True))
        length = HORIZON - 10 * start
        actions, rewards = ("LEFT",) * length, (1.0,) * length
        films.append(Film("Boxing", start, 0, length, rows, "copy-last", actions, rewards))
    return films


def survival_row(arm: str, median: float | None) -> dict[str, Any]:
    """Return a survival curve that falls from 1 to about a half over the horizon."""
    survival = np.linspace(1.0, 0.45, HORIZON)
    return {
        "game": "Boxing", "arm": arm,
        "curve": {
            "threshold": 0.08, "n": 12, "median": median, "unit": "start",
            "steps": list(range(1, HORIZON + 1)), "survival": survival.tolist(),
            "lo": (survival - 0.1).tolist(), "hi": np.minimum(survival + 0.1, 1).tolist(),
            "at_risk": list(np.linspace(12, 6, HORIZON).astype(int).tolist()),
        },
    }  # fmt: skip
