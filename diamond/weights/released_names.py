"""Names of tensors in agents of the released code and in the networks here, both ways.

Tensors pass through untouched; nothing is read, built or downloaded here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from diamond.errors import WeightsError, nearest

PARTS = ("denoiser", "reward_end", "policy")
"""The three trained networks: `Denoiser`, `RewardEndNet`, `ActorCriticNet`."""

_Side = Literal["ours", "released"]

_PREFIXES: Mapping[str, str] = {
    "denoiser": "denoiser.inner_model.",
    "reward_end": "rew_end_model.",
    "policy": "actor_critic.",
}
_WHERE: Mapping[_Side, str] = {"ours": "state dict", "released": "released agent"}
_WRAPPERS = frozenset({"_orig_mod", "module"})
"""What compiling and training on several devices put between the names of modules."""
_LSTM_LEAVES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@dataclass(frozen=True)
class _Module:
    """One module with weights, by its name on either side."""

    ours: str
    released: str
    leaves: tuple[str, ...] = ("weight", "bias")
    optional: bool = False

    def inside(self, ours: str, released: str) -> "_Module":
        return replace(self, ours=f"{ours}.{self.ours}", released=f"{released}.{self.released}")

    def pairs(self) -> Iterator[tuple[str, str]]:
        for leaf in self.leaves:
            yield f"{self.ours}.{leaf}", f"{self.released}.{leaf}"


_SKIP = _Module("skip", "proj")
_OPTIONAL_SKIP = _Module("skip", "proj", optional=True)
_RESIDUAL = (
    _Module("norm1.linear", "norm1.linear"),
    _Module("conv1", "conv1"),
    _Module("norm2.linear", "norm2.linear"),
    _Module("conv2", "conv2"),
)
_ATTENTION = (
    _Module("attention.norm", "attn.norm.norm"),
    _Module("attention.qkv", "attn.qkv_proj"),
    _Module("attention.out", "attn.out_proj"),
)
_PLAIN = (
    _Module("skip", "skip_projection", optional=True),
    _Module("norm", "f.0.norm"),
    _Module("conv", "f.2"),
)


def from_released(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Rename the tensors of a released agent for the three networks of this project.

    Args:
        state: The flat state dict of a released agent; names may hold those of wrappers.

    Returns:
        One state dict for each part, ready for `load_state_dict` with strict=True.

    Raises:
        WeightsError: A tensor has a name that the released agent does not know, or one is missing.

    Source: released code of arXiv:2405.12399, `src/models`.
    """
    state = _unwrapped(state)
    known = tuple(_PREFIXES.values())
    for name in state:
        if not name.startswith(known):
            expected = f"it begins with one of {', '.join(known)}"
            raise WeightsError(
                f"{_WHERE['released']}: unknown tensor {name!r}; expected: {expected}"
            )
    parts: dict[str, dict[str, Tensor]] = {}
    for part, prefix in _PREFIXES.items():
        own = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
        parts[part] = {
            ours: own[released] for ours, released in _translate(part, own.keys(), "released")
        }
    return parts


