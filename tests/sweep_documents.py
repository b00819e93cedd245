"""Results of sweeps as plain fields, which the tests of their report change before use."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diamond.results.model import Result
from diamond.results.search import Search

SKILL = {
    "name": "skill_copy_l1_fg",
    "at": "mean",
    "label": "L1 skill over copy last, changed pixels",
    "unit": "",
    "direction": "maximize",
}
TIME = {
    "name": "ms_per_frame",
    "at": "mean",
    "label": "ms per imagined frame",
    "unit": "ms",
    "direction": "minimize",
}
ERROR = {"name": "l1", "at": "10", "label": "L1", "unit": "", "direction": "minimize"}
LIMIT = {
    "name": "denoiser_calls_per_frame",
    "at": "mean",
    "label": "denoiser calls per frame",
    "unit": "",
    "at_most": 12.0,
    "at_least": None,
}
MALICIOUS = '<script>alert("$x_1$")</script>'
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def result(document: Mapping[str, Any]) -> Result:
    """The result that the fields of a document make."""
    search = {name: document[name] for name in Search.model_fields if name in document}
    head = {name: value for name, value in document.items() if name not in search}
    return Result.model_validate(head | {"design": "search", "search": search})


def search(document: Mapping[str, Any]) -> Search:
    """The search of a document."""
    found = result(document).search
    assert found is not None
    return found


def parameter(name: str, kind: str, baseline: str, **more: Any) -> dict[str, Any]:
    """A declared parameter; what is not given is unknown."""
    return {
        "name": name, "kind": kind, "low": None, "high": None, "step": None, "log": False,
        "choices": None, "when": None, "baseline": baseline, "in_range": True,
        "meaning": f"meaning of {name}", "first_stage": "rollouts",
    } | more  # fmt: skip


SPACE = [
    parameter("steps", "int", "3", low=1, high=10, step=1, meaning="denoising steps per frame"),
    parameter("order", "categorical", "1", choices=["1", "2"], meaning="order of the solver"),
    parameter(
        "churn", "float", "0.0", low=0.05, high=1.0, in_range=False,
        when={"name": "order", "values": ["2"]}, meaning="noise added at each step",
    ),
    parameter("sigma_max", "float", "5.0", low=0.5, high=80.0, log=True),
]  # fmt: skip


def trial(number: int, values: Sequence[float] | None, **more: Any) -> dict[str, Any]:
    """A trial, complete where it has values; what is not given is the usual."""
    return {
        "number": number,
        "name": f"trial {number}",
        "state": "complete" if values is not None else "failed",
        "source": "baseline" if number == 0 else "sampled",
        "params": {"steps": 3, "order": "1", "sigma_max": 5.0},
        "values": list(values or ()),
        "intervals": [],
        "constraints": [],
        "feasible": True,
        "intermediate": {},
        "attempts": 1,
        "error": None,
        "seconds": 12.5,
        "mlflow_run": None,
        "stages": {"denoiser": "0f" * 16, "rollouts": f"{number:032x}"},
    } | more


def sweep(
    trials: Sequence[dict[str, Any]], objectives: Sequence[Mapping[str, Any]], **more: Any
) -> dict[str, Any]:
    """A document of trials; the front is found here, and the baseline is trial 0 where it ran."""
    single = len(objectives) == 1
    front = front_of(trials, objectives)[: 1 if single else None]
    base = next((t for t in trials if t["source"] == "baseline" and t["values"]), None)
    confirmed = front[:2]
    return {
        "study": "sampler",
        "question": "Which sampler settings are good and quick?",
        "command": "diamond sweep studies/sampler.toml",
        "file": "/data/studies/sampler.toml",
        "preset": "tiny",
        "games": ["Breakout"],
        "seeds": [0],
        "protocol": "static",
        "until": "fidelity",
        "horizon": 100,
        "sampler": {"name": "tpe", "seed": 0},
        "pruner": None,
        "budget": {"trials": len(trials), "hours": None, "denoiser_calls": None},
        "spent": {"trials": len(trials), "hours": 0.41, "denoiser_calls": 1.2e7},
        "space": SPACE,
        "objectives": [dict(each) for each in objectives],
        "constraints": [],
        "trials": list(trials),
        "baseline": {
            "trial": None if base is None else base["number"],
            "values": [] if base is None else base["values"],
        },
        "front": front,
        "best": front[0] if single and front else None,
        "importance": [
            importance(index, trials, SPACE) for index in range(len(objectives))
        ],
        "confirm": {
            "command": "diamond ablate --study sampler-confirm --seeds 3",
            "study": "sampler-confirm",
            "trials": confirmed,
            "arms": ["baseline", *(f"trial {number}" for number in confirmed)],
            "result": None,
        },
        "summary": "",
        "notes": [],
        "provenance": {
            "git_commit": COMMIT, "dirty": True, "device": "cpu",
            "versions": {"optuna": "5.0.0"}, "config": {"denoiser": {"channels": 16}},
        },
        "paths": {
            "home": "/data/mlruns", "report_html": "/data/report.html",
            "report_md": "/data/report.md", "report_json": "/data/report.json",
            "storage": "/data/journal.log", "dashboard_command": "diamond ui --studies sampler",
            "mlflow_command": "diamond ui --home /data/mlruns",
        },
    } | more  # fmt: skip


def front_of(
    trials: Sequence[Mapping[str, Any]], objectives: Sequence[Mapping[str, Any]]
) -> list[int]:
    """Numbers of the feasible complete trials that none beats, by the first objective."""
    signs = [-1 if each["direction"] == "maximize" else 1 for each in objectives]
    found = {
        t["number"]: tuple(s * v for s, v in zip(signs, t["values"], strict=True))
        for t in trials
        if t["state"] == "complete" and t["feasible"]
    }
    front = [
        number
        for number, ours in found.items()
        if not any(
            theirs != ours and all(a <= b for a, b in zip(theirs, ours, strict=True))
            for theirs in found.values()
        )
    ]
    return sorted(front, key=lambda number: (*found[number], number))


def importance(
    objective: int, trials: Sequence[Mapping[str, Any]], space: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Shares of the parameters, or why there are none."""
    if sum(bool(t["values"]) for t in trials) < 4:
        return {"objective": objective, "reason": "fewer than 4 complete trials", "rows": []}
    shares = [2.0**-index for index in range(1, len(space))]
    shares.append(shares[-1])
    rows = [
        {"name": each["name"], "value": s, "lo": 0.7 * s, "hi": min(1.0, 1.2 * s)}
        for each, s in zip(space, shares, strict=True)
    ]
    return {"objective": objective, "reason": None, "rows": rows}


