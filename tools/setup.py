"""Makes ready what the Makefile's targets need, and does nothing when it is there.

``python3 tools/setup.py runtime|test|interop`` checks the tools, makes ``.venv``, installs the locked
packages and builds the release kernel when its sources changed.  Standard library only, since it
runs before anything is installed.  Several may run at once: they wait for each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
KERNEL = ROOT / "kernel" / "_kernel.abi3.so"
PYTHON_MIN = (3, 11)


class Tool(NamedTuple):
    """A program we need, and what to tell somebody who lacks it."""

    command: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.command} is missing: {self.remedy}"


BUILD_TOOLS = (
    Tool("cargo", "install Rust 1.85 or newer with rustup (https://rustup.rs), then open a new shell"),
    Tool("cc", "apt-get install gcc libc6-dev (Rust links with it)"),
    Tool("make", "apt-get install make"),
)
LINT_TOOLS = (
    Tool("cargo-clippy", "rustup component add clippy"),
    Tool("cargo-fmt", "rustup component add rustfmt"),
)
NPM = Tool("npm", "apt-get install nodejs npm")
NODE_TOOLS = (
    Tool("node", "apt-get install nodejs npm"),
    NPM,
)
GO_TOOLS = (Tool("go", "install Go 1.22 or newer (https://go.dev/dl)"),)
MAVEN_TOOLS = (
    Tool("java", "apt-get install default-jdk-headless"),
    Tool("mvn", "apt-get install maven"),
)
# Of stock clients that Debian packages, and a browser for others: what each brings.
CLIENT_PACKAGES: Mapping[str, Path] = {
    "chromium": Path("/usr/bin/chromium"),
    "mosquitto-clients": Path("/usr/bin/mosquitto_sub"),
    "ruby-stomp": Path("/usr/lib/ruby/vendor_ruby/stomp.rb"),
    "libnet-stomp-perl": Path("/usr/share/perl5/Net/Stomp.pm"),
}

# What a target needs beyond BUILD_TOOLS, and the locked packages that go into .venv.
TARGETS: Mapping[str, tuple[tuple[Tool, ...], str]] = {
    "runtime": ((), "runtime"),
    "test": (LINT_TOOLS, "test"),
    "interop": ((), "test"),
}

DEMO_LIBRARIES = ROOT / "broker" / "demo"
DEMO_PAGE = ROOT / "broker" / "admin" / "pages" / "demo"
VENDORED = {
    "stomp": ("@stomp/stompjs", "esm6", ("**/*.js",)),
    "uplot": ("uplot", "dist", ("uPlot.esm.js", "uPlot.min.css")),
}
"""Folder in the demo page's ``vendor/`` -> the npm package, its folder and what of it; the licence goes with it.  Not
in the repository: the lock file says which bytes they are, and there is one place to raise a version."""

CLIENT_TARGETS = frozenset({"test", "interop"})
"""These run interop-tests/."""


class SetupError(Exception):
    """One line that says what is wrong and what to do."""


def missing_tools(tools: tuple[Tool, ...], which: Callable[[str], str | None] = shutil.which) -> list[Tool]:
    """Those of ``tools`` that aren't in the PATH."""
    return [tool for tool in tools if which(tool.command) is None]


def check_python(version: tuple[int, ...]) -> None:
    if version[:2] < PYTHON_MIN:
        raise SetupError(
            f"Python {version[0]}.{version[1]} is too old: install Python 3.11 or newer "
            "(apt-get install python3 python3-venv) and run `make PYTHON=python3.11 ...`"
        )


