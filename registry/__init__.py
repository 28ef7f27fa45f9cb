"""The bundle and its life: sealing, verified loading, MLflow, decision cards, promotion and rollback.

A bundle is one sealed unit of contract, scaler, models, calibration, weights and policy; whatever predicts has
passed ``registry.bundle.load_bundle``. MLflow is known to this room alone. Nothing here fits, tunes, decides a
trade or repairs a bundle, and nothing is ever unpickled.
"""
