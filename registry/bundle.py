"""What is a bundle, and how is one made and used?

One directory that holds everything between bars and decision, sealed by the hash of its manifest:

    bundle_hash = seal(BundleParts(...), directory)
    bundle = load_bundle(directory, expected_hash=bundle_hash)
    probabilities = bundle.predict(X)

``bundle_parts`` says what belongs to it, ``bundle_files`` in which files, ``manifest`` and ``load`` when it is refused.
"""

from registry.bundle_parts import REQUIRED_FACTS, BundleParts, GoldenBars
from registry.golden import GOLDEN_ROWS, make_golden
from registry.load import LoadedBundle, load_bundle
from registry.reference import ReferenceDistributions, reference_distributions
from registry.seal import seal

__all__ = [
    "GOLDEN_ROWS",
    "REQUIRED_FACTS",
    "BundleParts",
    "GoldenBars",
    "LoadedBundle",
    "ReferenceDistributions",
    "load_bundle",
    "make_golden",
    "reference_distributions",
    "seal",
]