def check_tools(tools: tuple[Tool, ...]) -> None:
    missing = missing_tools(tools)
    if missing:
        raise SetupError("\n".join(map(str, missing)))


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    """Runs a command; its output is shown only when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        raise SetupError(f"`{' '.join(map(str, command))}` failed with code {done.returncode}; its output is above")


def digest(*paths: Path) -> str:
    """A hash of the files' names and bytes: a touched file that didn't change rebuilds nothing."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def step(stamp: Path, wanted: str, text: str, work: Callable[[], None]) -> None:
    """Does ``work`` unless ``stamp`` says that it was done for what is ``wanted``."""
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"dragoman: {text}", file=sys.stderr, flush=True)
    stamp.unlink(missing_ok=True)
    work()
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(wanted)


def make_environment(folder: Path) -> None:
    """A virtual environment.  Without ensurepip (Debian splits it off) venv would fail with a page of text."""
    if (folder / "bin" / "python").exists():
        return
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        raise SetupError(
            f"Python's venv module is missing: apt-get install python3-venv (for {sys.executable})"
        ) from None
    shutil.rmtree(folder, ignore_errors=True)  # a broken one, whose Python is gone
    run(sys.executable, "-m", "venv", folder)


def install(folder: Path, requirements: str) -> None:
    """The locked packages, each checked against its hash."""
    locked = ROOT / "requirements" / f"{requirements}.txt"

    def work() -> None:
        run(folder / "bin" / "python", "-m", "pip", "install", "-q", "--require-hashes", "-r", locked)

    step(folder / f"{requirements}.stamp", digest(locked), f"installing requirements/{requirements}.txt", work)


def kernel_sources() -> list[Path]:
    crate = ROOT / "kernel"
    fixed = [ROOT / "pyproject.toml", ROOT / ".cargo" / "config.toml", crate / "Cargo.toml", crate / "Cargo.lock"]
    return [*fixed, *crate.glob("src/**/*.rs"), *crate.glob("benches/**/*.rs"), *crate.glob("*.rs")]


def built_kernel() -> str:
    """Names the built file, so that a debug kernel put there by hand is noticed and replaced."""
    if not KERNEL.exists():
        return "none"
    status = KERNEL.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def build_kernel() -> None:
    """A release kernel in ``kernel/`` and ``.venv/bin/dragoman``, when the sources or the built file changed."""
    stamp = VENV / "kernel.stamp"
    sources = digest(*kernel_sources())
    if stamp.exists() and (VENV / "bin" / "dragoman").exists() and stamp.read_text() == f"{sources} {built_kernel()}":
        return
    print("dragoman: building the kernel (release; a minute or two the first time)", file=sys.stderr, flush=True)
    stamp.unlink(missing_ok=True)
    # Its dependencies are installed from the lock; maturin's pip must find them there or fail.
    run(
        *(VENV / "bin" / "maturin", "develop", "--release", "--locked", "--quiet"),
        VIRTUAL_ENV=str(VENV),
        PATH=f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
        PIP_NO_INDEX="1",
    )
    stamp.write_text(f"{sources} {built_kernel()}")


def vendor_page() -> None:
    """The libraries of the demo's page.  The broker runs without them; then the page says what to install."""
    if missing_tools((NPM,)):
        return
    manifests = [DEMO_LIBRARIES / "package.json", DEMO_LIBRARIES / "package-lock.json"]
    vendor, built = DEMO_PAGE / "vendor", ROOT / "build" / "demo"

    def work() -> None:
        shutil.rmtree(built, ignore_errors=True)
        built.mkdir(parents=True)
        for manifest in manifests:
            shutil.copy2(manifest, built)
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=built)
        shutil.rmtree(vendor, ignore_errors=True)
        for folder, (package, inner, patterns) in VENDORED.items():
            source = built / "node_modules" / package
            for path in [path for pattern in patterns for path in (source / inner).glob(pattern)]:
                copy = vendor / folder / path.relative_to(source / inner)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)
            shutil.copy2(source / "LICENSE", vendor / folder)

    wanted = digest(*manifests, Path(__file__))
    step(vendor / ".stamp", wanted, "installing the libraries of the demo's page", work)


