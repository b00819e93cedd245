"""Frame metrics of many frames at once, in torch on one device; sums are exact integers.

The same numbers as `diamond.fidelity.pixel_oracle.score_frame` gives one frame at a time.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from diamond.arrays import BoolArray, ByteArray, FloatArray
from diamond.fidelity.pixel_oracle import (
    CORE_THRESHOLD,
    FOREGROUND_THRESHOLD,
    HF_CUTOFF,
    HF_FLOOR,
    MS_SSIM_WEIGHTS,
    PSNR_CAP_DB,
    SSIM_K1,
    SSIM_K2,
    WINDOW,
    check_frames,
)

_BORDER = WINDOW // 2
_AREA = WINDOW * WINDOW
_LEVELS = 255
# Small enough that buffers stay near the core, large enough that calls cost little; or a GPU full.
_CHUNK_VALUES = {"cpu": 200_000, "cuda": 50_000_000}


def score_frames(
    real: ByteArray,
    imagined: ByteArray,
    background: ByteArray,
    device: torch.device,
    columns: frozenset[str] | None = None,
) -> dict[str, FloatArray]:
    """Score frames of one episode by every pixel metric.

    Frames go to the device in chunks, so that memory does not grow with their number.

    Args:
        real: uint8 (n, h, w, 3), h and w at least 7; any array that can be sliced, such as a
            memory map.
        imagined: Same shape and type.
        background: Median background of the real episode, uint8 (h, w, 3).
        columns: What to compute of `PIXEL_COLUMNS`; all when None.

    Returns:
        For every name asked for an array (n,); NaN where a metric is undefined.

    Raises:
        ValueError: When a type or shape is not as above.
    """
    check_frames(real, imagined, background)
    wanted = frozenset(PIXEL_COLUMNS) if columns is None else columns
    found: dict[str, list[FloatArray]] = {name: [] for name in PIXEL_COLUMNS if name in wanted}
    scorer = _Scorer(torch.as_tensor(background, device=device), wanted)
    for x, y in _chunks(real, imagined, device):
        values = scorer.score(x, y)
        for name, parts in found.items():
            parts.append(values[name].cpu().numpy())
    return {name: np.concatenate([np.empty(0), *parts]) for name, parts in found.items()}


def foreground_masks(frames: ByteArray, background: ByteArray, device: torch.device) -> BoolArray:
    """The foreground of many frames: bool (n, h, w), from uint8 (n, h, w, 3)."""
    empty = torch.as_tensor(background, device=device).short()
    parts = [
        ((x.short() - empty).abs().amax(-1) > FOREGROUND_THRESHOLD * _LEVELS).cpu().numpy()
        for x, _ in _chunks(frames, frames, device)
    ]
    return np.concatenate([np.empty((0, *background.shape[:2]), dtype=np.bool_), *parts])


PIXEL_COLUMNS: tuple[str, ...] = (
    "psnr", "ssim", "l1", "mse", "ms_ssim",
    "psnr_fg", "ssim_fg", "l1_fg", "mse_fg", "ms_ssim_fg",
    "foreground_iou", "core_ratio", "core_ratio_real",
    "colour_shift", "hf_ratio", "hf_ratio_real",
)  # fmt: skip
"""What `score_frames` computes."""

_L1 = frozenset({"l1", "l1_fg"})
_MS_SSIM = frozenset({"ms_ssim", "ms_ssim_fg"})
_SSIM = frozenset({"ssim", "ssim_fg"}) | _MS_SSIM
_HF = frozenset({"hf_ratio", "hf_ratio_real"})
_MASKED = frozenset(name for name in PIXEL_COLUMNS if name.endswith("_fg")) | {
    "foreground_iou",
    "core_ratio",
    "core_ratio_real",
}


class _Scorer:
    """Scores chunks against one background; keeps the buffers of the last chunk's size."""

    def __init__(self, background: Tensor, columns: frozenset[str]) -> None:
        self._background = background.permute(2, 0, 1).int()
        self._columns = columns
        self._windows: dict[int, _Windows] = {}

    def score(self, real: Tensor, imagined: Tensor) -> dict[str, Tensor]:
        """Float64 (n,) per name, from uint8 (n, h, w, 3)."""
        x, y = (frames.permute(0, 3, 1, 2).contiguous().int() for frames in (real, imagined))
        mask = None
        found: dict[str, Tensor] = {}
        if self._columns & _MASKED:
            away, away_imagined = ((frames - self._background).abs_().amax(1) for frames in (x, y))
            mask = away > FOREGROUND_THRESHOLD * _LEVELS
            found |= _object_columns(mask, away, away_imagined)
        found |= _error_columns(x, y, mask, with_l1=bool(self._columns & _L1))
        if "colour_shift" in self._columns:
            found["colour_shift"] = _colour_shift(x, y)
        if self._columns & _HF:
            found["hf_ratio"] = ratio = _hf_ratio(x, y)
            found["hf_ratio_real"] = torch.ones_like(ratio).where(~ratio.isnan(), ratio)
        if self._columns & _SSIM:
            found |= self._similarity_columns(x, y, mask)
        return found

    def _similarity_columns(self, x: Tensor, y: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """SSIM, and MS-SSIM over halvings of the frames while a window fits."""
        found: dict[str, Tensor] = {}
        scales = len(MS_SSIM_WEIGHTS) if self._columns & _MS_SSIM else 1
        full, masked = [], []
        for scale in range(scales):
            if min(x.shape[-2:]) < WINDOW:
                undefined = torch.full((len(x),), torch.nan, dtype=torch.float64, device=x.device)
                full.append(undefined)
                masked.append(undefined)
                break
            border = 0 if mask is None else _BORDER
            similarity, structure = self._maps(scale, x, y, border)
            last = scale == scales - 1
            part = similarity if last else structure
            full.append(_mean(_inner(part, border)))
            if scale == 0:
                found["ssim"] = _mean(_inner(similarity, border))
            if mask is not None:
                masked.append(_masked_mean(part, mask))
                if scale == 0:
                    found["ssim_fg"] = _masked_mean(similarity, mask)
            if not last:
                x, y = _halve(x), _halve(y)
                mask = None if mask is None else _halve_mask(mask)
        if scales > 1:
            found["ms_ssim"] = _product(full)
            if masked:
                found["ms_ssim_fg"] = _product(masked)
        return found

    def _maps(self, scale: int, x: Tensor, y: Tensor, border: int) -> tuple[Tensor, Tensor]:
        windows = self._windows.get(scale)
        if windows is None or windows.shape != x.shape:
            windows = self._windows[scale] = _Windows(x.shape, scale, border, x.device)
        return windows.similarity(x, y)


class _Windows:
    """Sums over 7x7 windows as exact integers, in buffers that are made once.

    Values are kept flat: a shift by a row or a column is one contiguous read, what a window
    gathers across the end of a row is never looked at. Two sums share one integer, so that the
    sums of both frames cost one pass.
    """

    def __init__(self, shape: torch.Size, scale: int, border: int, device: torch.device) -> None:
        num, channels, height, width = shape
        self.shape = shape
        self._border = border
        self._padded = (num, channels, height + 2 * border, width + 2 * border)
        size = int(np.prod(self._padded))
        # A window sums 49 products of at most (255 * 4^scale)^2 and multiplies them by 49.
        self._integer = torch.int32 if scale == 0 else torch.int64
        self._shift = 16 if scale == 0 else 32
        self._float = torch.float32 if scale == 0 else torch.float64
        levels = _LEVELS * 4**scale
        self._c1 = (SSIM_K1 * levels * _AREA) ** 2
        self._c2 = (SSIM_K2 * levels) ** 2 * _AREA * (_AREA - 1)
        self._integers = [torch.zeros(size, dtype=self._integer, device=device) for _ in range(5)]
        self._floats = [torch.zeros(size, dtype=self._float, device=device) for _ in range(4)]

    def similarity(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """SSIM and its contrast-structure term for every channel and window: views of buffers.

        With window sums Sx, Sy, Sxx + Syy and Sxy of N values, all terms times N^2 are integers:
        (2 Sx Sy + c1) / (Sx^2 + Sy^2 + c1) and
        (2 (N Sxy - Sx Sy) + c2) / (N (Sxx + Syy) - Sx^2 - Sy^2 + c2).
        """
        a, b, both, squares, products = self._integers
        self._pad(x, a)
        self._pad(y, b)
        torch.mul(a, b, out=products)
        torch.bitwise_left_shift(b, self._shift, out=both).add_(a)
        torch.mul(a, a, out=squares).addcmul_(b, b)
        for sums in (both, squares, products):
            self._sum_windows(sums, a, b)
        torch.bitwise_and(both, (1 << self._shift) - 1, out=a)
        torch.bitwise_right_shift(both, self._shift, out=b)
        torch.mul(a, b, out=both).mul_(2)
        a.mul_(a).addcmul_(b, b)
        products.mul_(2 * _AREA).sub_(both)
        squares.mul_(_AREA).sub_(a)
        luminance, brightness, structure, contrast = self._floats
        luminance.copy_(both).add_(self._c1)
        luminance.div_(brightness.copy_(a).add_(self._c1))
        structure.copy_(products).add_(self._c2)
        structure.div_(contrast.copy_(squares).add_(self._c2))
        luminance.mul_(structure)
        return self._crop(luminance), self._crop(structure)

    def _pad(self, frames: Tensor, out: Tensor) -> None:
        """Copy frames into a buffer and mirror the border, the outermost pixels included."""
        padded = out.view(self._padded)
        k = self._border
        if not k:
            padded.copy_(frames)
            return
        padded[..., k:-k, k:-k] = frames
        padded[..., k:-k, :k] = frames[..., :k].flip(-1)
        padded[..., k:-k, -k:] = frames[..., -k:].flip(-1)
        padded[..., :k, :] = padded[..., k : 2 * k, :].flip(-2)
        padded[..., -k:, :] = padded[..., -2 * k : -k, :].flip(-2)

    def _sum_windows(self, values: Tensor, a: Tensor, b: Tensor) -> None:
        """Replace values by the sums of the windows that begin there: 7 = 4 + 2 + 1."""
        size = len(values)
        source, target = values, b
        for stride in (self._padded[-1], 1):
            torch.add(source[:-stride], source[stride:], out=a[: size - stride])
            sums = target[: size - 3 * stride]
            torch.add(a[: size - 3 * stride], a[2 * stride : size - stride], out=sums)
            sums = target[: size - 6 * stride]
            sums.add_(a[4 * stride : size - 2 * stride]).add_(source[6 * stride :])
            source, target = b, values

    def _crop(self, flat: Tensor) -> Tensor:
        height, width = (size - 2 * _BORDER for size in self._padded[-2:])
        return flat.view(self._padded)[..., :height, :width]


def _chunks(
    real: ByteArray, imagined: ByteArray, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    num, *shape = real.shape
    size = max(1, _CHUNK_VALUES[device.type] // int(np.prod(shape)))
    for first in range(0, num, size):
        part = slice(first, first + size)
        yield (
            torch.from_numpy(np.array(real[part])).to(device),
            torch.from_numpy(np.array(imagined[part])).to(device),
        )


def _error_columns(x: Tensor, y: Tensor, mask: Tensor | None, with_l1: bool) -> dict[str, Tensor]:
    """MSE, PSNR and, if asked for, L1 of levels, int32 (n, 3, h, w)."""
    found: dict[str, Tensor] = {}
    difference = x - y
    absolute = difference.abs() if with_l1 else None
    squared = difference.mul_(difference)
    places: list[tuple[str, Tensor | None]] = [("", None)]
    if mask is not None:
        places.append(("_fg", mask[:, None]))
    for suffix, where in places:
        count = x[0].numel() if where is None else 3 * _count(where[:, 0])
        mse = _sum(squared, where) / (count * _LEVELS**2)
        found[f"mse{suffix}"] = mse
        found[f"psnr{suffix}"] = (-10 * mse.log10()).clamp(max=PSNR_CAP_DB)
        if absolute is not None:
            found[f"l1{suffix}"] = _sum(absolute, where) / (count * _LEVELS)
    return found


def _object_columns(mask: Tensor, away: Tensor, away_imagined: Tensor) -> dict[str, Tensor]:
    """Foreground IoU and core ratios from the largest differences to the background (n, h, w)."""
    imagined = away_imagined > FOREGROUND_THRESHOLD * _LEVELS
    core = CORE_THRESHOLD * _LEVELS
    return {
        "foreground_iou": _count(mask & imagined) / _count(mask | imagined),
        "core_ratio": _count(away_imagined > core) / _count(imagined),
        "core_ratio_real": _count(away > core) / _count(mask),
    }


def _colour_shift(x: Tensor, y: Tensor) -> Tensor:
    """Distance of mean colours of int32 (n, 3, h, w)."""
    pixels = x.shape[-1] * x.shape[-2]
    sums = (frames.sum(-1, dtype=torch.int32).sum(-1) for frames in (x, y))
    shift = torch.sub(*sums).double() / (pixels * _LEVELS)
    return shift.square().sum(1).sqrt()


def _hf_ratio(x: Tensor, y: Tensor) -> Tensor:
    """High-frequency energy of y over that of x, int32 (n, 3, h, w).

    What the projection on the low frequencies, which is two matrix products, leaves of all energy.
    """
    rows, columns = (_low_frequencies(size, x.device) for size in x.shape[-2:])
    energies = []
    for frames in (x, y):
        values = frames.double()
        total = (values * values).sum((1, 2, 3))
        low = rows @ (values @ columns.T)
        energy = total - (low * low).sum((1, 2, 3))
        energies.append(energy.where(energy > HF_FLOOR * total, torch.zeros_like(energy)))
    real, imagined = energies
    return (imagined / real).where(real > 0, torch.full_like(real, torch.nan))


def _low_frequencies(size: int, device: torch.device) -> Tensor:
    """Orthonormal cosines and sines of frequencies up to the cutoff: float64 (k, size)."""
    where = 2 * np.pi * np.arange(size) / size
    waves = [np.full(size, np.sqrt(1 / size))]
    for number in range(1, int(HF_CUTOFF * size) + 1):
        waves += [np.sqrt(2 / size) * wave(number * where) for wave in (np.cos, np.sin)]
    return torch.from_numpy(np.stack(waves)).to(device)


def _halve(values: Tensor) -> Tensor:
    """Sums of 2x2 pixels (four times the mean), an odd last row or column left out: int64."""
    height, width = (size // 2 * 2 for size in values.shape[-2:])
    even = values[..., :height, :width].long()
    rows = even[..., ::2, :] + even[..., 1::2, :]
    return rows[..., ::2] + rows[..., 1::2]


def _halve_mask(mask: Tensor) -> Tensor:
    """Where any of 2x2 pixels is in the mask."""
    height, width = (size // 2 * 2 for size in mask.shape[-2:])
    even = mask[..., :height, :width]
    rows = even[..., ::2, :] | even[..., 1::2, :]
    return rows[..., ::2] | rows[..., 1::2]


def _product(means: list[Tensor]) -> Tensor:
    """Weighted geometric mean over scales; a negative mean counts as 0, NaN stays."""
    product = torch.ones_like(means[0])
    for mean, weight in zip(means, MS_SSIM_WEIGHTS, strict=False):
        product = product * mean.clamp(min=0) ** weight
    return product


def _inner(values: Tensor, border: int) -> Tensor:
    """Only windows that lie inside the frame."""
    return values[..., border:-border, border:-border] if border else values


def _sum(values: Tensor, where: Tensor | None) -> Tensor:
    """Sum of int32 (n, 3, h, w) over all or where a mask is: float64 (n,), exact.

    The sum of a row fits in 32 bits, which spares a copy of everything to 64.
    """
    rows = (values if where is None else values * where).sum(-1, dtype=torch.int32)
    return rows.sum((1, 2)).double()


def _count(mask: Tensor) -> Tensor:
    return mask.sum((1, 2)).double()


def _mean(values: Tensor) -> Tensor:
    return values.mean((1, 2, 3), dtype=torch.float64)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the pixels of a mask and all channels; NaN for an empty mask."""
    inside = values.sum(1, dtype=torch.float64) * mask
    return inside.sum((1, 2)) / (values.shape[1] * _count(mask))
