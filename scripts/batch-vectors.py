#!/usr/bin/env python3
"""Prints Tests/WireTests/BatchVectors.swift: record batches as kafka-python and aiokafka build them.

    python3 -m venv venv
    venv/bin/pip install kafka-python==3.0.12 aiokafka==0.14.0 python-snappy==0.7.3 lz4==4.4.5 zstandard==0.25.0
    venv/bin/python scripts/batch-vectors.py > Tests/WireTests/BatchVectors.swift
"""

import gzip

import aiokafka
import aiokafka.record.default_records as theirs
import cramjam
import kafka
import kafka.record.default_records as ours

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def batch(module, codec):
    builder = module.DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=0, producer_id=7, producer_epoch=1, base_sequence=5,
        batch_size=1 << 20)
    for place in range(10):
        key = None if place % 3 == 0 else f"key {place}".encode()
        value = None if place == 4 else b"value " * 20 + str(place).encode()
        headers = [("h", b"x"), ("none", None)] if place == 2 else []
        builder.append(place, 1700000000000 + place, key, value, headers)
    return bytes(builder.build())


def main():
    print(f"// Made by scripts/batch-vectors.py with kafka-python {kafka.__version__} and aiokafka {aiokafka.__version__}.")
    print()
    print("/// One batch of ten records by each client with each codec, in hexadecimal.")
    print("let batchVectors: [(client: String, codec: String, hex: String)] = [")
    for name, module in (("kafka-python", ours), ("aiokafka", theirs)):
        for number, codec in enumerate(CODECS):
            print(f'    ("{name}", "{codec}", "{batch(module, number).hex()}"),')
    print("]")
    print()
    print("/// A thousand times `hutong `, as a snappy block without framing, and as gzip members of half each.")
    text = b"hutong " * 1000
    print(f'let rawSnappyVector = "{bytes(cramjam.snappy.compress_raw(text)).hex()}"')
    half = gzip.compress(text[: len(text) // 2], mtime=0)
    print(f'let gzipMembersVector = "{(half + half).hex()}"')


main()
