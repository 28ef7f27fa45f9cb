"""Is this directory a bundle that may predict, here and now?

``load_bundle`` answers with a ``LoadedBundle`` or raises ``BundleError`` with the reason; there is nothing between.
In this order: hashes and completeness; every part readable and fitting the others; the feature contract equal to the
running kernel's; every model readable with as many features; golden bars reproduced (features bit for bit,
probabilities within 1e-12); outputs that vary. Nothing is fitted, filled in, guessed or searched for, and neither
MLflow nor the network is touched.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.contract import FeatureContract, FeatureSpec, running_contract
from features.events import EventRule, Sides
from market.barriers import BarrierSpec
from market.candles import Floats, Ints
from market.errors import LockstepError
from market.timeframe import Timeframe
from registry.bundle_files import decode
from registry.bundle_parts import BundleParts
from registry.canonical import sha256_hex
from registry.errors import BundleContractError, BundleError, PredictionError
from registry.golden import golden_features
from registry.manifest import read_sealed
from registry.policy import DecisionPolicy
from registry.predictors import Predictor, ensemble_mean, load_predictor, predict_all
from registry.reference import ReferenceDistributions
from registry.scaler import Scaler
from registry.sides import restrict_to_sides

__all__ = ["LoadedBundle", "load_bundle"]

_TOLERANCE = 1e-12
_PROBES = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedBundle:
    """A verified bundle, ready to predict; immutable, so replacing the reference to it swaps all parts at once.

    ``weights (M,) float64`` in the order of ``model_names``; ``golden_digest`` is the SHA-256 of the probabilities this
    process computed for the golden bars.
    """

    hash: str
    contract: FeatureContract
    label_spec: BarrierSpec
    policy: DecisionPolicy
    scaler: Scaler
    model_names: tuple[str, ...]
    weights: Floats
    events: EventRule
    facts: dict[str, object]
    reference: ReferenceDistributions
    golden_digest: str
    predictors: tuple[Predictor, ...]

    def predict_models(self, X: NDArray[np.float32]) -> Floats:
        """``(n, F) float32`` features to ``(M, n, 3) float64`` calibrated probabilities (HOLD, BUY, SELL).

        In mode ``meta`` the side that the primary rule does not name has probability 0.
        """
        found = predict_all(self.predictors, X)
        return restrict_to_sides(found, self.events.allowed(X, self.contract.names))

    def sides(self, X: NDArray[np.float32], bar_index: Ints) -> Sides:
        """``(n, 2) bool``: the sides open at these rows of bars ``(n,)``; none where nothing is decided."""
        return self.events.sides(X, bar_index, self.contract.names)

    def predict(self, X: NDArray[np.float32]) -> Floats:
        """``(n, F) float32`` features to the weighted mean ``(n, 3) float64``."""
        return ensemble_mean(self.predict_models(X), self.weights)


def load_bundle(
    directory: Path | str, *, expected_hash: str | None, running: FeatureContract | None = None, num_threads: int = 1
) -> LoadedBundle:
    """Verify and load; ``running`` defaults to the contract of this process's kernel with the bundle's own spec.

    Pass ``expected_hash`` whenever the bundle is known by its hash: without it a bundle that was changed and sealed
    again as a whole cannot be told from a new one.
    """
    found, files = read_sealed(Path(directory), expected_hash=expected_hash)
    parts = decode(files)
    _check_contract(parts.contract, running)
    width = len(parts.contract.names)
    predictors = tuple(load_predictor(part, parts.scaler, width, num_threads=num_threads) for part in parts.models)
    probabilities = _check_golden(parts, predictors)
    _check_varies(parts, predictors, probabilities)
    return LoadedBundle(
        hash=found,
        contract=parts.contract,
        label_spec=parts.label_spec,
        policy=parts.policy,
        scaler=parts.scaler,
        model_names=tuple(part.name for part in parts.models),
        weights=parts.weights,
        events=parts.events,
        facts=parts.facts,
        reference=parts.reference,
        golden_digest=sha256_hex(np.ascontiguousarray(probabilities).tobytes()),
        predictors=predictors,
    )


def _check_contract(contract: FeatureContract, running: FeatureContract | None) -> None:
    try:
        here = running or running_contract(
            FeatureSpec(
                timeframe=Timeframe(contract.timeframe_ms),
                reference_symbol=contract.reference_symbol,
                block_bars=contract.block_bars,
                warmup_bars=contract.warmup_bars,
                max_filled=contract.max_filled,
                fill_window_bars=contract.fill_window_bars,
                funding_required=contract.funding_required,
            )
        )
        contract.require_equal(here)
    except LockstepError as bad:
        raise BundleContractError(
            f"the bundle's feature contract {contract.fingerprint} is not the running kernel's ({bad.what})",
            why="the models would read other numbers than they were trained on",
            remedy="serve it with the release it was made with, or train again with this one",
        ) from bad


def _check_golden(parts: BundleParts, predictors: tuple[Predictor, ...]) -> Floats:
    """The probabilities of the golden bars as computed here, ``(M, n, 3)``."""
    golden = parts.golden
    try:
        X = golden_features(golden.inputs, parts.contract, rows=golden.features.shape[0])
    except BundleError:
        raise
    except (LockstepError, ValueError, IndexError) as bad:
        raise _golden_refused(f"their features cannot be computed ({bad})") from bad
    if X.tobytes() != golden.features.tobytes():
        differs = np.flatnonzero((X.view(np.uint32) != golden.features.view(np.uint32)).any(axis=0))
        names = ", ".join(parts.contract.names[int(f)] for f in differs[:3])
        raise _golden_refused(f"{differs.size} features come out differently ({names})")
    try:
        found = predict_all(predictors, X)
    except PredictionError as bad:
        raise _golden_refused(bad.what) from bad
    worst = np.abs(found - golden.probabilities).max(axis=(1, 2))
    if not (worst <= _TOLERANCE).all():
        m = int(np.argmax(np.where(np.isnan(worst), np.inf, worst)))
        raise _golden_refused(f"model {parts.models[m].name} is off by {worst[m]:.1e}")
    return found


def _check_varies(parts: BundleParts, predictors: tuple[Predictor, ...], probabilities: Floats) -> None:
    """Refuse a model that gives one answer to everything: golden bars and random draws from training's deciles."""
    edges = parts.reference.feature_edges
    pick = np.random.default_rng(0).integers(0, edges.shape[1], size=(_PROBES, edges.shape[0]))
    probes = edges[np.arange(edges.shape[0]), pick].astype(np.float32)
    for predictor, golden in zip(predictors, probabilities, strict=True):
        try:
            spread = np.concatenate((golden, predictor.predict(probes))).std(axis=0).max()
        except PredictionError as bad:
            raise _constant(predictor.name, bad.what) from bad
        if spread < 1e-9:
            raise _constant(predictor.name, "gives one and the same answer to everything")


def _constant(name: str, what: str) -> BundleError:
    return BundleError(
        f"model {name}: {what}",
        why="such a model has learnt nothing, whatever its scores say",
        remedy="look at its training data and train again",
    )


def _golden_refused(what: str) -> BundleError:
    return BundleError(
        f"golden bars do not reproduce: {what}",
        why="this process does not compute what was tested",
        remedy="serve the bundle with the release and platform it was made with, or train again here",
    )
