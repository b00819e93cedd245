"""Tags of runs in the tracking store that say where a result comes from."""

from diamond.engine.declaration_timing import verdict_text
from diamond.results.model import Result


def made_by(outcome: Result) -> dict[str, str]:
    """The tags that say what made a result."""
    return {
        "diamond.dirty": str(outcome.provenance.dirty),
        "diamond.device": str(outcome.provenance.device),
    }


def provenance(outcome: Result) -> dict[str, str]:
    """The tags that say what made a run, in the words of MLflow where it has them."""
    commit = outcome.provenance.git_commit
    tags = {"mlflow.source.type": "LOCAL", "mlflow.source.name": "diamond"} | made_by(outcome)
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def claim_tags(outcome: Result) -> dict[str, str]:
    """The hash of the claims, when they were declared, and the verdicts so far."""
    declared = outcome.declaration
    if declared is None:
        return {}
    tags = {
        "diamond.claims.hash": declared.hash,
        "diamond.claims.declared_at": str(declared.declared_at),
        "diamond.claims.status": declared.status,
    }
    return tags | {
        f"diamond.claim.{row.name}": verdict_text(row.verdict, row.within_model, declared.post_hoc)
        for row in outcome.claims
    }
