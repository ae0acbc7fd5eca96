"""The messages themselves; how they are written down is told in wire.py."""

from wire import Api

API_VERSIONS = Api(
    "ApiVersions", 18, 3,
    [("software_name", "string", "3+", "hutong-tests"), ("software_version", "string", "3+", "1")],
    [("error", "int16", "0+"),
     ("apis", [("key", "int16", "0+"), ("min", "int16", "0+"), ("max", "int16", "0+")], "0+"),
     ("throttle_ms", "int32", "1+")])

PRODUCE = Api(
    "Produce", 0, 9,
    [("transactional_id", "string", "3+", None), ("acks", "int16", "0+"), ("timeout_ms", "int32", "0+", 30_000),
     ("topics", [("name", "string", "0+"),
                 ("partitions", [("index", "int32", "0+"), ("records", "bytes", "0+")], "0+")], "0+")],
    [("topics", [("name", "string", "0+"),
                 ("partitions", [
                     ("index", "int32", "0+"), ("error", "int16", "0+"), ("base_offset", "int64", "0+"),
                     ("log_append_time", "int64", "2+", -1), ("log_start_offset", "int64", "5+"),
                     ("record_errors", [("index", "int32", "8+"), ("message", "string", "8+", None)], "8+"),
                     ("message", "string", "8+", None)], "0+")], "0+"),
     ("throttle_ms", "int32", "1+")])

FETCH = Api(
    "Fetch", 1, 12,
    [("replica_id", "int32", "0-14", -1), ("max_wait_ms", "int32", "0+"), ("min_bytes", "int32", "0+"),
     ("max_bytes", "int32", "3+", 50 << 20), ("isolation", "int8", "4+"), ("session_id", "int32", "7+"),
     ("session_epoch", "int32", "7+", -1),
     ("topics", [("name", "string", "0-12"), ("id", "uuid", "13+", bytes(16)),
                 ("partitions", [
                     ("index", "int32", "0+"), ("leader_epoch", "int32", "9+", -1), ("offset", "int64", "0+"),
                     ("last_epoch", "int32", "12+", -1), ("log_start_offset", "int64", "5+", -1),
                     ("max_bytes", "int32", "0+", 50 << 20)], "0+")], "0+"),
     ("forgotten", [("name", "string", "7-12"), ("id", "uuid", "13+"), ("partitions", "[]int32", "7+")], "7+"),
     ("rack", "string", "11+")],
    [("throttle_ms", "int32", "1+"), ("error", "int16", "7+"), ("session_id", "int32", "7+"),
     ("topics", [("name", "string", "0-12"), ("id", "uuid", "13+", bytes(16)),
                 ("partitions", [
                     ("index", "int32", "0+"), ("error", "int16", "0+"), ("high_watermark", "int64", "0+"),
                     ("last_stable_offset", "int64", "4+"), ("log_start_offset", "int64", "5+"),
                     ("aborted", [("producer_id", "int64", "4+"), ("first_offset", "int64", "4+")], "4+", None),
                     ("preferred_replica", "int32", "11+", -1), ("records", "bytes", "0+")], "0+")], "0+")])

LIST_OFFSETS = Api(
    "ListOffsets", 2, 6,
    [("replica_id", "int32", "0+", -1), ("isolation", "int8", "2+"),
     ("topics", [("name", "string", "0+"),
                 ("partitions", [("index", "int32", "0+"), ("leader_epoch", "int32", "4+", -1),
                                 ("timestamp", "int64", "0+")], "0+")], "0+")],
    [("throttle_ms", "int32", "2+"),
     ("topics", [("name", "string", "0+"),
                 ("partitions", [("index", "int32", "0+"), ("error", "int16", "0+"), ("timestamp", "int64", "1+", -1),
                                 ("offset", "int64", "1+", -1), ("leader_epoch", "int32", "4+", -1)], "0+")], "0+")])

METADATA = Api(
    "Metadata", 3, 9,
    [("topics", [("id", "uuid", "10+"), ("name", "string", "0+")], "0+"), ("auto_create", "bool", "4+", True),
     ("cluster_operations", "bool", "8-10"), ("topic_operations", "bool", "8+")],
    [("throttle_ms", "int32", "3+"),
     ("brokers", [("id", "int32", "0+"), ("host", "string", "0+"), ("port", "int32", "0+"),
                  ("rack", "string", "1+", None)], "0+"),
     ("cluster_id", "string", "2+", None), ("controller_id", "int32", "1+"),
     ("topics", [("error", "int16", "0+"), ("name", "string", "0+"), ("id", "uuid", "10+"),
                 ("internal", "bool", "1+"),
                 ("partitions", [
                     ("error", "int16", "0+"), ("index", "int32", "0+"), ("leader", "int32", "0+"),
                     ("leader_epoch", "int32", "7+"), ("replicas", "[]int32", "0+"), ("isr", "[]int32", "0+"),
                     ("offline", "[]int32", "5+")], "0+"),
                 ("operations", "int32", "8+", -2147483648)], "0+"),
     ("operations", "int32", "8-10", -2147483648)])

