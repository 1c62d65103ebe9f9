"""How the service and its workers speak: a length, JSON, and the bytes of a recording.

JSON and not pickle: a worker that a hostile recording took over must not be able to run code in
the process that talks to the network.
"""

from __future__ import annotations

import json
import struct
from typing import Any

LENGTH = struct.Struct(">I")
MAX_MESSAGE = 32 * 1024**2
"""Bytes of a message; a longer one is a fault of whoever sends it."""


def packed(message: dict[str, Any]) -> bytes:
    r"""Return a message with its length before it.

    >>> packed({"a": 1})
    b'\x00\x00\x00\x08{"a": 1}'
    """
    body = json.dumps(message, allow_nan=False).encode()
    return LENGTH.pack(len(body)) + body


def unpacked(body: bytes) -> dict[str, Any]:
    """Return the message of a body.

    Raises:
        ValueError: It is no JSON object.
    """
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError("a message is a JSON object")
    return message
