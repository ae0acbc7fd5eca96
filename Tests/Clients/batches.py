"""Record batches (magic 2), written and read by hand, so that they can also be written wrongly on purpose."""

import gzip
import struct

import cramjam

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
HEADER = struct.Struct(">qiibIhiqqqhii")  # base offset .. record count: 61 bytes
CRC_AT, CRC_FROM = 17, 21


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    table = CRC_TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def zigzag(value):
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def blob(value):
    return zigzag(-1) if value is None else zigzag(len(value)) + value


def record(index, value, key=None, headers=(), timestamp_delta=0):
    body = b"\0" + zigzag(timestamp_delta) + zigzag(index) + blob(key) + blob(value) + zigzag(len(headers))
    for name, content in headers:
        body += blob(name.encode()) + blob(content)
    return zigzag(len(body)) + body


def compress(codec, data):
    """As the Java client does it, but for snappy, which it wraps: brokers must not look, and the raw form is shorter."""
    if codec == "gzip":
        return gzip.compress(data)
    if codec == "snappy":
        return bytes(cramjam.snappy.compress_raw(data))
    if codec == "lz4":
        return bytes(cramjam.lz4.compress(data))
    return bytes(cramjam.zstd.compress(data)) if codec == "zstd" else data


def decompress(codec, data):
    if codec == "gzip":
        return gzip.decompress(data)
    if codec == "snappy":
        if data[:8] == b"\x82SNAPPY\0":
            out, at = b"", 16
            while at < len(data):
                size = struct.unpack_from(">i", data, at)[0]
                out += bytes(cramjam.snappy.decompress_raw(data[at + 4 : at + 4 + size]))
                at += 4 + size
            return out
        return bytes(cramjam.snappy.decompress_raw(data))
    if codec == "lz4":
        return bytes(cramjam.lz4.decompress(data))
    return bytes(cramjam.zstd.decompress(data)) if codec == "zstd" else data


def batch(values, *, keys=None, codec="none", timestamps=None, producer=(-1, -1, -1), magic=2, count=None, base_offset=0):
    """A batch of these values. `producer` is (id, epoch, first sequence); `count` lies about how many records there are."""
    values = list(values)
    keys = keys or [None] * len(values)
    times = list(timestamps) if timestamps else [1_700_000_000_000] * len(values)
    records = b"".join(
        record(index, value, keys[index], timestamp_delta=times[index] - times[0]) for index, value in enumerate(values))
    producer_id, epoch, sequence = producer
    count = len(values) if count is None else count
    after_crc = struct.pack(
        ">hiqqqhii", CODECS.index(codec), count - 1, times[0], max(times), producer_id, epoch, sequence, count)
    after_crc += compress(codec, records)
    head = struct.pack(">qiibI", base_offset, len(after_crc) + 9, -1, magic, crc32c(after_crc))
    return head + after_crc


def old_message(value, magic=1):
    """A message of the formats before batches: refused by brokers that serve Produce 3 and later."""
    import zlib

    body = struct.pack(">bb", magic, 0) + (struct.pack(">q", 1_700_000_000_000) if magic else b"")
    body += struct.pack(">ii", -1, len(value)) + value
    body = struct.pack(">I", zlib.crc32(body)) + body
    return struct.pack(">qi", 0, len(body)) + body


class Batch:
    """One batch as it came from the broker."""

    def __init__(self, data):
        (self.base_offset, self.length, self.leader_epoch, self.magic, self.crc, self.attributes, self.last_delta,
         self.base_time, self.max_time, self.producer_id, self.producer_epoch, self.sequence,
         self.count) = HEADER.unpack_from(data)
        self.data = data

    @property
    def next_offset(self):
        return self.base_offset + self.last_delta + 1

    @property
    def origin(self):
        """Who sent it, for messages about what should not be."""
        return (f"producer {self.producer_id} epoch {self.producer_epoch} sequence {self.sequence}, batch at {self.base_offset}, "
                f"leader epoch {self.leader_epoch}")

    def crc_holds(self):
        return crc32c(self.data[CRC_FROM:]) == self.crc

    def records(self):
        """(offset, timestamp, key, value, headers) of each record."""
        data = decompress(CODECS[self.attributes & 7], self.data[HEADER.size :])
        at = 0

        def number():
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                if byte < 0x80:
                    return value >> 1 ^ -(value & 1)
                shift += 7

        def piece():
            nonlocal at
            size = number()
            at += max(size, 0)
            return None if size < 0 else bytes(data[at - size : at])

        for _ in range(self.count):
            number()
            at += 1
            time, offset = self.base_time + number(), self.base_offset + number()
            key, value = piece(), piece()
            yield offset, time, key, value, [(piece().decode(), piece()) for _ in range(number())]


def split(data):
    """The whole batches in what a Fetch brought; a cut-off one at the end is dropped, as a client would."""
    found = []
    at = 0
    while len(data) - at >= HEADER.size:
        size = 12 + struct.unpack_from(">i", data, at + 8)[0]
        if at + size > len(data):
            break
        found.append(Batch(data[at : at + size]))
        at += size
    return found
