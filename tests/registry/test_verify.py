"""The round trip through a process that knows nothing."""

from pathlib import Path

import pytest

from registry.bundle import load_bundle
from registry.errors import BundleError
from registry.verify import fresh_process_check
from tests.registry.made_bundles import Sealed


def test_a_fresh_process_finds_the_same_probabilities(sealed: Sealed) -> None:
    """The same digest, and no MLflow on the way."""
    found = fresh_process_check(sealed.directory, sealed.hash)
    here = load_bundle(sealed.directory, expected_hash=sealed.hash)
    assert (found.bundle_hash, found.golden_digest) == (sealed.hash, here.golden_digest)
    assert not found.mlflow_imported
    assert found.load_s > 0.0


def test_a_fresh_process_refuses_with_its_reason(copied: Path, sealed: Sealed) -> None:
    """What the other process says is what the caller reads."""
    (copied / "policy.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"fresh process could not load.*policy\.json has 2 bytes"):
        fresh_process_check(copied, sealed.hash)


def test_other_bundles_have_other_digests(sealed: Sealed, others: tuple[Sealed, ...]) -> None:
    """The digest speaks of the models."""
    digests = {load_bundle(one.directory, expected_hash=one.hash).golden_digest for one in (sealed, *others)}
    assert len(digests) == 3
