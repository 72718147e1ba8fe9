"""A fleet of refrigerated trucks: ``python -m broker.demo.fleet --help``.  For any MQTT 5 broker; one thread.

Each publishes its temperature, in degrees Celsius, as a plain number on ``fleet/<name>/temperature``, and obeys
``fleet/<name>/command``.
"""

from __future__ import annotations

import argparse
import selectors
import sys
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from broker.demo.device import Device
from broker.demo.stopping import ASK_INTERVAL_S, Stopping
from broker.demo.truck import fleet_of

URL = "mqtt://127.0.0.1:1883"
DEVICES = 50
DEVICES_MAX = 1000
INTERVAL_S = 1.0
INTERVAL_S_MIN = 0.01
TIMERS_INTERVAL_S = 1.0
RETRY_S = 1.0


class Schedule:
    """Who publishes when: evenly spread over the interval, so that the load is."""

    def __init__(self, count: int, interval_s: float, now: float) -> None:
        self._interval_s = interval_s
        self._due = [now + interval_s * number / count for number in range(count)]

    @property
    def next_s(self) -> float:
        return min(self._due)

    def take_due(self, now: float) -> list[int]:
        """Whose turn it is.  Turns that were missed are not made up for."""
        due = [number for number, at in enumerate(self._due) if at <= now]
        for number in due:
            missed = int((now - self._due[number]) / self._interval_s)
            self._due[number] += self._interval_s * (missed + 1)
            if self._due[number] <= now:  # the division rounded down
                self._due[number] += self._interval_s
        return due


class Fleet:
    """``devices`` of one selector."""

    def __init__(self, devices: Sequence[Device], selector: selectors.BaseSelector, interval_s: float) -> None:
        self._devices = devices
        self._selector = selector
        self._interval_s = interval_s
        self._connect_at = 0.0
        self._timers_at = 0.0
        self._online = 0

    def drive(self, stopping: Stopping) -> None:
        """Until it is told to stop."""
        schedule = Schedule(len(self._devices), self._interval_s, time.monotonic())
        while not stopping:
            now = time.monotonic()
            if now >= self._connect_at:
                self._connect(now)
            if now >= self._timers_at:
                self._timers_at = now + TIMERS_INTERVAL_S
                for device in self._devices:
                    device.receive_time()
                self._tell()
            for number in schedule.take_due(now):
                if self._devices[number].online:
                    self._devices[number].publish_reading(self._interval_s)
            wait_s = min(schedule.next_s - time.monotonic(), ASK_INTERVAL_S)
            for key, events in self._selector.select(max(wait_s, 0.0)):
                key.data.receive_events(events)
        for device in self._devices:
            device.disconnect()

    def _connect(self, now: float) -> None:
        try:
            for device in self._devices:
                if not device.connecting:
                    device.connect()
        except OSError as error:
            print(f"fleet: {error}; once more in {RETRY_S:g} s", file=sys.stderr, flush=True)
        self._connect_at = now + RETRY_S

    def _tell(self) -> None:
        online = sum(device.online for device in self._devices)
        if online != self._online:
            self._online = online
            print(f"fleet: {online} of {len(self._devices)} devices are online", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m broker.demo.fleet", description="A fleet of refrigerated trucks.")
    parser.add_argument("--broker", metavar="URL", type=urlsplit, default=URL, help=f"default: {URL}")
    parser.add_argument("--devices", metavar="COUNT", type=int, default=DEVICES, help=f"default: {DEVICES}")
    parser.add_argument("--interval", metavar="SECONDS", type=float, default=INTERVAL_S, help="between readings")
    parser.add_argument("--seed", type=int, default=1, help="another one, other temperatures")
    arguments = parser.parse_args()
    if not 1 <= arguments.devices <= DEVICES_MAX:
        parser.error(f"--devices must be 1 to {DEVICES_MAX}")
    if arguments.interval < INTERVAL_S_MIN:
        parser.error(f"--interval must be at least {INTERVAL_S_MIN:g}")
    stopping = Stopping()
    with selectors.DefaultSelector() as selector:
        trucks = fleet_of(arguments.devices, arguments.seed)
        devices = [Device(truck, arguments.broker, selector) for truck in trucks]
        Fleet(devices, selector, arguments.interval).drive(stopping)


if __name__ == "__main__":
    main()
