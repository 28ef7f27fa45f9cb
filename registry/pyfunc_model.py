"""What does MLflow run when somebody loads a registered bundle?

Models-from-code: MLflow copies this file into the model and executes it, so that ``mlflow models serve`` and
``mlflow.pyfunc.load_model`` give the same bits as the worker. Loading goes through ``load_bundle``; a bundle that was
touched is refused here too. Input: one column a feature. MLflow's schema speaks double, so columns are brought back
to float32, which is exact for every value the kernel makes. This is the one module that imports MLflow at the top:
nothing but MLflow executes it.
"""

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pandas import DataFrame

from registry.load import LoadedBundle, load_bundle

__all__ = ["BundleModel"]


class BundleModel(PythonModel):
    """Ensemble probabilities of one sealed bundle, columns ``p_hold``, ``p_buy``, ``p_sell``."""

    bundle: LoadedBundle | None = None

    def load_context(self, context: PythonModelContext) -> None:
        """Verify and load the bundle that travels in the model's artifacts."""
        self.bundle = self._loaded(context)

    def _loaded(self, context: PythonModelContext) -> LoadedBundle:
        return load_bundle(context.artifacts["bundle"], expected_hash=context.model_config["bundle_hash"])

    def predict(
        self,
        context: PythonModelContext,
        model_input: DataFrame,
        params: dict[str, object] | None = None,  # noqa: ARG002  # MLflow's signature
    ) -> DataFrame:
        """Probabilities, one row per row of features, in order."""
        bundle = self.bundle or self._loaded(context)
        X = model_input[list(bundle.contract.names)].to_numpy(dtype=np.float64).astype(np.float32)
        return DataFrame(bundle.predict(np.ascontiguousarray(X)), columns=["p_hold", "p_buy", "p_sell"])


set_model(BundleModel())
