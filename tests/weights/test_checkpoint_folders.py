"""Agents of the released code, and studies on them: nothing is trained for it.

The agent has the paper's networks with weights from a formula: no released weights are needed.
"""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from diamond.config.checkpoint_record import CHECKPOINT_FILE, read_checkpoint
from diamond.config.presets import paper
from diamond.engine.files import digest
from diamond.errors import WeightsError
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.denoiser import DENOISER
from diamond.families.diamond.reward_end_net import REWARD_END
from diamond.plan.make_plan import make_plan
from diamond.plan.request import Request
from diamond.tensor_files import filled
from diamond.training.policy_part import POLICY
from diamond.weights.checkpoint_folders import import_released, load_released
from diamond.weights.released_names import to_released
from tests.commands import (
    ablate,
    check_futures,
    diamond,
    manifests,
    stages_made,
)

SHAPE = {"num_actions": 4, "height": 64, "width": 64}


def released_agent() -> dict[str, Tensor]:
    """A flat state dict as the released code saves it, for a game with four actions."""
    config = paper("Breakout")
    networks: dict[str, nn.Module] = {
        "denoiser": DENOISER.build(diamond_of(config).denoiser, SHAPE),
        "reward_end": REWARD_END.build(diamond_of(config).reward_end, SHAPE),
        "policy": POLICY.build(config.policy, SHAPE),
    }
    generator = torch.Generator().manual_seed(0)
    for network in networks.values():
        for tensor in network.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.05)
    return to_released({part: network.state_dict() for part, network in networks.items()})


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "Breakout.pt"
    torch.save(released_agent(), path)
    return path


@pytest.fixture(scope="module")
def home(agent: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the imported checkpoint `checkpoints/agent`."""
    home = tmp_path_factory.mktemp("checkpoints") / "home"
    folder = home / "checkpoints" / "agent"
    arguments = ("--output", str(folder), "--home", str(home))
    done = diamond("import-checkpoint", str(agent), *arguments)
    assert done.returncode == 0, done.stderr
    assert f"--checkpoint {folder}" in done.stdout
    return home


def test_export_after_import_gives_the_agent_back(agent: Path, home: Path, tmp_path: Path) -> None:
    target = tmp_path / "agent_epoch_00001.pt"
    done = diamond("export-checkpoint", str(home / "checkpoints" / "agent"), str(target))
    assert done.returncode == 0, done.stderr
    before = torch.load(agent, weights_only=True)  # noqa: TID251
    after = torch.load(target, weights_only=True)  # noqa: TID251
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_importing_twice_leaves_the_folder_as_it_is(agent: Path, home: Path) -> None:
    folder = home / "checkpoints" / "agent"
    before = {path.name: (digest(path), path.stat().st_mtime_ns) for path in folder.iterdir()}
    done = diamond("import-checkpoint", str(agent), "--output", str(folder), "--home", str(home))
    assert done.returncode == 0, done.stderr
    assert before == {
        path.name: (digest(path), path.stat().st_mtime_ns) for path in folder.iterdir()
    }


def test_a_checkpoint_says_what_it_is(agent: Path, home: Path) -> None:
    checkpoint = read_checkpoint(home / "checkpoints" / "agent")
    assert checkpoint.game == "Breakout"
    assert checkpoint.source_sha256 == digest(agent)
    assert checkpoint.weights.num_actions == 4
    assert diamond_of(checkpoint).denoiser == diamond_of(paper("Breakout")).denoiser
    assert diamond_of(checkpoint).sampler == diamond_of(paper("Breakout")).sampler


def test_a_study_on_a_checkpoint_trains_nothing_and_shares_the_policy(home: Path) -> None:
    folder = home / "checkpoints" / "agent"
    arguments = ("steps=1,2", "--preset", "smoke", "--checkpoint", str(folder))
    document = ablate(home, *arguments)
    assert document["games"] == ["Breakout"]
    arms = [arm for arm in document["arms"] if arm["kind"] == "arm"]
    assert [arm["name"] for arm in arms] == ["steps=1", "steps=2"]
    stages = [arm["runs"][0]["stages"] for arm in arms]
    assert all("frames" not in made for made in stages)
    shared = ("denoiser", "reward_end", "policy", "returns")
    assert all(stages[0][name]["key"] == stages[1][name]["key"] for name in shared)
    assert stages[0]["rollouts"]["key"] != stages[1]["rollouts"]["key"]
    assert arms[0]["runs"][0]["returns"] == arms[1]["runs"][0]["returns"]
    trained = [m for m in manifests(home).values() if "imported" in m["config"]]
    names = {"denoiser", "reward_end", "policy"}
    assert {m["stage"] for m in trained} == names
    assert all(m["outputs"]["weights.safetensors"] == m["config"]["imported"] for m in trained)
    check_futures(document)
    assert stages_made(ablate(home, *arguments)) == set()


def test_another_checkpoint_has_other_keys(home: Path) -> None:
    def keys(folder: Path) -> dict[str, str]:
        request = Request(("steps=1",), "smoke", ("Breakout",), 1, None, None, folder)
        return {spec.stage: spec.key for spec in make_plan(request).arms[0].runs[0].stages}

    one = home / "checkpoints" / "agent"
    other = home / "checkpoints" / "other"
    other.mkdir()
    data = json.loads((one / CHECKPOINT_FILE).read_text())
    data["weights"]["weights"]["policy"] = "0" * 64
    (other / CHECKPOINT_FILE).write_text(json.dumps(data))
    before, after = keys(one), keys(other)
    changed = {stage for stage in before if before[stage] != after[stage]}
    assert changed == {"policy", "policy_fidelity", "returns"}


REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "a trained part": (("denoiser.history=1,4",), ("denoiser.history", "trained already")),
    "another game": (("steps=1", "--game", "Pong"), ("Pong", "Breakout", "--game")),
    "seeds": (("steps=1", "--seeds", "2"), ("--seeds 2", "one trained model")),
    "other seeds": (("steps=1", "--first-seed", "2"), ("--first-seed 2", "one trained model")),
    "frames": (("steps=1", "--until", "frames"), ("--until frames", "--until fidelity")),
}


@pytest.mark.parametrize(("arguments", "texts"), REFUSED.values(), ids=REFUSED)
def test_what_a_checkpoint_leaves_no_choice_in(
    arguments: tuple[str, ...], texts: tuple[str, ...], home: Path, tmp_path: Path
) -> None:
    folder = home / "checkpoints" / "agent"
    where = ("--preset", "smoke", "--checkpoint", str(folder), "--home", str(tmp_path / "new"))
    done = diamond("ablate", *arguments, *where)
    assert done.returncode == 2
    assert all(text in done.stderr for text in texts), done.stderr
    assert not (tmp_path / "new").exists()


class Mischief:
    """Unpickling this writes a file, unless the reader refuses code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "executed")


