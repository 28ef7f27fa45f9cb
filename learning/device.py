"""Is there the device that training was told to use?

Asked once, before any data is read: a training that was told to use a GPU never falls back to the CPU in silence. Of
today's models XGBoost has CUDA in its published wheels; LightGBM's have none and the linear model needs none, so these
stay on the CPU, and the facts of a training say which model ran where. Equal bytes are promised on the CPU only: sums
on a GPU come in an order that nobody fixes.
"""

import ctypes
from collections.abc import Callable, Sequence

from learning.config import Device
from learning.errors import DeviceError
from learning.trainers import TRAINERS
from registry.predictors import ModelKind

__all__ = ["cuda_devices", "devices_used", "require_device", "xgboost_has_cuda"]


def xgboost_has_cuda() -> bool:
    """Whether the installed XGBoost was built with CUDA (``xgboost-cpu`` was not)."""
    import xgboost as xgb

    return bool(xgb.build_info().get("USE_CUDA", False))


def cuda_devices(driver: str = "libcuda.so.1") -> int:
    """How many CUDA devices this process may see, asked of NVIDIA's driver; 0 without a driver."""
    try:
        library = ctypes.CDLL(driver)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if library.cuInit(0) != 0 or library.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def require_device(
    device: Device,
    *,
    built: Callable[[], bool] = xgboost_has_cuda,
    visible: Callable[[], int] = cuda_devices,
) -> None:
    """Raise ``DeviceError`` unless models can be fitted on ``device`` here."""
    if device == "cpu":
        return
    remedy = "set training.device to cpu, or "
    if not built():
        raise DeviceError(
            "training.device is cuda, but XGBoost was installed without CUDA",
            why="it would be fitted on the CPU, which is not what was asked for",
            remedy=remedy + "install the xgboost wheel in place of xgboost-cpu",
        )
    if visible() < 1:
        raise DeviceError(
            "training.device is cuda, but this process sees no NVIDIA GPU",
            why="models would be fitted on the CPU, which is not what was asked for",
            remedy=remedy + "train where nvidia-smi lists a GPU (CUDA_VISIBLE_DEVICES may hide it)",
        )


def devices_used(kinds: Sequence[ModelKind], device: Device) -> dict[str, Device]:
    """Where each kind is fitted when training is told to use ``device``."""
    return {kind: device if device in TRAINERS[kind].devices else "cpu" for kind in kinds}
