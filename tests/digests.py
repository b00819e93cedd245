"""Whether two commits make the same arrays, from the same commands, on one machine."""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from diamond.config.presets import make_preset
from diamond.envs.open_game import data_shape
from diamond.families.diamond.denoiser import DENOISER
from diamond.families.diamond.reward_end_net import REWARD_END
from diamond.part import AnyPart
from diamond.training.policy_part import POLICY
from diamond.weights.released_names import to_released

ROOT = Path(__file__).parents[1]
SEARCH = """\
question = "Which sampler draws best for its cost?"
preset = "smoke"
until = "fidelity"

[space]
steps = { int = [1, 4] }
churn = { float = [0, 4] }

[[objectives]]
metric = "l1"

[sampler]
startup_trials = 2

[budget]
trials = 4
"""
SMOKE = ("--preset", "smoke")
TINY = ("--until", "denoiser", "--set", "denoiser.updates=300")
GAME = ("--game", "Boxing")
COMMANDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "ablate": (("ablate", "steps=1,3", *SMOKE, "--seeds", "2"),),
    "online": (("train", *SMOKE),),
    "sweep": (("sweep", "{files}/search.toml", "--jobs", "1"),),
    "imported": (
        ("import-checkpoint", "{files}/agent.pt", "--output", "{files}/agent", *GAME),
        ("ablate", "steps=1,2", "--checkpoint", "{files}/agent", *SMOKE),
    ),
    "tiny": (("ablate", "steps=1", "--preset", "tiny", *TINY, *GAME),),
}
"""What is run, in this order in a home of its own each."""

RENAMED = {
    "outcome": "reward_end",
    "references/native.npy": "references/native.npz",
    "references/stills.npy": "references/stills.npz",
    "references/finals.npy": "references/finals.npz",
    "references/counterfactual.npy": "references/counterfactual.npz",
    "frames/frames.npy": "frames/frames.npz",
    "rollouts/frames.npy": "rollouts/frames.npz",
    "rollouts/samples.npy": "rollouts/samples.npz",
    "rollouts/counterfactual.npy": "rollouts/counterfactual.npz",
}
"""Names of former commits, as they are now."""

EFFORT = re.compile(r"per_second|seconds|_at$|host|pid|device|memory|gpu|flops", re.IGNORECASE)
"""Names of values that say what a run cost."""

TOLERANCE = 1e-12
"""Relative difference of scores that another library computes; all else is equal in its bits."""

Found = dict[str, list[Any]]


def main() -> int:
    """Run the commands under both commits, unless their digests are kept, and compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.digests", description=__doc__)
    parser.add_argument("base", help="commit that is believed")
    parser.add_argument("head", nargs="?", default="HEAD", help="commit that is held against it")
    parser.add_argument("--state", type=Path, default=ROOT / "mlruns" / "digests")
    parser.add_argument("--only", choices=COMMANDS, action="append", help="may be repeated")
    options = parser.parse_args()
    names = options.only or list(COMMANDS)
    state = options.state.resolve()
    differences = 0
    for name in names:
        base, head = (_digests(commit, name, state) for commit in (options.base, options.head))
        differences += _compare(name, base, head)
    print("all arrays are equal" if not differences else f"{differences} kinds of arrays differ")
    return int(bool(differences))


def _digests(commit: str, name: str, state: Path) -> Found:
    """What a command makes under a commit, run once and then kept."""
    sha = _git("rev-parse", "--short=12", f"{commit}^{{commit}}")
    kept = state / f"{sha}-{name}.json"
    if not kept.is_file():
        print(f"{name} under {sha} ...", flush=True)
        found = _made(sha, name, state / f"{sha}-{name}")
        kept.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return {_now(kind): values for kind, values in json.loads(kept.read_text()).items()}


def _made(sha: str, name: str, folder: Path) -> Found:
    """Run a command in a checkout of a commit, and read the home that it leaves."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    code, home = folder / "code", folder / "home"
    code.mkdir()
    archive = subprocess.run(["git", "archive", sha], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(code)], input=archive.stdout, check=True)
    (folder / "search.toml").write_text(SEARCH)
    _write_agent(folder / "agent.pt")
    for arguments in COMMANDS[name]:
        words = [word.format(files=folder) for word in arguments]
        subprocess.run(
            [sys.executable, "-m", "diamond", *words, "--home", str(home)],
            cwd=code,
            env=os.environ | {"PYTHONPATH": str(code)},
            check=True,
            stdout=subprocess.DEVNULL,
        )
    found = _read(home)
    shutil.rmtree(folder)
    return found


