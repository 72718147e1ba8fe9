"""``make mutants``: each mistake of ``tests/simulation/mutants/*.patch`` is made in a copy of the tree, and caught.

A patch begins with what the mistake is, and ``faults:`` with what brings it to light, each kind with how often it
strikes per second if that is not as usual (``crash of all 0.4``).  The copy is at ``build/mutants``; a kernel that is
patched is built there.  Seeds are run until one shows an invariant broken; without the mistake the same seeds must
come to a good end, or it would be something else that was caught.
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
for seed in range(1, {count} + 1):
    try:
        ClusterSimulation(seed, faults={faults}).run()
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


def read_faults(line: str) -> dict[str, float]:
    """How often what strikes, of a patch's second line."""
    rates = {}
    for part in line.removeprefix("faults:").split(","):
        kind, _, rate = part.strip().rpartition(" ")
        if rate.replace(".", "").isdigit():
            rates[kind] = float(rate)
        else:
            rates[part.strip()] = FAULT_RATE
    return rates


def run_seeds(tree: Path, faults: dict[str, float], count: int) -> tuple[int, str]:
    """Those from 1 to ``count``: the first one that fails and what is wrong, or (0, "")."""
    program = PROGRAM.format(faults=faults, count=count)
    environment = {**os.environ, "PYTHONPATH": str(tree), "RUST_BACKTRACE": "0"}
    run = subprocess.run([sys.executable, "-c", program], cwd=tree, env=environment, capture_output=True, text=True)
    if not run.returncode:
        return 0, ""
    assert run.stdout, run.stderr
    number, _, what = run.stdout.splitlines()[-1].removeprefix("seed ").partition(": ")
    return int(number), what


def is_caught(patch: Path) -> bool:
    """Makes the mistake, and looks for it; and sees that it is not there when it isn't made."""
    text = patch.read_text()
    what, line = text.splitlines()[:2]
    faults = read_faults(line)
    copy_tree()
    subprocess.run(["patch", "-s", "-p1", "-i", str(patch)], cwd=TREE, check=True)
    build_kernel("+++ b/kernel/src" in text)
    seed, found = run_seeds(TREE, faults, SEED_COUNT_MAX)
    print(f"{patch.stem}: {what}\n    {f'seed {seed}: {found}' if seed else 'not caught'}", flush=True)
    if not seed:
        return False
    other, wrong = run_seeds(ROOT, faults, seed)
    told = f"seed {other}: {wrong}" if other else f"seeds 1 to {seed} are good"
    print(f"    without it {told}", flush=True)
    return not other


def main() -> int:
    chosen = [patch for patch in sorted(PATCHES.glob("*.patch")) if not sys.argv[1:] or patch.stem in sys.argv[1:]]
    return 0 if all([is_caught(patch) for patch in chosen]) else 1


if __name__ == "__main__":
    sys.exit(main())
