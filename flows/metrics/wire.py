"""The wire format of protocol buffers, as far as the metric files need it.

Written after https://protobuf.dev/programming-guides/encoding/. The few fields that matter are
picked by number, so neither the trackers nor their generated classes have to be installed.
"""

from collections.abc import Iterator

_FIXED = {1: 8, 5: 4}


class WireError(ValueError):
    """The bytes are no message."""


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message as (number, value), in order.

    A varint is an int; a fixed number or anything with a length is its bytes.

    Raises:
        WireError: the bytes are no message.
    """
    position = 0
    while position < len(message):
        key, position = varint(message, position)
        wire_type = key & 7
        if wire_type == 0:
            value, position = varint(message, position)
            yield key >> 3, value
            continue
        if wire_type == 2:
            length, position = varint(message, position)
        elif wire_type in _FIXED:
            length = _FIXED[wire_type]
        else:
            raise WireError(f"wire type {wire_type}")
        if position + length > len(message):
            raise WireError("a field goes past the end")
        yield key >> 3, message[position : position + length]
        position += length


def varint(message: bytes, position: int) -> tuple[int, int]:
    """The unsigned varint at `position`, and where it ends.

    Raises:
        WireError: it does not end.
    """
    value = shift = 0
    while position < len(message) and shift < 70:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7
    raise WireError("a varint without end")


def signed(value: int) -> int:
    """An int64 from its varint."""
    return value - (1 << 64) if value >= 1 << 63 else value


def submessages(message: bytes, number: int) -> Iterator[bytes]:
    """The messages (or strings) in the field `number`.

    Raises:
        WireError: the bytes are no message.
    """
    for found, value in fields(message):
        if found == number and isinstance(value, bytes):
            yield value
