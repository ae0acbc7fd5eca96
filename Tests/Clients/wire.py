"""The few Kafka messages that the raw tests speak, each declared once for both directions.

The tests keep an encoder of their own, so that a mistake that a client library and the broker share is still seen, and so
that they can say what no well-behaved client says. A field is (name, type, versions); a type is the name of a primitive
or a list of fields, which is an array of structures. A trailing "?" makes it nullable. Tagged fields are skipped when
read and never written.
"""

import struct

INTS = {"int8": ">b", "int16": ">h", "int32": ">i", "int64": ">q", "bool": ">?"}


class Truncated(Exception):
    """The bytes ended before the message did."""


class Writer:
    def __init__(self, flexible):
        self.flexible = flexible
        self.parts = []

    def integer(self, kind, value):
        self.parts.append(struct.pack(INTS[kind], value))

    def varint(self, value):
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
        self.parts.append(bytes(out))

    def length(self, count, kind):
        """The length of a string, byte string or array; None stands for null."""
        if self.flexible:
            self.varint(0 if count is None else count + 1)
        else:
            self.integer(kind, -1 if count is None else count)

    def blob(self, value, kind):
        self.length(None if value is None else len(value), kind)
        if value is not None:
            self.parts.append(bytes(value))

    def tags(self):
        if self.flexible:
            self.parts.append(b"\0")


class Reader:
    def __init__(self, data, flexible):
        self.data = data
        self.at = 0
        self.flexible = flexible

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise Truncated(f"{count} bytes wanted at {self.at} of {len(self.data)}")
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self, kind):
        form = INTS[kind]
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def length(self, kind):
        count = self.varint() - 1 if self.flexible else self.integer(kind)
        if count < -1:
            raise Truncated(f"length {count}")
        return None if count < 0 else count

    def blob(self, kind):
        count = self.length(kind)
        return None if count is None else bytes(self.take(count))

    def tags(self):
        if self.flexible:
            for _ in range(self.varint()):
                self.varint()
                self.take(self.varint())


def present(versions, version):
    """Whether a field with this range ("3+", "8-10", "12") exists in a version."""
    if versions.endswith("+"):
        return version >= int(versions[:-1])
    low, _, high = versions.partition("-")
    return int(low) <= version <= int(high or low)


def write_value(out, kind, value, version):
    if isinstance(kind, (list, tuple)):
        out.length(None if value is None else len(value), "int32")
        for item in value or ():
            write_fields(out, kind, item, version)
    elif kind.startswith("[]"):
        out.length(None if value is None else len(value), "int32")
        for item in value or ():
            write_value(out, kind[2:], item, version)
    elif kind in INTS:
        out.integer(kind, value)
    elif kind == "string":
        out.blob(None if value is None else value.encode(), "int16")
    elif kind == "bytes":
        out.blob(value, "int32")
    elif kind == "uuid":
        out.parts.append(bytes(value))
    else:
        raise ValueError(f"unknown type {kind}")


def read_value(source, kind, version):
    if isinstance(kind, (list, tuple)):
        count = source.length("int32")
        return None if count is None else [read_fields(source, kind, version) for _ in range(count)]
    if kind.startswith("[]"):
        count = source.length("int32")
        return None if count is None else [read_value(source, kind[2:], version) for _ in range(count)]
    if kind in INTS:
        return source.integer(kind)
    if kind == "string":
        text = source.blob("int16")
        return None if text is None else text.decode()
    if kind == "bytes":
        return source.blob("int32")
    if kind == "uuid":
        return bytes(source.take(16))
    raise ValueError(f"unknown type {kind}")


EMPTY = {"string": "", "bytes": None, "uuid": bytes(16), "bool": False}


def default(field, kind):
    """What a field that the caller did not name is written as: null where an optional string, otherwise zero or empty."""
    if len(field) > 3:
        return field[3]
    if isinstance(kind, (list, tuple)) or kind.startswith("[]"):
        return ()
    return EMPTY.get(kind, 0)


def write_fields(out, fields, values, version):
    unknown = set(values) - {field[0] for field in fields}
    if unknown:
        raise ValueError(f"no such fields: {sorted(unknown)}")
    for field in fields:
        name, kind, versions = field[:3]
        if present(versions, version):
            write_value(out, kind, values.get(name, default(field, kind)), version)
    out.tags()


def read_fields(source, fields, version):
    values = {field[0]: read_value(source, field[1], version) for field in fields if present(field[2], version)}
    source.tags()
    return values


class Api:
    """One API: its key, the first flexible version, the fields of the request and of the response."""

    def __init__(self, name, key, flexible, request, response):
        self.name, self.key, self.flexible = name, key, flexible
        self.request, self.response = request, response

    def write(self, fields, values, version):
        out = Writer(version >= self.flexible)
        write_fields(out, fields, values, version)
        return b"".join(out.parts)

    def read(self, fields, data, version):
        """The message, and an error when bytes are left over: a wrong field shows there first."""
        source = Reader(data, version >= self.flexible)
        values = read_fields(source, fields, version)
        if source.at != len(data):
            raise ValueError(f"{self.name} v{version}: {len(data) - source.at} bytes left over")
        return values

    def header_flexible(self, version):
        """Whether the response's header has tags; ApiVersions' never does, so that anybody can read it."""
        return self.key != 18 and version >= self.flexible


def request_frame(api, version, correlation, values, client="hutong-tests"):
    """A whole request, with its length."""
    header = struct.pack(">hhih", api.key, version, correlation, len(client)) + client.encode()
    if version >= api.flexible:
        header += b"\0"
    body = header + api.write(api.request, values, version)
    return struct.pack(">i", len(body)) + body
