"""Grids of noise levels, as plain floats; no solver and no tensor here."""


def karras_levels(
    num_steps: int, sigma_min: float, sigma_max: float, rho: float
) -> tuple[float, ...]:
    """Noise levels of a sampler, strictly decreasing, ended by zero.

    sigma_i = (sigma_max^(1/rho) + i / (n - 1) * (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho

    Args:
        num_steps: Number n of levels above zero, at least 1; a single level is sigma_max.
        sigma_min: Last level above zero.
        sigma_max: First level.
        rho: Curvature; larger puts more levels near sigma_min.

    Returns:
        n + 1 floats, the last is 0.

    Source: Karras et al. 2022 (arXiv:2206.00364), equation 5.
    """
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    last = max(1, num_steps - 1)
    levels = tuple((high + i / last * (low - high)) ** rho for i in range(num_steps))
    return (*levels, 0.0)
