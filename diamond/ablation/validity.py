"""Whether a config, made by mixing others, is a model that can run."""

from pydantic import ValidationError

from diamond.config.overrides import explain
from diamond.config.run import RunConfig
from diamond.config.training_levels import out_of_training


def invalid_reason(config: RunConfig) -> str | None:
    """Say in one line why a config is no model, or None where it is one.

    Args:
        config: It may have been put together without validation.
    """
    try:
        RunConfig.model_validate(config.model_dump())
    except ValidationError as error:
        _, *lines, _ = explain(error, {}).splitlines()
        return "; ".join(line.strip() for line in lines)
    return out_of_training(config.denoiser, config.sampler)
