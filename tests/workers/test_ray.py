"""Workers on a real Ray cluster, of which nodes and commands are killed."""

import shlex
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from diamond.errors import EngineError
from diamond.workers.ray_cluster import RayLauncher
from tests.campaign import layout
from tests.campaign.processes import Watch, lives
from tests.commands import (
    PAGELESS,
    ROOT,
    SMOKE,
    STUDY,
    begin,
    check_tracked,
    copy_home,
    diamond,
    digests,
    live_workers,
    run_script,
    wait_until,
)
from tests.workers.ray_nodes import TOKEN, RayNodes

UNTIL = (*SMOKE, "--until", "fidelity")
WITHOUT_RAY = f"import sys; sys.modules['ray'] = None\n{PAGELESS}"


@pytest.fixture(scope="module")
def ray() -> None:
    if find_spec("ray") is None:
        pytest.skip("needs Ray: pip install 'diamond-ablations[ray]'")


@pytest.fixture(scope="module")
def nodes(ray: None) -> Iterator[RayNodes]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in TOKEN.items():
            patch.setenv(name, value)
        with RayNodes() as started:
            yield started


def _on(nodes: RayNodes, options: str = "num-gpus=0") -> tuple[str, ...]:
    options = f"address={nodes.address} {options}"
    return ("--engine", "ray", "--jobs", "3", "--engine-options", options)


def _pids(home: Path) -> set[int]:
    """Processes that make a stage."""
    return {work.pid for work in layout.works(home)}


def _logs(home: Path) -> list[str]:
    return [path.read_text() for path in home.glob(f"studies/{STUDY}/workers/ray-*.log")]


def _check_equal(home: Path, reference: Path) -> None:
    """All stages of a study are there, with the bits of a run on this machine alone."""
    made, wanted = digests(home), digests(reference)
    assert {name.partition("/")[0] for name in made} >= {"denoiser", "rollouts", "fidelity"}
    assert made == {name: wanted[name] for name in made}
    assert layout.leftovers(home) == []
    check_tracked(home)