def _narrow(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state | {"denoiser.inner_model.conv_in.bias": torch.zeros(32)}


def _without(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t for name, t in state.items() if name != "actor_critic.lstm.bias_hh"}


def _infinite(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state | {"actor_critic.actor_linear.bias": torch.tensor([0.0, 1.0, 2.0, torch.inf])}


def _foreign(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state | {"extra.weight": torch.zeros(1)}


BROKEN: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], tuple[str, ...]]] = {
    "another width": (_narrow, ("another architecture", "net.conv_in.bias", "32", "64")),
    "a tensor missing": (_without, ("missing tensor", "actor_critic.lstm.bias_hh")),
    "not finite": (_infinite, ("not finite", "actor_critic.actor_linear.bias")),
    "a foreign tensor": (_foreign, ("unknown tensor", "extra.weight")),
    "one number": (
        lambda state: state | {"actor_critic.actor_linear.bias": torch.tensor(1.0)},
        ("another architecture", "actor.bias of the policy is a single number", "agent 4"),
    ),
}


@pytest.mark.parametrize(("change", "texts"), BROKEN.values(), ids=BROKEN)
def test_weights_of_something_else_are_refused(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    texts: tuple[str, ...],
    agent: Path,
    tmp_path: Path,
) -> None:
    path = tmp_path / "Breakout.pt"
    torch.save(change(torch.load(agent, weights_only=True)), path)  # noqa: TID251
    _refused(path, tmp_path, *texts)


