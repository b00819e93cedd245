"""LPIPS: against the values of its authors' package, and what is said where it cannot be had."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from diamond.config.presets import smoke
from diamond.config.run import RunConfig
from diamond.config.scoring import LPIPS_MIN_PIXELS, FidelityConfig
from diamond.errors import RequestError, WeightsError
from diamond.fidelity import lpips
from diamond.fidelity.lpips import TRUNK_FILE, LpipsFiles, find_lpips, load_lpips, lpips_distance
from diamond.findings.pair_fidelity import find_pairs, pairs_extras, score_pairs
from diamond.plan.stage_keys import stages_of
from tests.commands import diamond
from tests.golden.lpips_weights import seeded_frames, seeded_weights

AUTHORS = json.loads((Path(__file__).parents[1] / "golden/lpips.json").read_text(encoding="utf-8"))
"""What the package lpips 0.1.4 gives, made by tests/golden/make_lpips.py."""
CPU = torch.device("cpu")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LpipsFiles:
    """Seeded weights in files of the layout of torchvision and of the package, and as installed."""
    trunk, heads = seeded_weights()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    found = LpipsFiles(tmp_path / "torch/hub/checkpoints" / TRUNK_FILE, tmp_path / "heads.pth")
    found.trunk.parent.mkdir(parents=True)
    torch.save(trunk | {"classifier.6.bias": torch.zeros(1000)}, found.trunk)
    torch.save(heads, found.heads)
    digest = sha256(found.trunk.read_bytes()).hexdigest()
    monkeypatch.setattr(lpips, "TRUNK_DIGEST", digest[:8])
    return found


@pytest.fixture
def installed(files: LpipsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LpipsFiles:
    """The same, with the package where Python finds it; its own import is never needed."""
    package = tmp_path / "site" / "lpips"
    (package / "weights/v0.1").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('no torchvision')\n")
    files.heads.rename(package / "weights/v0.1/alex.pth")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return LpipsFiles(files.trunk, package / "weights/v0.1/alex.pth")


@pytest.mark.parametrize("side", [31, 32, 64])
def test_distances_are_those_of_the_authors(side: int, files: LpipsFiles) -> None:
    found = lpips_distance(*seeded_frames(side), load_lpips(files, CPU))
    assert found == pytest.approx(AUTHORS[str(side)], abs=1e-5)
    assert found[0] > found[1] > found[2] == 0


def test_batches_change_nothing(files: LpipsFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_lpips(files, CPU)
    frames = [np.tile(each, (3, 1, 1, 1)) for each in seeded_frames(32)]
    whole = lpips_distance(frames[0], frames[1], network)
    monkeypatch.setattr(lpips, "_FRAMES_AT_ONCE", 4)
    assert lpips_distance(frames[0], frames[1], network) == pytest.approx(whole, abs=1e-6)
    assert lpips_distance(frames[0][:0], frames[1][:0], network).shape == (0,)


def test_frames_that_have_no_features_are_refused(files: LpipsFiles) -> None:
    network = load_lpips(files, CPU)
    small = np.zeros((1, LPIPS_MIN_PIXELS - 1, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="at least 31 pixels"):
        lpips_distance(small, small, network)
    with pytest.raises(ValueError, match="of one shape"):
        lpips_distance(small, small.astype(np.float32), network)
    config = smoke("Boxing")
    view = config.view.model_copy(update={"height": 24, "width": 24})
    wrong = config.model_copy(update={"view": view, "fidelity": FidelityConfig(lpips="alex")})
    with pytest.raises(ValueError, match="needs frames of 31 pixels"):
        RunConfig.model_validate(wrong.model_dump(by_alias=True))


def test_weights_are_found_and_checked(installed: LpipsFiles) -> None:
    assert find_lpips() == installed
    load_lpips(installed, CPU)
    installed.trunk.write_bytes(installed.trunk.read_bytes() + b"x")
    with pytest.raises(WeightsError, match="is damaged: its digest is"):
        load_lpips(installed, CPU)
    installed.trunk.unlink()
    with pytest.raises(RequestError, match=r"needs the weights of AlexNet, and .* is not there"):
        find_lpips()
    installed.heads.unlink()
    with pytest.raises(RequestError, match=r"not installed\n  pip install"):
        find_lpips()


def test_weights_of_another_network_are_refused(files: LpipsFiles) -> None:
    torch.save({"lin0.model.1.weight": torch.zeros(1)}, files.heads)
    with pytest.raises(WeightsError, match="lack 'lin1"):
        load_lpips(files, CPU)
    files.heads.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_lpips(files, CPU)


def test_scores_have_their_own_key_only_where_they_are_wanted() -> None:
    plain = smoke("Boxing")
    wanted = plain.model_copy(update={"fidelity": FidelityConfig(lpips="alex")})
    keys = [{spec.stage: spec.key for spec in stages_of(config)} for config in (plain, wanted)]
    assert {stage for stage in keys[0] if keys[0][stage] != keys[1][stage]} == {"fidelity"}


def test_pairs_are_scored_by_it(installed: LpipsFiles, tmp_path: Path) -> None:
    real, imagined = seeded_frames(32)
    np.save(tmp_path / "real.npy", real)
    np.save(tmp_path / "imagined.npy", imagined)
    pairs = find_pairs(tmp_path / "real.npy", tmp_path / "imagined.npy", None, 0, None)
    own, extras = pairs_extras(("lpips=alex",))
    assert own == () and extras.lpips is not None
    scores = score_pairs(pairs, extras)["imagined"]
    assert scores["lpips"][0] == pytest.approx(AUTHORS["32"], abs=1e-5)
    assert pairs_extras(())[1].lpips is None
    assert "lpips" not in score_pairs(pairs)["imagined"]
    with pytest.raises(RequestError, match="steps is part of a world model"):
        pairs_extras(("steps=1",))


def test_commands_say_what_is_missing_and_make_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    np.save(tmp_path / "real.npy", seeded_frames(32)[0])
    pairs = ("--real", str(tmp_path / "real.npy"), "--imagined", str(tmp_path / "real.npy"))
    for words in (
        ("fidelity", "lpips=alex", *pairs, "--out", str(tmp_path / "out")),
        ("ablate", "steps=1", "lpips=alex", "--preset", "smoke", "--home", str(tmp_path / "home")),
    ):
        done = diamond(*words)
        assert done.returncode == 2
        assert "LPIPS" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "home").rglob("manifest.json"))
    assert not (tmp_path / "home" / "studies").exists()
