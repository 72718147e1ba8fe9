"""``make mutants``: each mistake of ``tests/simulation/mutants/*.patch`` is made in a copy of the tree, and caught.

A patch begins with what the mistake is, and ``faults:`` with the kinds that bring it to light.  The copy is at
``build/mutants``; a kernel that is patched is built there.  Seeds are run until one shows an invariant broken.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PATCHES = ROOT / "tests" / "simulation" / "mutants"
TREE = ROOT / "build" / "mutants" / "tree"
SEED_COUNT_MAX = 500
FAULT_RATE = 0.2
LIBRARY = "_kernel.abi3.so"
QUICK_BUILD = {
    "CARGO_PROFILE_RELEASE_LTO": "off",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
    "CARGO_PROFILE_RELEASE_INCREMENTAL": "true",
    "CARGO_PROFILE_RELEASE_DEBUG": "0",
}
PROGRAM = """
import logging, sys, structlog
from tests.simulation.cluster.simulation import ClusterSimulation
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
faults = {{kind: {rate} for kind in {kinds}}}
for seed in range(1, {count} + 1):
    try:
        ClusterSimulation(seed, faults=faults).run()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        print(f"seed {{seed}}: {{type(error).__name__}} {{chr(32).join(str(error).split())}}"[:300])
        sys.exit(1)
"""


def copy_tree() -> None:
    """What git knows of the tree; files that are the same keep their times, so that little is built anew."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, TREE / name
        if target.exists() and filecmp.cmp(source, target, shallow=False):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def build_kernel(patched: bool) -> None:
    """The copy's kernel: the tree's own, if it is not patched."""
    target = TREE / "kernel" / LIBRARY
    if not patched:
        shutil.copy(ROOT / "kernel" / LIBRARY, target)
        return
    folder = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "build" / "mutants" / "target"))
    environment = {**os.environ, **QUICK_BUILD, "CARGO_TARGET_DIR": folder, "PYO3_PYTHON": sys.executable}
    command = ["cargo", "build", "-q", "--release", "--locked", "--lib", "--manifest-path", "kernel/Cargo.toml"]
    subprocess.run(command, cwd=TREE, env=environment, check=True)
    target.unlink(missing_ok=True)
    shutil.copy(Path(folder) / "release" / "lib_kernel.so", target)


def is_caught(patch: Path) -> bool:
    """Makes the mistake, and looks for it."""
    text = patch.read_text()
    what, faults = text.splitlines()[:2]
    kinds = [kind.strip() for kind in faults.removeprefix("faults:").split(",")]
    copy_tree()
    subprocess.run(["patch", "-s", "-p1", "-i", str(patch)], cwd=TREE, check=True)
    build_kernel("+++ b/kernel/src" in text)
    program = PROGRAM.format(rate=FAULT_RATE, kinds=kinds, count=SEED_COUNT_MAX)
    environment = {**os.environ, "PYTHONPATH": str(TREE), "RUST_BACKTRACE": "0"}
    run = subprocess.run([sys.executable, "-c", program], cwd=TREE, env=environment, capture_output=True, text=True)
    found = run.stdout.splitlines()[-1] if run.stdout else "not caught"
    print(f"{patch.stem}: {what}\n    {found}", flush=True)
    return run.returncode == 1 and bool(run.stdout)


def main() -> int:
    chosen = [patch for patch in sorted(PATCHES.glob("*.patch")) if not sys.argv[1:] or patch.stem in sys.argv[1:]]
    return 0 if all([is_caught(patch) for patch in chosen]) else 1


if __name__ == "__main__":
    sys.exit(main())