def to_released(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Rename the tensors of the three networks for a released agent.

    Args:
        parts: A state dict for each of the three parts.

    Returns:
        The flat state dict of a released agent.

    Raises:
        WeightsError: A part or a tensor is missing, or has a name that is not known.

    Source: released code of arXiv:2405.12399, `src/models`.
    """
    if set(parts) != set(PARTS):
        raise WeightsError(
            f"released agent: got the parts {sorted(parts)}; expected: {sorted(PARTS)}"
        )
    return {
        _PREFIXES[part] + released: parts[part][ours]
        for part in PARTS
        for ours, released in _translate(part, parts[part].keys(), "ours")
    }


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by their names without those of wrappers."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        plain = ".".join(word for word in name.split(".") if word not in _WRAPPERS)
        if plain in found:
            raise WeightsError(
                f"{_WHERE['released']}: {name!r} is {plain!r} once more; expected: each tensor once"
            )
        found[plain] = tensor
    return found


def _translate(part: str, names: Iterable[str], side: _Side) -> list[tuple[str, str]]:
    """Pairs (ours, released) for all `names`, which must be exactly those of one network."""
    present = set(names)
    column = 0 if side == "ours" else 1
    pairs: list[tuple[str, str]] = []
    for module in _modules(part, present, side):
        own = list(module.pairs())
        if not module.optional or any(pair[column] in present for pair in own):
            pairs += own
    expected = {pair[column] for pair in pairs}
    prefix = _PREFIXES[part] if side == "released" else ""
    for name in sorted(present - expected):
        match = nearest(name, expected)
        hint = f"the nearest name is {prefix + match!r}" if match else "no name is like it"
        raise WeightsError(
            f"{_WHERE[side]}: unknown tensor {prefix + name!r} of the {part}; expected: one of "
            f"{len(expected)} names, {hint}"
        )
    for name in sorted(expected - present):
        raise WeightsError(
            f"{_WHERE[side]}: missing tensor {prefix + name!r} of the {part}; expected: all of "
            f"{len(expected)} tensors, {len(expected & present)} are there"
        )
    return pairs


def _modules(part: str, names: set[str], side: _Side) -> Iterator[_Module]:
    match part:
        case "denoiser":
            yield from _denoiser(names, side)
        case "reward_end":
            yield from _reward_end(names, side)
        case _:
            yield from _policy(names, side)


def _denoiser(names: set[str], side: _Side) -> Iterator[_Module]:
    yield _Module("net.noise_features", "noise_emb", ("weight",))
    yield _Module("net.action_embedding", "act_emb.0", ("weight",))
    yield _Module("net.cond.0", "cond_proj.0")
    yield _Module("net.cond.2", "cond_proj.2")
    yield _Module("net.conv_in", "conv_in")
    yield _Module("net.norm_out", "norm_out.norm")
    yield _Module("net.conv_out", "conv_out")
    ours, released = "net.unet", "unet"
    depths = _depths(
        names,
        r"net\.unet\.down\.(\d{1,3})\.(\d{1,3})\."
        if side == "ours"
        else r"unet\.d_blocks\.(\d{1,3})\.resblocks\.(\d{1,3})\.",
    )
    for level, depth in enumerate(depths):
        for index in range(depth):
            yield from _block(
                f"{ours}.down.{level}.{index}", f"{released}.d_blocks.{level}.resblocks.{index}"
            )
    for level, depth in enumerate(reversed(depths)):
        for index in range(depth + 1):
            # The way up always narrows: it reads its input and a skip.
            where = (
                f"{ours}.up.{level}.{index}",
                f"{released}.u_blocks.{level}.resblocks.{index}",
            )
            yield from (module.inside(*where) for module in (_SKIP, *_RESIDUAL))
    attention = any(
        ".middle.0.attention." in n or "mid_blocks.resblocks.0.attn." in n for n in names
    )
    for index in range(2):
        where = f"{ours}.middle.{index}", f"{released}.mid_blocks.resblocks.{index}"
        extra = _ATTENTION if attention else ()
        yield from (module.inside(*where) for module in (*_RESIDUAL, *extra))
    for way in ("downsamples", "upsamples"):
        for index in range(len(depths) - 1):
            yield _resampling(f"{ours}.{way}", f"{released}.{way}", index)


def _reward_end(names: set[str], side: _Side) -> Iterator[_Module]:
    yield _Module("action_embedding", "act_emb", ("weight",))
    yield _Module("encoder.conv_in", "encoder.conv_in")
    yield _Module("lstm", "lstm", tuple(f"{leaf}_l0" for leaf in _LSTM_LEAVES))
    yield _Module("head.0", "head.0")
    yield _Module("head.2", "head.2", ("weight",))
    if side == "ours":
        depths = _depths(names, r"encoder\.levels\.(\d{1,3})\.(\d{1,3})\.")
    else:
        # There the blocks after the last level are one more entry of the same list.
        depths = _depths(names, r"encoder\.blocks\.(\d{1,3})\.resblocks\.(\d{1,3})\.")
        depths = depths[:-1] or depths
    for level, depth in enumerate(depths):
        for index in range(depth):
            yield from _block(
                f"encoder.levels.{level}.{index}", f"encoder.blocks.{level}.resblocks.{index}"
            )
    for index in range(2):
        where = f"encoder.last.{index}", f"encoder.blocks.{len(depths)}.resblocks.{index}"
        yield from (module.inside(*where) for module in (*_RESIDUAL, *_ATTENTION))
    for index in range(len(depths) - 1):
        yield _resampling("encoder.downsamples", "encoder.downsamples", index)


def _policy(names: set[str], side: _Side) -> Iterator[_Module]:
    yield _Module("lstm", "lstm", _LSTM_LEAVES)
    yield _Module("actor", "actor_linear")
    yield _Module("critic", "critic_linear")
    yield _Module("encoder.0", "encoder.encoder.0")
    pattern = re.compile(
        r"encoder\.(\d{1,3})\." if side == "ours" else r"encoder\.encoder\.(\d{1,3})\."
    )
    indices = [int(found[1]) for name in names if (found := pattern.match(name))]
    # Blocks are the odd entries, each is followed by a pooling without weights.
    for index in range(1, max((1, *indices)) + 1, 2):
        where = f"encoder.{index}", f"encoder.encoder.{index}"
        yield from (module.inside(*where) for module in _PLAIN)


def _block(ours: str, released: str) -> Iterator[_Module]:
    for module in (_OPTIONAL_SKIP, *_RESIDUAL):
        yield module.inside(ours, released)


def _resampling(ours: str, released: str, index: int) -> _Module:
    # Entry 0 of the released list is an identity.
    return _Module(f"{ours}.{index}.conv", f"{released}.{index + 1}.conv")


def _depths(names: Iterable[str], pattern: str) -> tuple[int, ...]:
    """Blocks of each level; at least one level with one block, so that what lacks is named."""
    compiled = re.compile(pattern)
    found: dict[int, int] = {}
    for name in names:
        if match := compiled.match(name):
            level, index = int(match[1]), int(match[2])
            found[level] = max(found.get(level, 1), index + 1)
    return tuple(found.get(level, 1) for level in range(max(found, default=0) + 1))
