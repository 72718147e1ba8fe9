"""Debian's Mosquitto, to see whether a behaviour is what another broker shows too."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import time
from pathlib import Path

from broker_process import START_TIMEOUT_S, STOP_TIMEOUT_S, accepts, free_port

CONFIGURATION = """
user {user}
listener {port} 127.0.0.1
allow_anonymous false
password_file {directory}/passwords
acl_file {directory}/rights
max_keepalive 600
max_queued_messages 0
persistence true
persistence_location {directory}/
"""
RIGHTS = """
user guest
topic readwrite #
topic readwrite $interop/#
user limited
topic readwrite open/#
"""


class MosquittoProcess:
    """With the users ``guest`` and ``limited``; the data stays from start to start."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        (directory / "rights").write_text(RIGHTS)
        (directory / "configuration").write_text(
            CONFIGURATION.format(port=self.port, directory=directory, user=getpass.getuser())
        )
        passwords = directory / "passwords"
        for user, make in (("guest", ["-c"]), ("limited", [])):
            subprocess.run([found("mosquitto_passwd"), *make, "-b", passwords, user, "guest"], check=True)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://guest:guest@127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [found("mosquitto"), "-c", self.directory / "configuration"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not accepts(self.port):
            assert self._process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(STOP_TIMEOUT_S)

    def restart(self) -> None:
        """Not killed: it writes what it keeps when it ends."""
        self.stop()
        self.start()


def found(program: str) -> str:
    """Debian has its servers where only root's PATH looks."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    assert path, f"{program} is missing: apt-get install mosquitto"
    return path
