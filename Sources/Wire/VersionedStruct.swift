/// A struct that bears its version: two bytes, then its fields. So are the records of Kafka's own topics
/// (``OffsetCommitKey`` and its kin), and what consumers hand each other in JoinGroup and SyncGroup
/// (``ConsumerProtocolSubscription``, ``ConsumerProtocolAssignment``).
public protocol VersionedStruct: WireStruct {
    /// The versions that are read and written.
    static var versions: ClosedRange<Int16> { get }
    /// The first version with compact lengths and tagged fields (KIP-482); nil if there is none.
    static var firstFlexible: Int16? { get }
    /// Whether a version above ``versions`` is read as the last of them, and bytes behind the fields are left unread. True of
    /// formats to which fields are only ever added, at their end.
    static var isExtensible: Bool { get }
}

extension VersionedStruct {
    public static var firstFlexible: Int16? { nil }
    public static var isExtensible: Bool { false }

    /// The struct's bytes in this version, with the version before them.
    public func encode(version: Int16) throws(WireError) -> [UInt8] {
        guard Self.versions.contains(version) else { throw Self.unknown(version) }
        var wire = Wire(writing: version, isFlexible: Self.isFlexible(version))
        var written = version
        try wire.int16(&written)
        var copy = self
        try copy.fields(&wire)
        return wire.output
    }

    /// Reads the version and the struct behind it, all bytes unless the format is extensible.
    public static func decode(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> Self {
        var head = Wire(reading: bytes, version: 0, isFlexible: false)
        var version: Int16 = 0
        try head.int16(&version)
        if isExtensible { version = min(version, versions.upperBound) }
        guard versions.contains(version) else { throw unknown(version) }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[head.position...])
        var wire = Wire(reading: rest, version: version, isFlexible: isFlexible(version))
        var value = Self()
        try value.fields(&wire)
        if !isExtensible { try wire.finish() }
        return value
    }

    /// As ``decode(_:)-(UnsafeRawBufferPointer)``, from an array.
    public static func decode(_ bytes: [UInt8]) throws(WireError) -> Self {
        try bytes.withUnsafeBytes { raw in
            Result { () throws(WireError) in try decode(raw) }
        }.get()
    }

    private static func isFlexible(_ version: Int16) -> Bool {
        guard let firstFlexible else { return false }
        return version >= firstFlexible
    }

    private static func unknown(_ version: Int16) -> WireError { WireError("\(Self.self) has no version \(version) here") }
}
