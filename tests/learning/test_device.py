"""A GPU that is asked for and not there is a refusal, never a silent CPU."""

import pytest

from learning.device import cuda_devices, devices_used, require_device
from learning.errors import DeviceError


def test_the_cpu_is_always_there():
    """Nothing is asked."""
    require_device("cpu", built=lambda: False, visible=lambda: 0)


def test_a_gpu_that_is_there_is_accepted():
    """XGBoost can, and the driver lists one."""
    require_device("cuda", built=lambda: True, visible=lambda: 1)


@pytest.mark.parametrize(
    ("built", "visible", "said"),
    [
        (
            False,
            1,
            r"installed without CUDA: .*\. What to do: set training\.device to cpu, or install the xgboost wheel",
        ),
        (True, 0, r"sees no NVIDIA GPU: .*CPU, which is not what was asked for\. What to do: .*nvidia-smi"),
    ],
)
def test_what_is_missing_is_said_with_its_remedy(built, visible, said):
    """No CUDA in the library, or no device."""
    with pytest.raises(DeviceError, match=said):
        require_device("cuda", built=lambda: built, visible=lambda: visible)


def test_without_a_driver_there_is_no_device():
    """A library that cannot be loaded counts none."""
    assert cuda_devices("libno-such-driver.so.1") == 0


def test_the_facts_say_which_model_ran_where():
    """Only XGBoost leaves the CPU."""
    kinds = ("lightgbm", "xgboost", "logistic")
    assert devices_used(kinds, "cuda") == {"lightgbm": "cpu", "xgboost": "cuda", "logistic": "cpu"}
    assert set(devices_used(kinds, "cpu").values()) == {"cpu"}
