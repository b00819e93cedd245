"""Whether a config, made by mixing others, is a model that can run."""

from diamond.config.overrides import validated
from diamond.config.run import RunConfig
from diamond.config.worlds import family_of
from diamond.errors import RequestError


def invalid_reason(config: RunConfig) -> str | None:
    """Say in one line why a config is no model, or None where it is one.

    Args:
        config: It may have been put together without validation.
    """
    try:
        validated(config.model_dump(), {})
    except RequestError as error:
        _, *lines, _ = str(error).splitlines()
        return "; ".join(line.strip() for line in lines)
    return family_of(config).doubt(config.world)
