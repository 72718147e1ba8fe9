"""Debian's RabbitMQ as a private node: loopback ports, Erlang port mapper, data and cookie of its own."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bench.broker import START_TIMEOUT_S, Broker
from bench.session import BrokerError, Session

# As many as any row has in its window; the default is 10.
MQTT_PREFETCH = 100
INSTALL = "apt-get install rabbitmq-server"
# The settings that say where each plugin listens.
LISTENERS = {
    "mqtt": "mqtt.listeners.tcp.1",
    "stomp": "stomp.listeners.tcp.1",
    "web_stomp": "web_stomp.tcp.listener",
}


def installed() -> Path | None:
    """The server's folder, of the newest version there is."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    return found[-1].parent.parent if found else None


def port_mapper() -> Path | None:
    """The epmd program."""
    found = sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))
    return found[-1] if found else None


def map_ports(epmd: Path, port: int, log: Path) -> Session:
    """Starts a port mapper; returns once it listens."""
    session = Session("epmd", [str(epmd), "-address", "127.0.0.1", "-port", str(port)], port, log)
    session.wait_listening(START_TIMEOUT_S)
    return session


class RabbitMq(Broker):
    fsync = "quorum queues sync, confirms of classic ones (all MQTT sessions) do not wait"

    def __init__(
        self,
        directory: Path,
        port: int,
        *,
        mqtt_port: int | None = None,
        stomp_port: int | None = None,
        web_stomp_port: int | None = None,
    ) -> None:
        """Takes ``port`` for AMQP and the two below it for the port mapper and Erlang's distribution.

        The others are those of its plugins, each of which runs if it is given one.
        """
        plugins = {"mqtt": mqtt_port, "stomp": stomp_port, "web_stomp": web_stomp_port}
        self._plugins = {plugin: its_port for plugin, its_port in plugins.items() if its_port is not None}
        self.name = " ".join(["RabbitMQ", *map(str.upper, self._plugins)])
        self.directory = directory
        self.port = port
        self.mqtt_port = mqtt_port
        self.stomp_port = stomp_port
        self.web_stomp_port = web_stomp_port
        self._port_mapper: Session | None = None

    def missing(self) -> str | None:
        return None if installed() and port_mapper() else INSTALL

    def version(self) -> str:
        home = installed()
        release = re.sub(".*-", "", home.name) if home else "not installed"
        return f"{self.name} {release}"

    def queue_arguments(self, kind: str) -> dict[str, str]:
        return {"x-queue-type": kind}

    def _environment(self, home: Path) -> dict[str, str]:
        data = self.directory
        return {
            **os.environ,
            "HOME": str(data),  # the cookie lies there
            "ERL_EPMD_PORT": str(self.port - 1),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_HOME": str(home),
            "RABBITMQ_NODENAME": "bench@localhost",
            "RABBITMQ_CONFIG_FILE": str(data / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(data / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(data / "mnesia"),
            "RABBITMQ_LOG_BASE": str(data / "log"),
            "RABBITMQ_DIST_PORT": str(self.port - 2),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_PID_FILE": str(data / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_SERVER_START_ARGS": "",
            "RABBITMQ_CTL_ERL_ARGS": "",
        }

    def _config(self) -> str:
        lines = [f"listeners.tcp.1 = 127.0.0.1:{self.port}", "log.console = false", "log.file.level = warning"]
        lines += [f"{LISTENERS[plugin]} = 127.0.0.1:{port}" for plugin, port in self._plugins.items()]
        if self.mqtt_port is not None:
            lines.append(f"mqtt.prefetch = {MQTT_PREFETCH}")
        if "web_stomp" in self._plugins:
            # Text, the default, breaks bodies that are none.
            lines.append("web_stomp.ws_frame = binary")
        return "".join(f"{line}\n" for line in lines)

    def _launch(self) -> Session:
        home, epmd = installed(), port_mapper()
        if home is None or epmd is None:
            raise BrokerError(f"{self.name} isn't installed: {INSTALL}")
        (self.directory / "mnesia").mkdir(exist_ok=True)
        plugins = ",".join(f"rabbitmq_{plugin}" for plugin in self._plugins)
        (self.directory / "enabled_plugins").write_text(f"[{plugins}].\n")
        (self.directory / "rabbitmq.conf").write_text(self._config())
        self._start_port_mapper(epmd)
        command = [str(home / "sbin" / "rabbitmq-server")]
        # Listeners of plugins come last.
        ready = [self.port, *self._plugins.values()][-1]
        return Session(self.name, command, ready, self.directory / "output.log", self._environment(home))

    def _start_port_mapper(self, epmd: Path) -> None:
        if self._port_mapper is None:
            self._port_mapper = map_ports(epmd, self.port - 1, self.directory / "epmd.log")

    def stop(self) -> None:
        super().stop()
        self._stop_port_mapper()

    def kill(self) -> None:
        super().kill()
        self._stop_port_mapper()

    def _stop_port_mapper(self) -> None:
        if self._port_mapper is not None:
            self._port_mapper.stop()
            self._port_mapper = None