def sampled(
    num_trials: int, objectives: Sequence[Mapping[str, Any]], seed: int = 0
) -> list[dict[str, Any]]:
    """Trials at random settings with plausible values: skill saturates, time grows with steps."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(num_trials):
        steps = 3 if number == 0 else int(generator.integers(1, 11))
        order = 1 if number == 0 else int(generator.integers(1, 3))
        sigma = 5.0 if number == 0 else float(np.exp(generator.uniform(-0.7, 4.38)))
        params: dict[str, Any] = {"steps": steps, "order": str(order), "sigma_max": sigma}
        if order == 2:
            params["churn"] = float(generator.uniform(0.05, 1.0))
        calls = steps * order
        skill = 0.5 - 0.4 / calls - 0.05 * math.log(sigma / 8) ** 2 + 0.02 * generator.normal()
        by_name = {
            SKILL["name"]: skill,
            TIME["name"]: 3.9 * calls * float(np.exp(0.05 * generator.normal())),
            ERROR["name"]: 0.02 * float(np.exp(-3 * skill)),
        }
        values = [float(by_name[str(each["name"])]) for each in objectives]
        widths = [0.03, None, 0.002]
        spread = {SKILL["name"]: widths[0], TIME["name"]: widths[1], ERROR["name"]: widths[2]}
        intervals = [
            None if (w := spread[str(o["name"])]) is None else {"lo": v - w, "hi": v + w}
            for o, v in zip(objectives, values, strict=True)
        ]
        found.append(
            trial(number, values, params=params, intervals=intervals, seconds=10.0 + calls)
        )
    return found


def limited(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trials under `LIMIT`: those with more calls than it allows are not feasible."""
    found = []
    for each in trials:
        excess = each["params"]["steps"] * int(each["params"]["order"]) - 12.0
        found.append(each | {"constraints": [excess], "feasible": excess <= 0})
    return found


def pruned(each: dict[str, Any], at: Sequence[int], value: float) -> dict[str, Any]:
    """The trial as one that the pruner stopped after some reports."""
    reported = {str(step): value * (0.8 + 0.1 * i) for i, step in enumerate(at)}
    return each | {"state": "pruned", "values": [], "intervals": [], "constraints": [],
                   "intermediate": reported}  # fmt: skip


