"""Scoring many frames at once against one frame at a time, and against a loop of scikit-image."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from diamond.arrays import ByteArray
from diamond.fidelity import pixel_metrics as batched
from diamond.fidelity.pixel_metrics import PIXEL_COLUMNS, foreground_masks, score_frames
from diamond.fidelity.pixel_oracle import PSNR_CAP_DB, foreground, score_frame

CPU = torch.device("cpu")
# Sums are exact; the ratio of each window of SSIM is taken in float32 (three roundings of 6e-8).
TOLERANCE = 1e-6


def similar_frames(seed: int, *shape: int) -> tuple[ByteArray, ByteArray, ByteArray]:
    """Frames, noisy copies, and a background that most pixels are near."""
    rng = np.random.default_rng(seed)
    background = rng.integers(0, 256, shape[1:], dtype=np.uint8)
    real = np.clip(background + rng.integers(-30, 31, shape), 0, 255).astype(np.uint8)
    imagined = np.clip(real + rng.integers(-40, 41, shape), 0, 255).astype(np.uint8)
    return real, imagined, background


def assert_equal_to_single_frames(
    real: ByteArray, imagined: ByteArray, background: ByteArray, device: torch.device = CPU
) -> None:
    scores = score_frames(real, imagined, background, device)
    assert tuple(scores) == PIXEL_COLUMNS
    for index in range(len(real)):
        expected = score_frame(real[index], imagined[index], background)
        found = {name: values[index] for name, values in scores.items()}
        assert found == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE, nan_ok=True)


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (29, 31), (28, 45), (27, 40), (7, 9)])
def test_equal_to_single_frames(size: tuple[int, int]) -> None:
    """Sizes of the presets, odd ones, and those too small for two or one of the three scales."""
    real, imagined, background = similar_frames(0, 5, *size, 3)
    imagined[1] = real[1]
    real[2] = background
    real[3] = imagined[3] = 128
    imagined[4] = 255 - real[4]
    assert_equal_to_single_frames(real, imagined, background)


@settings(max_examples=30)
@given(st.integers(7, 34), st.integers(7, 34), st.data())
def test_equal_to_single_frames_for_any_levels(
    height: int, width: int, data: st.DataObject
) -> None:
    """The largest sums are those of white frames: nothing overflows."""
    shape = (2, height, width, 3)
    frames = hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 25, 26, 254, 255]))
    real, imagined = data.draw(frames), data.draw(frames)
    assert_equal_to_single_frames(real, imagined, data.draw(frames)[0])


@pytest.mark.gpu
def test_equal_to_single_frames_on_a_gpu() -> None:
    assert_equal_to_single_frames(*similar_frames(0, 5, 64, 64, 3), torch.device("cuda"))


def test_chunks_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    real, imagined, background = similar_frames(1, 7, 30, 28, 3)
    whole = score_frames(real, imagined, background, CPU)
    monkeypatch.setitem(batched._CHUNK_VALUES, "cpu", 3 * real[0].size)
    parts = score_frames(real, imagined, background, CPU)
    for name, values in whole.items():
        np.testing.assert_array_equal(parts[name], values)


def test_only_what_is_asked_for() -> None:
    real, imagined, background = similar_frames(1, 3, 16, 16, 3)
    whole = score_frames(real, imagined, background, CPU)
    for wanted in ({"l1"}, {"ssim", "psnr"}, {"ms_ssim_fg"}, {"hf_ratio"}, {"core_ratio"}):
        found = score_frames(real, imagined, background, CPU, frozenset(wanted))
        assert set(found) == wanted
        for name in wanted:
            np.testing.assert_array_equal(found[name], whole[name])


def test_no_frames_and_wrong_frames() -> None:
    real, imagined, background = similar_frames(1, 3, 16, 16, 3)
    none = score_frames(real[:0], imagined[:0], background, CPU)
    assert {name: values.shape for name, values in none.items()} == dict.fromkeys(
        PIXEL_COLUMNS, (0,)
    )
    with pytest.raises(ValueError, match="imagined must be uint8"):
        score_frames(real, imagined[:2], background, CPU)
    with pytest.raises(ValueError, match="background must be uint8"):
        score_frames(real, imagined, background[:8], CPU)
    with pytest.raises(ValueError, match=r"real must be uint8 .* float64"):
        score_frames(real / 255, imagined, background, CPU)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 7 x 7"):
        score_frames(real[:, :5], imagined[:, :5], background[:5], CPU)


def test_foreground_masks() -> None:
    real, _, background = similar_frames(2, 4, 12, 13, 3)
    masks = foreground_masks(real, background, CPU)
    np.testing.assert_array_equal(masks, foreground(real / 255, background / 255))
    assert 0 < masks.mean() < 1


def loop_of_scikit_image(real: ByteArray, imagined: ByteArray) -> list[tuple[float, float]]:
    """SSIM and PSNR of frame after frame, as most code computes them."""
    return [
        (
            structural_similarity(x, y, data_range=255, channel_axis=-1),  # type: ignore[no-untyped-call]
            peak_signal_noise_ratio(x, y, data_range=255),  # type: ignore[no-untyped-call]
        )
        for x, y in zip(real, imagined, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 32])
def test_speed_beside_a_loop_of_scikit_image(size: int) -> None:
    """Prints frames per second of both, in turns (`pytest --slow -n 0 -s`); asserts the values."""
    real, imagined, background = similar_frames(3, 256, size, size, 3)
    both, few = frozenset({"ssim", "psnr"}), 16
    found = score_frames(real, imagined, background, CPU, both)
    expected = np.array(loop_of_scikit_image(real, imagined))
    np.testing.assert_allclose(found["ssim"], expected[:, 0], atol=TOLERANCE)
    np.testing.assert_allclose(
        found["psnr"], np.minimum(expected[:, 1], PSNR_CAP_DB), rtol=TOLERANCE
    )
    rates = []
    for _ in range(15):
        begin = time.perf_counter(), time.process_time()
        loop_of_scikit_image(real[:few], imagined[:few])
        middle = time.perf_counter(), time.process_time()
        score_frames(real, imagined, background, CPU, both)
        end = time.perf_counter(), time.process_time()
        loop, batch = np.subtract(middle, begin) / few, np.subtract(end, middle) / len(real)
        rates.append([*(1 / loop), *(1 / batch), *(loop / batch)])
    wall_loop, cpu_loop, wall, cpu, ratio, cpu_ratio = np.median(rates, axis=0)
    print(
        f"\n{size}x{size}, {torch.get_num_threads()} threads, frames per second (per second of "
        f"processor): loop {wall_loop:.0f} ({cpu_loop:.0f}), batched {wall:.0f} ({cpu:.0f}), "
        f"ratio {ratio:.1f} ({cpu_ratio:.1f})"
    )
