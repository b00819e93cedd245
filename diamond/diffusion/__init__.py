"""The mathematics of diffusion: grids, preconditioning, solvers, quantisers; no network."""