CREATE_TOPICS = Api(
    "CreateTopics", 19, 5,
    [("topics", [("name", "string", "0+"), ("partitions", "int32", "0+", 1), ("replication", "int16", "0+", 1),
                 ("assignments", [("index", "int32", "0+"), ("brokers", "[]int32", "0+")], "0+"),
                 ("configs", [("name", "string", "0+"), ("value", "string", "0+")], "0+")], "0+"),
     ("timeout_ms", "int32", "0+", 30_000), ("validate_only", "bool", "1+")],
    [("throttle_ms", "int32", "2+"),
     ("topics", [("name", "string", "0+"), ("id", "uuid", "7+"), ("error", "int16", "0+"),
                 ("message", "string", "1+", None), ("partitions", "int32", "5+", -1), ("replication", "int16", "5+", -1),
                 ("configs", [("name", "string", "5+"), ("value", "string", "5+", None), ("read_only", "bool", "5+"),
                              ("source", "int8", "5+"), ("sensitive", "bool", "5+")], "5+")], "0+")])

DELETE_TOPICS = Api(
    "DeleteTopics", 20, 4,
    [("topics", [("name", "string", "6+"), ("id", "uuid", "6+")], "6+"), ("names", "[]string", "1-5"),
     ("timeout_ms", "int32", "0+", 30_000)],
    [("throttle_ms", "int32", "1+"),
     ("topics", [("name", "string", "0+"), ("id", "uuid", "6+"), ("error", "int16", "0+"),
                 ("message", "string", "5+", None)], "0+")])

DESCRIBE_LOG_DIRS = Api(
    "DescribeLogDirs", 35, 2,
    [("topics", [("name", "string", "0+"), ("partitions", "[]int32", "0+")], "0+", None)],
    [("throttle_ms", "int32", "0+"), ("error", "int16", "3+"),
     ("results", [("error", "int16", "0+"), ("directory", "string", "0+"),
                  ("topics", [("name", "string", "0+"),
                              ("partitions", [("index", "int32", "0+"), ("size", "int64", "0+"), ("lag", "int64", "0+"), ("future", "bool", "0+")], "0+")],
                   "0+"), ("total", "int64", "4+"), ("usable", "int64", "4+")], "0+")])

DESCRIBE_PRODUCERS = Api(
    "DescribeProducers", 61, 0,
    [("topics", [("name", "string", "0+"), ("partitions", "[]int32", "0+")], "0+")],
    [("throttle_ms", "int32", "0+"),
     ("topics", [("name", "string", "0+"),
                 ("partitions", [("index", "int32", "0+"), ("error", "int16", "0+"), ("message", "string", "0+", None),
                                 ("producers", [("id", "int64", "0+"), ("epoch", "int32", "0+"), ("last_sequence", "int32", "0+"),
                                                ("last_timestamp", "int64", "0+"), ("coordinator_epoch", "int32", "0+"),
                                                ("transaction_start", "int64", "0+")], "0+")], "0+")], "0+")])

CREATE_PARTITIONS = Api(
    "CreatePartitions", 37, 2,
    [("topics", [("name", "string", "0+"), ("count", "int32", "0+"), ("assignments", [("brokers", "[]int32", "0+")], "0+", None)], "0+"),
     ("timeout_ms", "int32", "0+", 30_000), ("validate_only", "bool", "0+")],
    [("throttle_ms", "int32", "0+"),
     ("results", [("name", "string", "0+"), ("error", "int16", "0+"), ("message", "string", "0+", None)], "0+")])

DESCRIBE_CONFIGS = Api(
    "DescribeConfigs", 32, 4,
    [("resources", [("type", "int8", "0+"), ("name", "string", "0+"), ("keys", "[]string", "0+", None)], "0+"),
     ("synonyms", "bool", "1+"), ("documentation", "bool", "3+")],
    [("throttle_ms", "int32", "0+"),
     ("results", [("error", "int16", "0+"), ("message", "string", "0+", None), ("type", "int8", "0+"), ("name", "string", "0+"),
                  ("configs", [("name", "string", "0+"), ("value", "string", "0+", None), ("read_only", "bool", "0+"), ("default", "bool", "0-0"),
                               ("source", "int8", "1+"), ("sensitive", "bool", "0+"),
                               ("synonyms", [("name", "string", "1+"), ("value", "string", "1+", None), ("source", "int8", "1+")], "1+"),
                               ("kind", "int8", "3+"), ("documentation", "string", "3+", None)], "0+")], "0+")])

ALTER_CONFIGS = Api(
    "AlterConfigs", 33, 2,
    [("resources", [("type", "int8", "0+"), ("name", "string", "0+"),
                    ("configs", [("name", "string", "0+"), ("value", "string", "0+", None)], "0+")], "0+"), ("validate_only", "bool", "0+")],
    [("throttle_ms", "int32", "0+"),
     ("responses", [("error", "int16", "0+"), ("message", "string", "0+", None), ("type", "int8", "0+"), ("name", "string", "0+")], "0+")])

