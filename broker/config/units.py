"""Sizes and durations as people write them: ``64KiB``, ``1GB``, ``500ms``, ``7d``."""

from __future__ import annotations

import re

SIZE_UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}
DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

# Bounded, so that the number fits whatever it is multiplied with.
QUANTITY = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)", re.ASCII)


def parse_size(value: object) -> int:
    """Bytes.  A bare number is a count of bytes.  ValueError says what was expected."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number, unit = split(value, "a size such as 64KiB or 1GB", SIZE_UNITS)
    size = number * SIZE_UNITS[unit]
    if size != int(size):
        raise ValueError(f"{value!r} is not a whole number of bytes")
    return int(size)


def parse_duration(value: object) -> float:
    """Seconds.  A bare number but 0 is refused: nobody can tell milliseconds from minutes."""
    if value == 0 and not isinstance(value, bool):
        return 0.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} needs a unit: {value}s for seconds (or {', '.join(DURATION_UNITS)})")
    number, unit = split(value, "a duration such as 500ms, 30s or 7d", DURATION_UNITS)
    return number * DURATION_UNITS[unit]


def split(value: object, expected: str, units: dict[str, int] | dict[str, float]) -> tuple[float, str]:
    found = QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is not {expected}")
    number, unit = found.groups()
    if unit not in units:
        wanted = next((known for known in units if known.lower() == unit.lower()), None)
        hint = f"did you mean {wanted}?" if wanted else f"units are {', '.join(units)}"
        raise ValueError(f"{value!r} is not {expected}: {hint}")
    return float(number), unit


def format_size(size: int) -> str:
    """The shortest exact way to write it."""
    for unit, factor in sorted(SIZE_UNITS.items(), key=lambda item: -item[1]):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return "0B"


def format_duration(seconds: float) -> str:
    """The shortest exact way to write it."""
    ms = round(seconds * 1000)
    for unit, factor in sorted(DURATION_UNITS.items(), key=lambda item: -item[1]):
        if ms and ms % round(factor * 1000) == 0:
            return f"{ms // round(factor * 1000)}{unit}"
    return "0s"
