"""Is the system still what it was when it was tested? Parity of served features, drift against training."""

from prefect import flow

from tasks.artifacts import show_counts, show_table
from tasks.monitoring import audit_parity, measure_drift

__all__ = ["drift", "parity"]


@flow(name="parity", flow_run_name="parity")
def parity(home: str) -> dict[str, object]:
    """Recompute every served feature row and compare bytes."""
    done = audit_parity(home)
    show_counts("parity", done, title="Parity of served features")
    return done


@flow(name="drift", flow_run_name="drift")
def drift(home: str, html: bool = False) -> dict[str, object]:
    """Compare served rows with the bundle's reference distributions; on demand with Evidently's page."""
    done = measure_drift(home, html=html)
    features = done["features"]
    if isinstance(features, list):
        show_table("drift", features[:20], title=f"Drift: {done['verdict']} ({done['reason']})")
    return done