def install_clients() -> None:
    """The stock clients that interop-tests/ drives.  In CI all must be there; elsewhere a test says what it lacks."""
    if os.environ.get("CI"):
        install_packages(CLIENT_PACKAGES)
        check_tools(NODE_TOOLS + GO_TOOLS + MAVEN_TOOLS)
    environments = ROOT / ".venvs"
    for name, requirements in (("interop", "interop"), ("amqtt", "interop_amqtt")):
        make_environment(environments / name)
        install(environments / name, requirements)
    tests, built = ROOT / "interop-tests", ROOT / "build" / "interop"
    built.mkdir(parents=True, exist_ok=True)
    if not missing_tools(NODE_TOOLS):
        for protocol in ("amqp", "mqtt", "stomp", "websocket"):
            install_node_modules(tests / protocol / "node", protocol)
        install_node_modules(tests / "samples", "samples'")
    if not missing_tools(GO_TOOLS):
        build_go(tests / "amqp" / "go", ".", built / "go")
        for client in ("pahov3", "pahov5"):
            build_go(tests / "mqtt" / "go", f"./{client}", built / client)
    build_rumqttc(tests / "mqtt" / "rust", built / "rumqttc")
    if not missing_tools(MAVEN_TOOLS):
        build_hivemq(tests / "mqtt" / "java", built / "hivemq")


def install_packages(packages: Mapping[str, Path]) -> None:
    """Debian packages, where what they bring is missing."""
    missing = [package for package, brought in packages.items() if not brought.exists()]
    if missing:
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, DEBIAN_FRONTEND="noninteractive")


def install_node_modules(folder: Path, name: str) -> None:
    def work() -> None:
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)

    locked = digest(folder / "package-lock.json")
    step(folder / "node_modules" / ".stamp", locked, f"installing the {name} Node clients", work)


def build_go(folder: Path, package: str, built: Path) -> None:
    sources = digest(*folder.glob("**/*.go"), folder / "go.mod", folder / "go.sum")
    step(
        *(ROOT / ".state" / f"go-{built.name}.stamp", sources, f"building the Go client {built.name}"),
        lambda: run("go", "build", "-o", built, package, cwd=folder),
    )


def build_rumqttc(folder: Path, built: Path) -> None:
    """Without optimisation: it builds in a third of the time."""

    def work() -> None:
        target = ROOT / "target" / "interop"
        run("cargo", "build", "--quiet", "--locked", "--target-dir", target, cwd=folder)
        shutil.copy2(target / "debug" / "rumqttc-behaviours", built)

    sources = digest(*folder.glob("src/**/*.rs"), folder / "Cargo.toml", folder / "Cargo.lock")
    step(ROOT / ".state" / "rumqttc.stamp", sources, "building the Rust MQTT client", work)


def build_hivemq(folder: Path, built: Path) -> None:
    """One folder with the classes and all that they need."""

    def work() -> None:
        run("mvn", "-q", "-B", "package", f"-Dbuilt={built}", cwd=folder)

    sources = digest(*folder.glob("src/**/*.java"), folder / "pom.xml")
    step(ROOT / ".state" / "hivemq.stamp", sources, "building the Java MQTT client", work)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One set-up at a time in this folder."""
    state = ROOT / ".state"
    state.mkdir(exist_ok=True)
    with (state / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def set_up(target: str) -> None:
    """All that ``target`` needs."""
    check_python(sys.version_info[:3])
    tools, requirements = TARGETS[target]
    check_tools(BUILD_TOOLS + tools)
    with alone():
        make_environment(VENV)
        install(VENV, requirements)
        build_kernel()
        vendor_page()
        if target in CLIENT_TARGETS:
            install_clients()


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in TARGETS:
        print(f"usage: setup.py {'|'.join(TARGETS)}", file=sys.stderr)
        return 2
    try:
        set_up(arguments[0])
    except SetupError as error:
        print(f"dragoman: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