def test_workers_go_on_without_a_command_and_a_lost_node_loses_nothing(
    nodes: RayNodes, smoke_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with Watch(home) as watch:
        done = diamond("ablate", *UNTIL, *_on(nodes), "--detach", "--home", str(home), page=False)
        assert done.returncode == 0, done.stderr
        assert "diamond work --cancel" in done.stderr
        assert f"workers on Ray ({nodes.address}), each with 1 CPU and 0 GPU" in done.stderr
        wait_until(lambda: nodes.holder(_pids(home)) is not None, "a stage on a node")
        place = nodes.holder(_pids(home))
        assert place is not None
        nodes.kill(place)
        nodes.add()
        done = diamond("ablate", *UNTIL, *_on(nodes), "--home", str(home), page=False)
        assert done.returncode == 0, done.stderr
    assert not watch.faults
    _check_equal(home, smoke_home)
    assert not any("Traceback" in log for log in _logs(home)), _logs(home)


def test_workers_outlive_their_command_and_end_when_asked(
    nodes: RayNodes, smoke_home: Path, tmp_path: Path
) -> None:
    home = copy_home(smoke_home, tmp_path / "home", *layout.CHEAP)
    arguments = (*UNTIL, *_on(nodes))
    command = begin(home, *arguments)
    wait_until(lambda: bool(_pids(home)), "a stage at work")
    command.kill()
    command.communicate()
    assert all(map(lives, live_workers(home))) and live_workers(home)
    done = diamond("work", "--cancel", "--home", str(home), "--study", STUDY)
    assert done.returncode == 0, done.stderr
    assert "they save what they make" in done.stdout
    wait_until(lambda: not live_workers(home), "the end of the workers")
    wait_until(
        lambda: all(log.endswith("ended with exit code 0\n") for log in _logs(home)),
        "what they say at the end",
    )
    assert len(_logs(home)) == 3
    assert any("asked to end" in log for log in _logs(home))
    command = begin(home, *arguments)
    assert command.wait(120) == 0, command.communicate()
    command.communicate()
    _check_equal(home, smoke_home)


LAUNCHES = """
import json, shutil, sys, time
from pathlib import Path
from diamond.workers.ray_cluster import RayLauncher

def run(name, program, options):
    folder = Path({folder!r}) / name
    launcher = RayLauncher(folder, program, {{"address": {address!r}, **options}})
    launcher.submit(1)
    while launcher.alive():
        time.sleep(0.05)
    return launcher.fate()

show = [sys.executable, "-c", "import os, sys; print(os.environ['CUDA_VISIBLE_DEVICES'], sys.argv)"]
assert "  0 ['-c', '--jobs', '1']\\n" in run("half", show, {{"gpu-share": "2"}})
assert "  0 ['-c', '--jobs', '1']\\n" in run("whole", show, {{}})
assert "   ['-c', '--jobs', '1']\\n" in run("none", show, {{"num-gpus": "0"}})
assert run("none", show, {{"num-gpus": "0"}}).endswith("ended with exit code 0")
fails = [sys.executable, "-c", "import os; print('last words'); os._exit(2)"]
assert run("fails", fails, {{}}).endswith("  last words\\n    ended with exit code 2")
said = run("absent", ["/absent/python"], {{}})
assert "on node" in said and "No such file or directory: '/absent/python'" in said, said
"""


def test_workers_see_the_gpus_that_ray_gave_them_and_their_end_is_told(
    nodes: RayNodes, tmp_path: Path
) -> None:
    """One of the nodes says that it has a GPU; Ray believes it."""
    run_script(LAUNCHES.format(folder=str(tmp_path), address=nodes.address))


def test_a_worker_that_no_node_can_hold_is_refused(nodes: RayNodes, tmp_path: Path) -> None:
    home = tmp_path / "home"
    refused = {
        "num-gpus=4": (
            "a worker takes 1 CPU and 4 GPU, and no node has as much\n"
            "  the nodes have: 1 CPU and 0 GPU; 1 CPU and 1 GPU"
        ),
        "num-cpus=2 gpu-share=2": "a worker takes 2 CPU and 1/2 GPU, and no node has as much",
    }
    for options, words in refused.items():
        done = diamond("ablate", *UNTIL, *_on(nodes, options), "--home", str(home))
        assert done.returncode == 2
        assert words in done.stderr
    assert not home.exists()


@pytest.mark.usefixtures("ray")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("address=127.0.0.1:{port}", "no Ray cluster answers at '127.0.0.1:{port}': Connection"),
        ("address=local", "address is 'local'\n  allowed: HOST:PORT of the cluster's head"),
        ("address=ray://head:10001", "address is 'ray://head:10001'\n  allowed: HOST:PORT"),
        ("address=127.0.0.1:{port} num-cpus=0", "num-cpus is '0': a number from 1 on is needed"),
    ],
)
def test_what_cannot_be_asked_of_ray_is_said(tmp_path: Path, options: str, words: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        home, said = str(tmp_path / "home"), options.format(port=port)
        done = diamond(
            "ablate", *UNTIL, "--engine", "ray", "--engine-options", said, "--home", home
        )
    assert done.returncode == 2
    assert words.format(port=port) in done.stderr
    assert not (tmp_path / "home").exists()


def test_a_machine_without_ray_is_told_what_to_install(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    done = diamond("ablate", *UNTIL, "--engine", "ray", "--home", home, program=WITHOUT_RAY)
    assert done.returncode == 2
    assert "pip install 'diamond-ablations[ray]'" in done.stderr


def test_the_commands_of_the_page_are_right(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "cluster.md").read_text().partition("\n## Ray\n")[2]
    block = page.partition("```sh\n")[2].partition("```")[0]
    detached, front = (line for line in block.splitlines() if line.startswith("diamond ablate"))
    assert detached == f"{front} --detach"
    words = shlex.split(detached.replace("/shared/home", str(tmp_path / "home")))[1:]
    done = diamond(*words, "--dry-run")
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("ray")
def test_what_does_not_speak_as_ray_is_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would ask it again and again."""
    monkeypatch.setattr("diamond.workers.ray_cluster.ANSWER_SECONDS", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(EngineError, match="does not do what is asked: no answer") as caught:
            RayLauncher(tmp_path, ["diamond"], {"address": address})
    assert "this machine must be a node of the cluster" in str(caught.value)
