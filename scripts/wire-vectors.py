#!/usr/bin/env python3
"""Prints Tests/WireTests/GoldenVectors.swift: every message at every version, encoded by kafka-python's own encoder.

    python3 -m venv venv && venv/bin/pip install kafka-python==3.0.12
    venv/bin/python scripts/wire-vectors.py > Tests/WireTests/GoldenVectors.swift

The values are counted up in the order of the fields in Kafka's schemas, as Tests/TestSupport/Samples*.swift do.

kafka-python has the schemas of Kafka 4, in which the fields of OffsetCommit 1 still are, though Kafka 4 does not serve it. It has none for the
records of __consumer_offsets, which clients have no use for: they are put in here from Kafka's own definitions, and encoded by it all the same.
"""

import struct
import uuid

import kafka
from kafka.protocol import admin, consumer, metadata, producer
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from kafka.protocol.schemas import StructField

MESSAGES = {
    "Produce": (producer, 3, 11),
    "Fetch": (consumer, 4, 17),
    "ListOffsets": (consumer, 1, 8),
    "Metadata": (metadata, 0, 12),
    "ApiVersions": (metadata, 0, 4),
    "CreateTopics": (admin, 2, 7),
    "DeleteTopics": (admin, 1, 6),
    "DeleteRecords": (admin, 0, 2),
    "InitProducerId": (producer, 0, 4),
    "DescribeConfigs": (admin, 0, 4),
    "OffsetForLeaderEpoch": (consumer, 2, 4),
    "ElectLeaders": (admin, 0, 2),
    "AlterPartitionReassignments": (admin, 0, 0),
    "ListPartitionReassignments": (admin, 0, 0),
    "OffsetCommit": (consumer, 1, 8),
    "OffsetFetch": (consumer, 1, 8),
    "FindCoordinator": (metadata, 0, 4),
    "JoinGroup": (consumer, 0, 9),
    "Heartbeat": (consumer, 0, 4),
    "LeaveGroup": (consumer, 0, 5),
    "SyncGroup": (consumer, 0, 5),
    "DescribeGroups": (admin, 0, 5),
    "ListGroups": (admin, 0, 4),
    "AlterConfigs": (admin, 0, 2),
    "DescribeLogDirs": (admin, 1, 4),
    "CreatePartitions": (admin, 0, 3),
    "DeleteGroups": (admin, 0, 2),
    "IncrementalAlterConfigs": (admin, 0, 1),
    "OffsetDelete": (consumer, 0, 0),
    "DescribeCluster": (admin, 0, 1),
    "DescribeProducers": (admin, 0, 0),
}


def field(name, kind, versions="0+", nullable=None, fields=None):
    return {"name": name, "type": kind, "versions": versions, "nullableVersions": nullable} | ({"fields": fields} if fields else {})


# Name: first and last version, first flexible one, fields.
RECORDS = {
    "OffsetCommitKey": (0, 1, None, [field("group", "string"), field("topic", "string"), field("partition", "int32")]),
    "OffsetCommitValue": (0, 4, 4, [
        field("offset", "int64"), field("leaderEpoch", "int32", "3+"), field("metadata", "string"), field("commitTimestamp", "int64"),
        field("expireTimestamp", "int64", "1"),
    ]),
    "GroupMetadataKey": (2, 2, None, [field("group", "string")]),
    "GroupMetadataValue": (0, 4, 4, [
        field("protocolType", "string"), field("generation", "int32"), field("protocol", "string", nullable="0+"),
        field("leader", "string", nullable="0+"), field("currentStateTimestamp", "int64", "2+"),
        field("members", "[]MemberMetadata", fields=[
            field("memberId", "string"), field("groupInstanceId", "string", "3+", nullable="3+"), field("clientId", "string"),
            field("clientHost", "string"), field("rebalanceTimeout", "int32", "1+"), field("sessionTimeout", "int32"),
            field("subscription", "bytes"), field("assignment", "bytes"),
        ]),
    ]),
}


class Counter:
    """The values of fields: each takes the next number."""

    def __init__(self):
        self.number = 0

    def next(self):
        self.number += 1
        return self.number

    def scalar(self, kind, name, nullable):
        number = self.next()
        if name in ("authorized_operations", "cluster_authorized_operations", "topic_authorized_operations"):
            return {bit for bit in range(31) if number >> bit & 1}
        match kind:
            case "bool":
                return number % 2 == 1
            case "int8" | "int16":
                return number % 100
            case "int32":
                return number * 65537
            case "int64":
                return number * 4294967311
            case "uuid":
                return uuid.UUID(bytes=(number * 4294967311).to_bytes(8, "big") + number.to_bytes(8, "big"))
            case "string":
                return None if nullable and number % 2 == 0 else f"s{number}"
            case "bytes" if nullable and number % 2 == 0:
                return None
            case "bytes" | "records":
                return bytes([number % 256, (number + 1) % 256, (number + 2) % 256])
        raise ValueError(kind)

    def field(self, field, version):
        kind = field.type_str
        if field.is_struct():
            return self.fields(field._fields, version)
        if field.is_struct_array():
            return [self.fields(field._fields, version) for _ in range(2)]
        if kind.startswith("[]"):
            return [self.scalar(kind[2:], field.name, False) for _ in range(2)]
        return self.scalar(kind, field.name, field.nullable_for_version_q(version))

    def fields(self, fields, version):
        return {f.name: self.field(f, version) for f in fields if f.for_version_q(version)}


def encode(struct_field, version, flexible):
    values = Counter().fields(struct_field._fields, version)
    return struct_field.encode(values, version=version, compact=flexible, tagged=flexible)


def versioned():
    """Structs that bear their version: name, schema, first and last version, first flexible one."""
    for cls in (ConsumerProtocolSubscription, ConsumerProtocolAssignment):
        yield cls.__name__, cls._struct, 0, 3, None
    for name, (first, last, first_flexible, fields) in RECORDS.items():
        yield name, StructField(field(name, "data", fields=fields)), first, last, first_flexible


def main():
    print("// Made by scripts/wire-vectors.py with kafka-python", kafka.__version__)
    print()
    print("/// The messages of `Samples` with counted values, as kafka-python encodes them: name, version, hexadecimal.")
    print("let goldenVectors: [(name: String, version: Int16, hex: String)] = [")
    for name, (module, first, last) in MESSAGES.items():
        for suffix in ("Request", "Response"):
            cls = getattr(module, name + suffix)
            for version in range(first, last + 1):
                code = encode(cls._struct, version, cls(version=version).flexible_version_q(version))
                print(f'    ("{name}{suffix}", {version}, "{code.hex()}"),')
    print("]")
    print()
    print("/// As `goldenVectors`, the structs that bear their version.")
    print("let versionedGoldenVectors: [(name: String, version: Int16, hex: String)] = [")
    for name, fields, first, last, first_flexible in versioned():
        for version in range(first, last + 1):
            code = encode(fields, version, first_flexible is not None and version >= first_flexible)
            print(f'    ("{name}", {version}, "{(struct.pack(">h", version) + code).hex()}"),')
    print("]")


main()