INCREMENTAL_ALTER_CONFIGS = Api(
    "IncrementalAlterConfigs", 44, 1,
    [("resources", [("type", "int8", "0+"), ("name", "string", "0+"),
                    ("configs", [("name", "string", "0+"), ("operation", "int8", "0+"), ("value", "string", "0+", None)], "0+")], "0+"),
     ("validate_only", "bool", "0+")],
    [("throttle_ms", "int32", "0+"),
     ("responses", [("error", "int16", "0+"), ("message", "string", "0+", None), ("type", "int8", "0+"), ("name", "string", "0+")], "0+")])

INIT_PRODUCER_ID = Api(
    "InitProducerId", 22, 2,
    [("transactional_id", "string", "0+", None), ("timeout_ms", "int32", "0+", 60_000),
     ("producer_id", "int64", "3+", -1), ("producer_epoch", "int16", "3+", -1)],
    [("throttle_ms", "int32", "0+"), ("error", "int16", "0+"), ("producer_id", "int64", "0+"),
     ("producer_epoch", "int16", "0+")])

OFFSET_FOR_LEADER_EPOCH = Api(
    "OffsetForLeaderEpoch", 23, 4,
    [("replica_id", "int32", "3+", -1),
     ("topics", [("name", "string", "0+"),
                 ("partitions", [("index", "int32", "0+"), ("current_epoch", "int32", "2+", -1),
                                 ("epoch", "int32", "0+")], "0+")], "0+")],
    [("throttle_ms", "int32", "2+"),
     ("topics", [("name", "string", "0+"),
                 ("partitions", [("error", "int16", "0+"), ("index", "int32", "0+"), ("epoch", "int32", "1+"),
                                 ("end_offset", "int64", "0+")], "0+")], "0+")])

DESCRIBE_CLUSTER = Api(
    "DescribeCluster", 60, 0,
    [("operations", "bool", "0+", False), ("endpoint_type", "int8", "1+", 1)],
    [("throttle_ms", "int32", "0+"), ("error", "int16", "0+"), ("message", "string", "0+"), ("endpoint_type", "int8", "1+"),
     ("cluster_id", "string", "0+"), ("controller", "int32", "0+"),
     ("brokers", [("id", "int32", "0+"), ("host", "string", "0+"), ("port", "int32", "0+"), ("rack", "string", "0+")], "0+"),
     ("operations", "int32", "0+")])

DESCRIBE_GROUPS = Api(
    "DescribeGroups", 15, 5,
    [("groups", "[]string", "0+"), ("operations", "bool", "3+", False)],
    [("throttle_ms", "int32", "1+"),
     ("groups", [("error", "int16", "0+"), ("group", "string", "0+"), ("state", "string", "0+"), ("kind", "string", "0+"), ("protocol", "string", "0+"),
                 ("members", [("id", "string", "0+"), ("instance", "string", "4+", None), ("client", "string", "0+"), ("host", "string", "0+"),
                              ("metadata", "bytes", "0+"), ("assignment", "bytes", "0+")], "0+"),
                 ("operations", "int32", "3+", -2147483648)], "0+")])

DELETE_RECORDS = Api(
    "DeleteRecords", 21, 2,
    [("topics", [("name", "string", "0+"), ("partitions", [("index", "int32", "0+"), ("offset", "int64", "0+")], "0+")], "0+"),
     ("timeout_ms", "int32", "0+", 30_000)],
    [("throttle_ms", "int32", "0+"),
     ("topics", [("name", "string", "0+"),
                 ("partitions", [("index", "int32", "0+"), ("low_watermark", "int64", "0+"), ("error", "int16", "0+")], "0+")], "0+")])

OFFSET_DELETE = Api(
    "OffsetDelete", 47, 99,
    [("group", "string", "0+"), ("topics", [("name", "string", "0+"), ("partitions", [("index", "int32", "0+")], "0+")], "0+")],
    [("error", "int16", "0+"), ("throttle_ms", "int32", "0+"),
     ("topics", [("name", "string", "0+"), ("partitions", [("index", "int32", "0+"), ("error", "int16", "0+")], "0+")], "0+")])

APIS = {api.key: api for api in (
    API_VERSIONS, PRODUCE, FETCH, LIST_OFFSETS, METADATA, CREATE_TOPICS, DELETE_TOPICS, INIT_PRODUCER_ID)}

# The versions that the tests serve themselves from: the oldest and the newest that DESIGN's PROTOCOL.md wants served now.
SERVED = {0: (3, 11), 1: (4, 17), 2: (1, 8), 3: (0, 12), 18: (0, 4), 19: (2, 7), 20: (1, 6), 22: (0, 4)}


class Error:
    """Kafka's error codes, as far as the tests name them."""

    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    NOT_LEADER_OR_FOLLOWER = 6
    MESSAGE_TOO_LARGE = 10
    INVALID_TOPIC = 17
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_REPLICA_ASSIGNMENT = 39
    INVALID_CONFIG = 40
    INVALID_REQUEST = 42
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    UNKNOWN_TOPIC_ID = 100
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    INVALID_PRODUCER_EPOCH = 47
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    MISMATCHED_ENDPOINT_TYPE = 114
    INVALID_RECORD = 87
