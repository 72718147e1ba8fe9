"""Prometheus' text format (0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kernel import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS_US = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000)
"""Upper bounds of a histogram's buckets, in microseconds."""
LABEL_SIZE_MAX = 255
"""Characters of a label's value: names are the clients'."""
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})

Labels = Mapping[str, str]


class Exposition:
    """Metrics, written one after the other."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def counter(self, name: str, help: str, samples: Iterable[tuple[Labels, float]]) -> None:
        """A number that only grows; its name ends in ``_total``."""
        assert name.endswith("_total"), name
        self._family(name, "counter", help, samples)

    def gauge(self, name: str, help: str, samples: Iterable[tuple[Labels, float]]) -> None:
        self._family(name, "gauge", help, samples)

    def histogram(self, name: str, help: str, histogram: Histogram) -> None:
        """``histogram`` is in microseconds, what is written in seconds."""
        self._head(name, "histogram", help)
        buckets = histogram.buckets()
        position = reached = 0
        for bound in BOUNDS_US:
            while position < len(buckets) and buckets[position][1] <= bound:
                reached += buckets[position][2]
                position += 1
            self._sample(f"{name}_bucket", {"le": repr(bound / 1e6)}, reached)
        self._sample(f"{name}_bucket", {"le": "+Inf"}, histogram.count)
        self._sample(f"{name}_sum", {}, histogram.mean * histogram.count / 1e6)
        self._sample(f"{name}_count", {}, histogram.count)

    def encode(self) -> bytes:
        return "".join(self._lines).encode()

    def _family(self, name: str, kind: str, help: str, samples: Iterable[tuple[Labels, float]]) -> None:
        self._head(name, kind, help)
        for labels, value in samples:
            self._sample(name, labels, value)

    def _head(self, name: str, kind: str, help: str) -> None:
        self._lines.append(f"# HELP {name} {help}\n# TYPE {name} {kind}\n")

    def _sample(self, name: str, labels: Labels, value: float) -> None:
        shown = ",".join(f'{key}="{label_value(text)}"' for key, text in labels.items())
        self._lines.append(f"{name}{{{shown}}} {value}\n" if shown else f"{name} {value}\n")


def label_value(text: str) -> str:
    """Escaped, and cut to a bound: a name of a client's must not be able to write a line of its own."""
    return text[:LABEL_SIZE_MAX].translate(_ESCAPES)
