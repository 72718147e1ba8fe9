"""One property out of a message's encoded properties (AMQP 0-9-1 4.2.6.1), for a refusal's text.

Properties are opaque everywhere else in Python: the kernel has checked them and reads what the broker needs.
"""

from __future__ import annotations

import struct

EXPIRATION = 1 << 8
USER_ID = 1 << 4

_HEADERS = 1 << 13
_FIXED_SIZES = {1 << 12: 1, 1 << 11: 1, 1 << 6: 8}
"""delivery-mode, priority, timestamp; headers are a long string's shape, all others short strings."""


def property_text(properties: bytes, wanted: int) -> str:
    """The value of the property with this flag, which must be there and a short string."""
    (present,) = struct.unpack_from(">H", properties)
    position = 2
    for bit in range(15, -1, -1):
        flag = 1 << bit
        if flag == wanted:
            break
        if present & flag:
            position += _size(properties, position, flag)
    size = properties[position]
    return properties[position + 1 : position + 1 + size].decode("utf-8", "replace")


def _size(properties: bytes, position: int, flag: int) -> int:
    if flag == _HEADERS:
        return 4 + int(struct.unpack_from(">I", properties, position)[0])
    return _FIXED_SIZES.get(flag) or 1 + properties[position]
