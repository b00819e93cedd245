"""Families: one of another package, what is refused of them, and a network of one's own."""

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor

from diamond.config import plugins
from diamond.config.overrides import override
from diamond.config.presets import make_preset
from diamond.config.worlds import OWN, find_family
from diamond.data.frame_files import read_stack
from diamond.engine.output_names import FRAMES_FILE
from diamond.errors import RequestError
from diamond.families import trees
from diamond.families.interface import checked, implementation_of
from diamond.plan.stage_keys import stages_of
from tests.commands import ROOT, TOY_FAMILY, diamond, environment, install, report

STUDY = "family-boxing-smoke-static"
OPTIONS = ("--preset", "smoke")


@pytest.fixture(scope="module")
def toy(toy_site: Path) -> Iterator[Path]:
    """The folder that the toy is installed in, where every command finds it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(toy_site))
        yield toy_site


@pytest.fixture(scope="module")
def home(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the two families side by side."""
    home = tmp_path_factory.mktemp("home")
    done = diamond("ablate", "family=diamond,toy", *OPTIONS, "--home", str(home), page=False)
    assert done.returncode == 0, done.stderr
    return home


def test_a_family_of_another_package_is_trained_scored_and_given_a_policy(home: Path) -> None:
    document = report(home, STUDY)
    arms = {arm["name"]: arm for arm in document["arms"]}
    assert set(arms) == {"family=diamond", "family=toy", "copy last frame", "median background"}
    (run,) = arms["family=toy"]["runs"]
    assert set(run["stages"]) == {
        "references", "frames", "toy_network", "inverse_dynamics", "rollouts", "fidelity",
        "policy", "policy_fidelity", "returns",
    }  # fmt: skip
    assert all(stage["state"] == "done" for stage in run["stages"].values())
    (key,) = {path.name for path in (home / "stages" / "toy_network").iterdir()}
    weights = load_file(home / "stages" / "toy_network" / key / "weights.safetensors")
    assert run["costs"]["num_parameters"] == sum(array.size for array in weights.values())
    assert run["costs"]["denoiser_calls_per_frame"] == 1
    # One set of frames and one judge for both; the returns of each policy are its own.
    (other,) = arms["family=diamond"]["runs"]
    for stage in ("references", "frames", "inverse_dynamics"):
        assert run["stages"][stage]["key"] == other["stages"][stage]["key"]
    assert run["returns"]["mean"] is not None


def test_what_a_family_of_another_package_imagines_is_no_still(home: Path) -> None:
    (run,) = next(arm for arm in report(home, STUDY)["arms"] if arm["name"] == "family=toy")["runs"]
    rollouts = home / "stages" / "rollouts" / run["stages"]["rollouts"]["key"]
    frames = read_stack(rollouts / FRAMES_FILE)
    assert all(not np.array_equal(frames[:, 0], frames[:, step]) for step in range(1, 10))
    (events,) = (home / "stages" / "toy_network").glob("*/events.jsonl")
    losses = [json.loads(line) for line in events.read_text().splitlines()]
    first, last = (record["values"]["picture_loss"] for record in (losses[0], losses[-1]))
    assert last < first / 2


def test_a_dry_run_with_another_family_loads_no_torch(toy: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from diamond.cli.app import main\n"
        f"sys.argv[1:] = ['ablate', 'family=diamond,toy', '--preset', 'smoke', '--dry-run', "
        f"'--home', {str(tmp_path)!r}]\n"
        "try: main()\n"
        "finally: print('LOADED', sorted({'torch', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment()
    )
    assert "toy_network" in done.stdout + done.stderr
    assert "LOADED []" in done.stdout


def test_it_is_found_in_a_fresh_environment_without_a_network(tmp_path: Path) -> None:
    venv.create(tmp_path / "fresh")
    python = tmp_path / "fresh" / "bin" / "python"
    site = next((tmp_path / "fresh" / "lib").glob("python*")) / "site-packages"
    packages = [str(ROOT), *(path for path in sys.path if "site-packages" in path)]
    (site / "base.pth").write_text("\n".join(packages))
    install(python, source=shutil.copytree(TOY_FAMILY, tmp_path / "source"))
    plain = {k: v for k, v in environment().items() if k != "PYTHONPATH"}
    words = ["ablate", "family=toy", *OPTIONS, "--dry-run", "--home", str(tmp_path / "home")]
    done = subprocess.run(
        [str(python), "-m", "diamond", *words],
        check=False,
        capture_output=True,
        text=True,
        env=plain,
    )
    assert done.returncode == 0, done.stderr
    assert "toy_network" in done.stdout + done.stderr


REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no such family": (
        ("family=diamond,tyo",),
        ("unknown family 'tyo'", "Did you mean 'toy'?", "diamond.families"),
    ),
    "one that does not load": (
        ("family=diamond,broken",),
        ("toy-world 0.1 does not load", "RuntimeError: the toy is broken", "toy_world.broken"),
    ),
    "another interface": (
        ("family=diamond,older",),
        ("written for interface 0, this is 2", "install a newer package"),
    ),
    "a module that is not there": (
        ("family=diamond,nowhere:TOY",),
        ("'nowhere:TOY' does not load", "No module named 'nowhere'"),
    ),
    "no family": (("family=diamond,json:dumps",), ("is a function", "interface.Family")),
    "an axis of another family": (
        ("family=toy,diamond", "steps=1,3"),
        ("steps is an axis of the family diamond", "of the family toy", "--arm"),
    ),
    "its axis on ours": (
        ("toy_width=4,8",),
        ("toy_width is an axis of the family toy", "of the family diamond"),
    ),
    "its field on ours": (("network.width=4,8",), ("network.width is an axis of the family toy",)),
    "a preset without recipe": (
        ("family=toy,diamond", "--preset", "paper"),
        ("unknown preset 'paper'", "smoke, tiny"),
    ),
    "a baseline": (("family=diamond,copy_last",), ("copy_last is a baseline",)),
    "a path across families": (
        ("--design", "path", "--from", "family=diamond", "--to", "family=toy"),
        ("no single field leads from one to the other", "family=diamond,toy"),
    ),
    "denoising steps of a family without": (
        ("family=toy,diamond", "--match", "nfe"),
        ("no denoising steps", "--match updates"),
    ),
    "no such network": (
        ("denoiser.network=toy_world.network:Nothing",),
        ("network.py defines no 'Nothing'",),
    ),
    "no such module of a network": (
        ("denoiser.network=nowhere:Net",),
        ("there is no module 'nowhere'",),
    ),
}


