"""How a process that computes is set up, in one place."""

import torch


def prepare_process(threads: int) -> None:
    """Set a process up for arithmetic on so many threads."""
    torch.set_num_threads(threads)
