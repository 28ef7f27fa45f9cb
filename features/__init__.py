"""What is known at the close of a bar: one compiled kernel, its definitions, and the contract over both.

Batch and stream run the same step, so what a model is trained on and what it is served are the same bytes. A row is
a function of at most ``block + warmup`` bars. No I/O, no settings, no clock; nothing is ever filled backwards.
"""

from features.batch import FeatureBlock, compute_features, compute_many
from features.contract import FeatureContract, FeatureSpec, running_contract
from features.definitions import FEATURES, FeatureDefinition
from features.errors import ContractError, FeatureError
from features.events import EventRule
from features.inputs import BarInputs, Column, assemble_inputs
from features.primary_rule import PrimaryRule
from features.reasons import Reason, describe
from features.stream import FeatureStream, FeatureStreams

__all__ = [
    "FEATURES",
    "BarInputs",
    "Column",
    "ContractError",
    "EventRule",
    "FeatureBlock",
    "FeatureContract",
    "FeatureDefinition",
    "FeatureError",
    "FeatureSpec",
    "FeatureStream",
    "FeatureStreams",
    "PrimaryRule",
    "Reason",
    "assemble_inputs",
    "compute_features",
    "compute_many",
    "describe",
    "running_contract",
]