@pytest.mark.parametrize(("arguments", "texts"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(
    arguments: tuple[str, ...], texts: tuple[str, ...], toy: Path, tmp_path: Path
) -> None:
    preset = () if "--preset" in arguments else OPTIONS
    done = diamond("ablate", *arguments, *preset, "--home", str(tmp_path / "home"))
    assert done.returncode == 2, done.stderr
    for text in texts:
        assert text in done.stderr, done.stderr
    assert not list((tmp_path / "home").glob("stages/*/*"))


def test_a_study_of_a_package_that_is_gone_is_shown_and_its_errors_say_what_is_missing(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PYTHONPATH")
    assert "family=toy" in diamond("show", STUDY, "--home", str(home)).stdout
    assert diamond("studies", "--home", str(home)).returncode == 0
    assert "nothing to free" in diamond("gc", "--home", str(home)).stdout
    key = next((home / "stages" / "toy_network").iterdir()).name
    for words in (
        ("fidelity", key),
        ("report", STUDY),
        ("export-study", STUDY, str(tmp_path / "study")),
        ("export-checkpoint", STUDY, str(tmp_path / "agent"), "--arm", "family=toy"),
    ):
        done = diamond(*words, "--home", str(home))
        assert done.returncode == 2
        assert "unknown family 'toy'" in done.stderr


def test_its_study_travels_and_is_freed_when_the_package_is_gone(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, other = tmp_path / "toy.study", tmp_path / "other"
    assert diamond("export-study", STUDY, str(file), "--home", str(home)).returncode == 0
    came = diamond("import-study", str(file), "--home", str(other))
    assert came.returncode == 0, came.stderr
    assert {arm["name"] for arm in report(other, STUDY)["arms"]} >= {"family=toy"}
    monkeypatch.delenv("PYTHONPATH")
    assert list(other.glob("*/toy_network/*"))
    gone = diamond("gc", "--forget", STUDY, "--yes", "--home", str(other))
    assert gone.returncode == 0, gone.stderr
    assert not list(other.glob("*/toy_network/*"))


def test_its_world_model_is_scored(home: Path) -> None:
    (key,) = {path.name for path in (home / "stages" / "toy_network").iterdir()}
    scoring = ("--starts", "2", "--horizon", "5", "--home", str(home))
    done = diamond("fidelity", key[:8], *scoring)
    assert done.returncode == 0, done.stderr


def test_its_agent_is_exported_and_played(home: Path, tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    words = ("export-checkpoint", STUDY, str(agent), "--arm", "family=toy", "--home", str(home))
    assert diamond(*words).returncode == 0
    code = (
        "import numpy as np\n"
        "from diamond.world import make_vec\n"
        f"env = make_vec({str(agent)!r}, 2, 3)\n"
        "frames, _ = env.reset(seed=0)\n"
        "after = env.step(np.array([0, 1]))[0]\n"
        "print(frames.shape, (frames != after).any())\n"
    )
    played = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment()
    )
    assert played.stdout.strip() == "(2, 32, 32, 3) True", played.stderr
    steps = diamond("ablate", "steps=1,3", "--checkpoint", str(agent), "--home", str(home))
    assert "steps is an axis of the family diamond" in steps.stderr
    target = tmp_path / "agent.pt"
    released = diamond("export-checkpoint", str(agent), str(target), "--home", str(home))
    assert "no agents of the family toy" in released.stderr and not target.exists()


def test_it_is_an_agent_of_the_online_protocol(toy: Path, tmp_path: Path) -> None:
    words = ("train", "family=toy", "--protocol", "online", *OPTIONS, "--home", str(tmp_path))
    done = diamond(*words, page=False)
    assert done.returncode == 0, done.stderr
    (agent,) = (tmp_path / "stages" / "agent").iterdir()
    assert {path.name for path in agent.iterdir() if path.is_dir()} == {"network", "policy"}
    timings = json.loads((agent / "manifest.json").read_text())["timings"]
    assert timings["network_updates"] == timings["policy_updates"] + 1


def test_a_network_of_ones_own_is_trained_in_place_of_the_unet(toy: Path, tmp_path: Path) -> None:
    words = ("denoiser.network=toy_world.network:SmallNet", "--until", "rollouts", *OPTIONS)
    done = diamond("ablate", *words, "--home", str(tmp_path), page=False)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "stages" / "denoiser").glob("*/weights.safetensors")
    assert set(load_file(path)) == {
        f"net.{name}"
        for name in (
            "action.weight", "first.bias", "first.weight", "last.bias", "last.weight",
            "noise.bias", "noise.weight",
        )
    }  # fmt: skip


def test_the_source_of_a_network_is_part_of_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "one_of_my_own.py"
    keys = []
    for text in ("class Net: ...\n", "class Net: ...\n", "class Net: pass\n"):
        source.write_text(text)
        config = override(make_preset("smoke", "Boxing"), {"denoiser.network": "one_of_my_own:Net"})
        keys.append({spec.stage: spec.key for spec in stages_of(config)})
    assert keys[0] == keys[1]
    changed = {stage for stage in keys[0] if keys[0][stage] != keys[2][stage]}
    assert changed == {
        "denoiser", "rollouts", "fidelity", "policy", "policy_fidelity", "returns"
    }  # fmt: skip


@pytest.mark.parametrize("where", ["module", "module:", ":NAME", "module:a b"])
def test_a_place_is_written_as_module_and_name(where: str) -> None:
    with pytest.raises(RequestError, match="expected module:NAME"):
        plugins.load_named(where, "thing")


def test_a_family_brings_no_name_that_there_is(toy: Path) -> None:
    diamond_family = find_family("diamond")
    with pytest.raises(RequestError, match="as one of ours"):
        checked(diamond_family, "mine")


@pytest.mark.parametrize("name", OWN)
def test_the_parts_of_a_family_are_its_stages(name: str) -> None:
    parts = [part.name for part in implementation_of(name).parts]
    assert parts == [stage.part for stage in find_family(name).stages]


class Memory(NamedTuple):
    """A tree inside a tree."""

    hidden: Tensor
    cells: tuple[Tensor, Tensor]
    nothing: None = None


def test_trees_are_replaced_by_row_and_saved() -> None:
    tree: dict[str, Any] = {
        "frame": torch.arange(8.0).reshape(4, 2),
        "memory": Memory(torch.arange(4), (torch.zeros(4, 1), torch.arange(4.0)[:, None])),
    }
    rows = torch.tensor([2, 0])
    names = ["frame", "memory.hidden", "memory.cells.0", "memory.cells.1"]
    assert list(trees.tensors(tree)) == names
    doubled = trees.with_tensors(tree, {n: t[rows] * 2 for n, t in trees.tensors(tree).items()})
    mixed = trees.replace(tree, rows, doubled)
    assert torch.equal(mixed["frame"], torch.tensor([[0.0, 2], [2, 3], [8, 10], [6, 7]]))
    memory = mixed["memory"]
    assert isinstance(memory, Memory) and memory.nothing is None
    assert torch.equal(memory.hidden, torch.tensor([0, 1, 4, 3]))
    alone = trees.with_tensors(torch.zeros(2), {"state": torch.ones(2)})
    assert torch.equal(alone, torch.ones(2))
