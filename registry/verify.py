"""Does a process that knows nothing get the same answer?

A fresh interpreter loads the bundle, with every check of ``load_bundle``, and reports the digest of the golden bars'
probabilities. What only worked in the training process (a global, a cache, a warm object) fails here.

    python -m registry.verify DIRECTORY HASH
"""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from market.errors import LockstepError
from registry.errors import BundleError
from registry.load import load_bundle

__all__ = ["FreshCheck", "fresh_process_check", "main"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshCheck:
    """What the fresh process found: ``golden_digest`` as in ``LoadedBundle``, ``load_s`` without interpreter start."""

    bundle_hash: str
    golden_digest: str
    load_s: float
    mlflow_imported: bool


def fresh_process_check(directory: Path | str, bundle_hash: str, *, timeout_s: float = 180.0) -> FreshCheck:
    """Load the bundle in a new interpreter; raises ``BundleError`` with that process's reason when it refuses."""
    command = [sys.executable, "-m", "registry.verify", str(directory), bundle_hash]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)  # noqa: S603  # our own module
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as bad:
        raise _failed(str(bad)) from bad
    if done.returncode != 0:
        raise _failed(answer["error"])
    return FreshCheck(**answer)


def main(arguments: list[str]) -> int:
    """Print one JSON object; 0 sound, 1 refused with ``error``."""
    directory, bundle_hash = arguments
    started = time.perf_counter()
    try:
        bundle = load_bundle(directory, expected_hash=bundle_hash)
    except LockstepError as refused:
        sys.stdout.write(json.dumps({"error": str(refused)}) + "\n")
        return 1
    found = FreshCheck(
        bundle_hash=bundle.hash,
        golden_digest=bundle.golden_digest,
        load_s=time.perf_counter() - started,
        mlflow_imported="mlflow" in sys.modules,
    )
    sys.stdout.write(json.dumps(asdict(found)) + "\n")
    return 0


def _failed(why: str) -> BundleError:
    return BundleError(
        "a fresh process could not load the bundle",
        why=why,
        remedy="do not promote it; train and seal again",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
