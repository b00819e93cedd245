"""Places in Optuna's dashboard, as links; nothing is opened."""

DASHBOARD_PORT = 8080


def dashboard_link(port: int = DASHBOARD_PORT) -> str:
    """The table of studies."""
    return f"http://127.0.0.1:{port}/dashboard"


def dashboard_study_link(study_id: int, port: int = DASHBOARD_PORT) -> str:
    """The page of a study.

    Args:
        study_id: Number of the study in its storage, not its name.
        port: Where `diamond ui --studies` serves.
    """
    return f"{dashboard_link(port)}/studies/{study_id}"


def dashboard_trial_link(study_id: int, trial_number: int, port: int = DASHBOARD_PORT) -> str:
    """The page of one trial: values, parameters, attributes.

    Args:
        study_id: Number of the study in its storage, not its name.
        trial_number: Number of the trial in its study, from 0.
        port: Where `diamond ui --studies` serves.
    """
    return f"{dashboard_study_link(study_id, port)}/trials?numbers={trial_number}"
