"""What happens once per closed bar: view, predict, decide, record.

The decision (one pure function for serving and backtest), the fail-closed table, the worker, the paper ledger, outcome
resolution, parity audit and status live here. Nothing here fits, tunes, guesses or fills in: what cannot be known
becomes a state with a reason. No Prefect, no MLflow, no exchange client.
"""

__all__: list[str] = []
