"""The mathematics of diffusion: coefficients, noise laws, solvers, quantisers; no network.

Noise levels as plain floats are in `diamond.config.levels`.
"""