def failed(each: dict[str, Any], error: str) -> dict[str, Any]:
    """The trial as one that failed at its second attempt."""
    return each | {"state": "failed", "values": [], "intervals": [], "constraints": [],
                   "error": error, "attempts": 2}  # fmt: skip


def two_objectives(num_trials: int = 40) -> dict[str, Any]:
    """Skill and time with a limit, one failed trial and a few conditional parameters."""
    trials = limited(sampled(num_trials, (SKILL, TIME)))
    if num_trials > 9:
        trials[9] = failed(trials[9], "Traceback (most recent call last):\nOSError: disk <full>")
    return sweep(trials, (SKILL, TIME), constraints=[LIMIT])


def one_objective(num_trials: int = 24) -> dict[str, Any]:
    """Skill with a pruner: every fifth trial is cut short, one fails."""
    trials = sampled(num_trials, (SKILL,))
    for number in range(num_trials):
        value = trials[number]["values"][0]
        if number % 5 == 4:
            trials[number] = pruned(trials[number], [500, 1000][: 1 + number % 2], value - 0.1)
        else:
            trials[number]["intermediate"] = {"500": 0.7 * value, "1000": 0.85 * value}
    if num_trials > 6:
        trials[6] = failed(trials[6], "RuntimeError: out of memory") | {"intermediate": {}}
    pruner = {"name": "median", "at": [500, 1000], "what": "updates of the denoiser"}
    return sweep(trials, (SKILL,), pruner=pruner)


def three_objectives(num_trials: int = 30) -> dict[str, Any]:
    """Skill, time and an error."""
    return sweep(sampled(num_trials, (SKILL, TIME, ERROR)), (SKILL, TIME, ERROR))


def all_failed(num_trials: int = 6) -> dict[str, Any]:
    """No trial has a value."""
    trials = [failed(each, "OSError: disk <full>") for each in sampled(num_trials, (SKILL,))]
    trials[-1] = pruned(trials[-1], [], 0.0)
    return sweep(trials, (SKILL,), confirm=None)


def constant() -> dict[str, Any]:
    """Every trial has the same value, so that nothing is important."""
    doc = sweep([trial(number, [0.25]) for number in range(6)], (SKILL,))
    reason = "the objective has the same value in every trial"
    doc["importance"] = [{"objective": 0, "reason": reason, "rows": []}]
    return doc


def confirmed(doc: dict[str, Any], verdict: str = "confirmed") -> dict[str, Any]:
    """The document with the result of a confirmation of its best trial."""
    arm = doc["confirm"]["arms"][1]
    row = {
        "arm": arm, "objective": 0, "game": "Breakout", "arm_value": 0.431,
        "baseline_value": 0.392, "searched_value": 0.467, "difference": 0.039,
        "lo": 0.011, "hi": 0.067, "verdict": verdict,
    }  # fmt: skip
    found = {"num_seeds": 3, "first_seed": 1, "starts": "16 to 31", "rows": [row]}
    return doc | {"confirm": doc["confirm"] | {"result": found}}


def wide(num_trials: int = 40) -> dict[str, Any]:
    """Four objectives, ten parameters with long names and choices, outliers and large values."""
    objectives = (SKILL, TIME, ERROR, {**ERROR, "name": "calls", "label": "denoiser calls"})
    space = [
        *SPACE,
        parameter(
            "denoiser.preconditioning_of_the_network", "categorical", "edm",
            choices=["edm", "velocity prediction", "noise prediction", "x0", "none"],
        ),
        *(parameter(f"rate_{index}", "float", "1e-4", low=1e-6, high=1e-2, log=True)
          for index in range(5)),
    ]  # fmt: skip
    trials = sampled(num_trials, (SKILL, TIME, ERROR))
    choices = space[4]["choices"]
    for number, each in enumerate(trials):
        each["params"] |= {space[4]["name"]: choices[number % len(choices)]}
        each["params"] |= {f"rate_{index}": 1e-6 * 1.2 ** (number + index) for index in range(5)}
        each["values"].append(1e3 * 1.3 ** (number % 30))
        each["intervals"].append(None)
    for number in (5, 11):
        trials[number]["values"][0] = -40.0 * number
    doc = sweep(trials, objectives, space=space)
    doc["importance"] = [importance(index, trials, space) for index in range(4)]
    return doc