def _write_agent(path: Path) -> None:
    """An agent as the released code saves it, untrained: the same one for all commits."""
    config = make_preset("paper", "Boxing")
    shape = data_shape("Boxing", config.environment, config.view)
    parts = {}
    agent: tuple[AnyPart, ...] = (DENOISER, REWARD_END, POLICY)
    for part in agent:
        net = part.fresh(part.section(config.sections()), shape, seed=0)
        parts[part.name] = net.state_dict()
    torch.save(to_released(parts), path)


def _read(home: Path) -> Found:
    """Digests of all arrays of the finished stages, and their curves and scores, by what they are.

    Keys of stages change with their names: values of one kind are sorted.
    """
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for folder in sorted(home.glob("stages/*/*")):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            kind = f"{folder.parent.name}/{path.relative_to(folder).as_posix()}"
            for label, value in _values(path):
                found[f"{kind} {label}".strip()].append(value)
    return {kind: sorted(values, key=json.dumps) for kind, values in sorted(found.items())}


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    """The arrays of a file by their names: digests, but small ones whole."""
    match path.suffix:
        case ".npy":
            yield "", _short(np.load(path, allow_pickle=False))
        case ".npz":
            # Episode after episode, as one array; imagined frames are one as they are stacked.
            join = np.stack if path.parents[1].name == "rollouts" else np.concatenate
            with np.load(path, allow_pickle=False) as episodes:
                names = sorted(episodes.files, key=int)
                yield "", _short(join([episodes[name] for name in names]))
        case ".safetensors":
            for name, array in load_file(path).items():
                yield name, _short(array)
        case ".json" if path.name != "manifest.json":
            yield "", _without_effort(json.loads(path.read_text()))
        case ".jsonl":
            for line in path.read_text().splitlines():
                event = json.loads(line)
                for name, value in event.get("values", {}).items():
                    if not EFFORT.search(name):
                        yield name, [event["step"], value]


def _short(array: NDArray[Any]) -> Any:
    if array.dtype == np.float64 and array.size <= 4096:
        return [list(array.shape), *(repr(float(value)) for value in array.ravel())]
    header = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(header + np.ascontiguousarray(array).tobytes()).hexdigest()[:20]


def _now(kind: str) -> str:
    for former, name in RENAMED.items():
        kind = kind.replace(former, name)
    return kind


def _without_effort(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not EFFORT.search(k)}
        return {_now(name): _without_effort(part) for name, part in kept.items()}
    return [_without_effort(part) for part in value] if isinstance(value, list) else value


def _compare(name: str, base: Found, head: Found) -> int:
    """Print what differs, and a line of sums; the number of kinds that differ."""
    differing = []
    for kind in sorted(base.keys() | head.keys()):
        old, new = base.get(kind, []), head.get(kind, [])
        if old != new and not _close(old, new):
            differing.append(f"  {kind}: {len(old)} before, {len(new)} now")
    count = sum(map(len, base.values()))
    print(f"{name}: {len(base)} kinds, {count} values, {len(differing)} kinds differ")
    print("\n".join(differing), end="\n" if differing else "")
    return len(differing)


def _close(old: Any, new: Any) -> bool:
    """Whether values are equal, floating-point scores to the tolerance."""
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_close, old, new))
    try:
        return bool(np.isclose(float(old), float(new), rtol=TOLERANCE, atol=0, equal_nan=True))
    except (TypeError, ValueError):
        return bool(old == new)


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return run.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
