"""The optimiser: which weights decay, the learning rate, clipping."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from diamond.config.networks import OptimizerConfig
from diamond.rng import torch_generator
from diamond.seeds import Purpose
from diamond.training.optimizer import apply_update, learning_rate, make_optimizer

OPTIMIZER = OptimizerConfig(
    lr=3e-3, weight_decay=1e-2, eps=1e-8, warmup_updates=5, schedule="cosine", max_grad_norm=1.0
)


class Mixed(nn.Module):
    """One layer of each kind that the optimiser tells apart."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.conv = nn.Conv2d(2, 3, 3)
        self.lstm = nn.LSTM(2, 3)
        self.cell = nn.LSTMCell(2, 3)
        self.norm = nn.GroupNorm(1, 4)
        self.embedding = nn.Embedding(5, 2)
        self.register_buffer("features", torch.ones(3))


def test_only_weights_of_linear_convolution_and_lstm_decay() -> None:
    module = Mixed()
    optimizer = make_optimizer(module, OPTIMIZER)
    decayed = {id(p) for p in optimizer.param_groups[0]["params"]}
    kept = {id(p) for p in optimizer.param_groups[1]["params"]}
    assert [group["weight_decay"] for group in optimizer.param_groups] == [1e-2, 0.0]
    named = dict(module.named_parameters())
    assert {name for name in named if id(named[name]) in decayed} == {
        "linear.weight",
        "conv.weight",
        "lstm.weight_ih_l0",
        "lstm.weight_hh_l0",
        "cell.weight_ih",
        "cell.weight_hh",
    }
    assert not decayed & kept
    assert len(decayed | kept) == len(named)
    assert {group["eps"] for group in optimizer.param_groups} == {1e-8}


def test_the_optimiser_is_adamw_to_the_bit() -> None:
    generator = torch_generator(0, Purpose.POLICY_NOISE, 0)
    ours = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    theirs = copy.deepcopy(ours)
    groups = make_optimizer(ours, OPTIMIZER).param_groups
    others = dict(zip(ours.parameters(), theirs.parameters(), strict=True))
    plain = [{**group, "params": [others[p] for p in group["params"]]} for group in groups]
    optimizers = (make_optimizer(ours, OPTIMIZER), torch.optim.AdamW(plain))
    for _ in range(5):
        inputs = torch.randn(16, 4, generator=generator)
        for module, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            module(inputs).square().sum().backward()
            optimizer.step()
    assert all(torch.equal(parameter, other) for parameter, other in others.items())


def test_decay_alone_shrinks_the_weights_by_lr_times_decay() -> None:
    module = nn.Linear(3, 2)
    before, bias = module.weight.detach().clone(), module.bias.detach().clone()
    config = OPTIMIZER.model_copy(update={"warmup_updates": 0, "schedule": "constant", "lr": 0.1})
    loss = (module.weight * 0).sum() + (module.bias * 0).sum()
    apply_update(loss, {}, module, make_optimizer(module, config), config, (0, 1))
    # Decoupled decay with zero gradient, one float32 product.
    assert torch.allclose(module.weight.detach(), before * (1 - 0.1 * 1e-2), rtol=1e-6)
    assert torch.equal(module.bias.detach(), bias)


def test_warm_up_and_cosine() -> None:
    config = OPTIMIZER.model_copy(update={"lr": 1.0, "warmup_updates": 4})
    rates = [learning_rate(config, update, 12) for update in range(12)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[6] == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert rates[8] == pytest.approx(0.5)
    assert 0 < rates[11] < 0.05
    constant = config.model_copy(update={"schedule": "constant"})
    assert [learning_rate(constant, update, 12) for update in (0, 4, 11)] == [0.25, 1.0, 1.0]


@given(st.integers(0, 30), st.integers(1, 200), st.sampled_from(["constant", "cosine"]))
def test_the_rate_is_positive_and_never_above_lr(warmup: int, total: int, schedule: str) -> None:
    config = OPTIMIZER.model_copy(update={"warmup_updates": warmup, "schedule": schedule})
    rates = [learning_rate(config, update, total) for update in range(total)]
    # One float64 product and one quotient round.
    assert all(0 < rate <= config.lr * (1 + 1e-12) for rate in rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)


def test_gradients_are_clipped_to_the_norm() -> None:
    """Before Adam rescales it, the gradient has norm 1: seen in its first moment, (1 - .9) g."""
    module = nn.Linear(3, 2)
    optimizer = make_optimizer(module, OPTIMIZER)
    loss = 1000 * module(torch.ones(1, 3)).sum()
    parts = {"reward_loss": torch.tensor(0.25)}
    values = apply_update(loss, parts, module, optimizer, OPTIMIZER, (0, 10))
    assert values["reward_loss"] == 0.25
    # d/dW is 1000 in all six weights, 1000 in both biases.
    assert values["grad_norm"] == pytest.approx(1000 * math.sqrt(8), rel=1e-5)
    moments = [optimizer.state[p]["exp_avg"].square().sum() for p in module.parameters()]
    assert float(torch.stack(moments).sum().sqrt()) == pytest.approx(0.1, rel=1e-5)