KINDS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "sparse": (Tensor.to_sparse, "is not dense (sparse_coo)"),
    "compressed": (Tensor.to_sparse_csr, "is not dense (sparse_csr)"),
    "nested": (lambda t: torch.nested.nested_tensor([t[0], t[1, :1]]), "is not dense (nested)"),
    "without numbers": (lambda t: t.to("meta"), "has no numbers (it is on the meta device)"),
    "complex": (lambda t: t + 1j, "holds complex64"),
    "quantised": (
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        "is quantised (qint8)",
    ),
    "whole numbers": (Tensor.long, "holds int64"),
    "truth values": (lambda t: t > 0, "holds bool"),
    "eight bits": (lambda t: t.to(torch.float8_e4m3fn), "holds float8_e4m3fn"),
    "beyond 32 bits": (lambda t: t.double() * 1e300, "has numbers that are not finite"),
    "not a number": (lambda t: t * torch.nan, "has numbers that are not finite"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch warns of the kinds themselves
@pytest.mark.parametrize(("change", "text"), KINDS.values(), ids=KINDS)
def test_a_tensor_that_reading_would_change_is_refused_by_name(
    change: Callable[[Tensor], Tensor], text: str, tmp_path: Path
) -> None:
    torch.save({"a.weight": torch.ones(2, 2), "b.weight": change(torch.ones(2, 2))}, tmp_path / "x")
    with pytest.raises(WeightsError) as caught:
        load_released(tmp_path / "x")
    assert f"x': b.weight {text}" in str(caught.value)
    if "finite" not in text:
        assert "allowed: dense tensors of float16, bfloat16, float32, float64" in str(caught.value)


def test_views_of_one_memory_are_weights_like_any(agent: Path, tmp_path: Path) -> None:
    state = torch.load(agent, weights_only=True)  # noqa: TID251
    bias = state["actor_critic.actor_linear.bias"]
    state["actor_critic.critic_linear.bias"] = bias[:1]
    torch.save(state, tmp_path / "Breakout.pt")
    folder = import_released(str(tmp_path / "Breakout.pt"), None, tmp_path / "out", tmp_path)
    policy = load_file(folder / "policy.safetensors")
    assert torch.equal(policy["actor.bias"], bias)
    assert torch.equal(policy["critic.bias"], bias[:1])


def test_weights_that_would_change_when_read_fill_no_network() -> None:
    network = nn.Linear(2, 2)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    filled(lambda: network, weights, torch.device("cpu"))
    with pytest.raises(WeightsError, match="bias holds complex64"):
        filled(lambda: network, weights | {"bias": weights["bias"] + 1j}, torch.device("cpu"))


def test_code_in_a_file_is_not_executed(tmp_path: Path) -> None:
    path, proof = tmp_path / "Breakout.pt", tmp_path / "proof.txt"
    torch.save({"denoiser.x": Mischief(proof)}, path)
    _refused(path, tmp_path, "more than tensors", "nothing of it was executed")
    path.write_bytes(pickle.dumps(Mischief(proof)))
    _refused(path, tmp_path, "nothing of it was executed")
    assert not proof.exists()


@pytest.mark.parametrize("share", [0.0, 0.4, 0.999])
def test_a_cut_file_is_refused(share: float, agent: Path, tmp_path: Path) -> None:
    data = agent.read_bytes()
    path = tmp_path / "Breakout.pt"
    path.write_bytes(data[: int(share * len(data))])
    _refused(path, tmp_path, str(path))


def test_the_wrong_game_an_unknown_one_and_no_file(agent: Path, tmp_path: Path) -> None:
    _refused(agent, tmp_path, "4 actions", "Boxing has 18", "--game", game="Boxing")
    _refused(agent, tmp_path, "unknown game", "Did you mean 'Breakout'", game="Breakot")
    nameless = tmp_path / "agent_epoch_01000.pt"
    nameless.write_bytes(agent.read_bytes())
    _refused(nameless, tmp_path, "does not say which game", "--game")
    _refused(tmp_path / "Pong.pt", tmp_path, "cannot read", "Pong.pt")


def test_a_folder_that_holds_something_else_is_left_alone(agent: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "note.txt").write_text("mine")
    done = diamond("import-checkpoint", str(agent), "--output", str(folder))
    assert done.returncode == 2
    assert "is left as it is" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert [path.name for path in folder.iterdir()] == ["note.txt"]


def test_damaged_weights_of_a_checkpoint_are_found(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in (home / "checkpoints" / "agent").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    data = bytearray((folder / "policy.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "policy.safetensors").write_bytes(bytes(data))
    where = ("--checkpoint", str(folder), "--preset", "smoke", "--home", str(tmp_path / "new"))
    done = diamond("ablate", "steps=1", *where)
    assert done.returncode == 2
    assert "policy.safetensors" in done.stderr
    assert "damaged" in done.stderr
    done = diamond("export-checkpoint", str(folder), str(tmp_path / "agent.pt"))
    assert done.returncode == 2
    assert not (tmp_path / "agent.pt").exists()


def _refused(path: Path, folder: Path, *texts: str, game: str | None = None) -> None:
    home = folder / "home"
    arguments = () if game is None else ("--game", game)
    done = diamond("import-checkpoint", str(path), *arguments, "--home", str(home))
    assert done.returncode == 2, done.stderr
    assert all(text in done.stderr for text in texts), done.stderr
    assert "Traceback" not in done.stderr
    assert not home.exists()
