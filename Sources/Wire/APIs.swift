/// What is known of one API: its versions, how they are encoded, and whether it is served.
public struct APISpec: Sendable {
    public let key: APIKey
    private let label: StaticString
    /// The versions that ApiVersions tells clients of, where the API is served.
    public let advertised: ClosedRange<Int16>
    /// The versions that are read and written. They can be fewer than the advertised ones: old librdkafka turns
    /// compression off for a broker that does not advertise Produce from 0, though it never sends those versions.
    public let versions: ClosedRange<Int16>
    /// The first version with compact lengths and tagged fields (KIP-482); nil if there is none.
    public let firstFlexible: Int16?
    /// Whether brokers answer it. One that is not served is neither advertised nor accepted; its messages are read and written all the same.
    public let isServed: Bool

    /// An API that is served.
    init(
        _ key: APIKey, _ label: StaticString, advertised: ClosedRange<Int16>? = nil, served versions: ClosedRange<Int16>,
        firstFlexible: Int16?
    ) {
        self.key = key
        self.label = label
        self.advertised = advertised ?? versions
        self.versions = versions
        self.firstFlexible = firstFlexible
        isServed = true
    }

    /// An API whose messages are declared, but which is not served yet. Once it is, `declared` becomes `served`.
    init(_ key: APIKey, _ label: StaticString, declared versions: ClosedRange<Int16>, firstFlexible: Int16?) {
        self.key = key
        self.label = label
        advertised = versions
        self.versions = versions
        self.firstFlexible = firstFlexible
        isServed = false
    }

    /// The API's name in the protocol guide, e.g. `ListOffsets`.
    public var name: String { label.description }

    /// Whether this version has compact lengths and tagged fields.
    public func isFlexible(_ version: Int16) -> Bool {
        guard let firstFlexible else { return false }
        return version >= firstFlexible
    }

    /// Length in bytes of the header before a response's body, without the frame's length prefix.
    ///
    /// ApiVersions keeps the old header for ever: a client reads its answer before it knows what the broker speaks
    /// (KIP-511).
    public func responseHeaderLength(_ version: Int16) -> Int {
        isFlexible(version) && key != .apiVersions ? 5 : 4
    }
}

/// The APIs that are known here. One table, from which messages are read and written, requests are checked and clients are told.
public enum APIs {
    /// All whose messages are declared, in the order of their keys.
    public static let declared: [APISpec] = [
        APISpec(.produce, "Produce", advertised: 0...11, served: 3...11, firstFlexible: 9),
        APISpec(.fetch, "Fetch", served: 4...17, firstFlexible: 12),
        APISpec(.listOffsets, "ListOffsets", served: 1...8, firstFlexible: 6),
        APISpec(.metadata, "Metadata", served: 0...12, firstFlexible: 9),
        APISpec(.offsetCommit, "OffsetCommit", served: 1...8, firstFlexible: 8),
        APISpec(.offsetFetch, "OffsetFetch", served: 1...8, firstFlexible: 6),
        APISpec(.findCoordinator, "FindCoordinator", served: 0...4, firstFlexible: 3),
        APISpec(.joinGroup, "JoinGroup", served: 0...9, firstFlexible: 6),
        APISpec(.heartbeat, "Heartbeat", served: 0...4, firstFlexible: 4),
        APISpec(.leaveGroup, "LeaveGroup", served: 0...5, firstFlexible: 4),
        APISpec(.syncGroup, "SyncGroup", served: 0...5, firstFlexible: 4),
        APISpec(.describeGroups, "DescribeGroups", served: 0...5, firstFlexible: 5),
        APISpec(.listGroups, "ListGroups", served: 0...4, firstFlexible: 3),
        APISpec(.apiVersions, "ApiVersions", served: 0...4, firstFlexible: 3),
        APISpec(.createTopics, "CreateTopics", served: 2...7, firstFlexible: 5),
        APISpec(.deleteTopics, "DeleteTopics", served: 1...6, firstFlexible: 4),
        APISpec(.deleteRecords, "DeleteRecords", served: 0...2, firstFlexible: 2),
        APISpec(.initProducerId, "InitProducerId", served: 0...4, firstFlexible: 2),
        APISpec(.offsetForLeaderEpoch, "OffsetForLeaderEpoch", served: 2...4, firstFlexible: 4),
        APISpec(.describeConfigs, "DescribeConfigs", served: 0...4, firstFlexible: 4),
        APISpec(.alterConfigs, "AlterConfigs", served: 0...2, firstFlexible: 2),
        APISpec(.describeLogDirs, "DescribeLogDirs", served: 1...4, firstFlexible: 2),
        APISpec(.createPartitions, "CreatePartitions", served: 0...3, firstFlexible: 2),
        APISpec(.deleteGroups, "DeleteGroups", served: 0...2, firstFlexible: 2),
        APISpec(.electLeaders, "ElectLeaders", served: 0...2, firstFlexible: 2),
        APISpec(.incrementalAlterConfigs, "IncrementalAlterConfigs", served: 0...1, firstFlexible: 1),
        APISpec(.alterPartitionReassignments, "AlterPartitionReassignments", served: 0...0, firstFlexible: 0),
        APISpec(.listPartitionReassignments, "ListPartitionReassignments", served: 0...0, firstFlexible: 0),
        APISpec(.offsetDelete, "OffsetDelete", served: 0...0, firstFlexible: nil),
        APISpec(.describeCluster, "DescribeCluster", served: 0...1, firstFlexible: 0),
        APISpec(.describeProducers, "DescribeProducers", served: 0...0, firstFlexible: 0),
    ]

    /// Those that are served, in the order of their keys: what clients are told of.
    public static let all: [APISpec] = declared.filter(\.isServed)

    private static let byKey: [APISpec?] = {
        var table = [APISpec?](repeating: nil, count: Int(declared.map(\.key.rawValue).max() ?? -1) + 1)
        for spec in declared { table[Int(spec.key.rawValue)] = spec }
        return table
    }()

    /// The API with this key; nil if its messages are not declared. Constant time, no allocation.
    public static func spec(_ key: Int16) -> APISpec? {
        let table = byKey
        return key >= 0 && Int(key) < table.count ? table[Int(key)] : nil
    }

    /// As ``spec(_:)-(Int16)``.
    public static func spec(_ key: APIKey) -> APISpec? { spec(key.rawValue) }

    /// The API with this key for a request that came; nil if it is not served. Constant time, no allocation.
    public static func served(_ key: Int16) -> APISpec? {
        guard let spec = spec(key), spec.isServed else { return nil }
        return spec
    }
}
