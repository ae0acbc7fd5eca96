/// A struct of the protocol, whose fields are declared once for reading and writing.
public protocol WireStruct: Sendable, Equatable, Defaultable {
    /// Hands every field to the wire, in the protocol's order, the struct's tagged fields last.
    mutating func fields(_ wire: inout Wire) throws(WireError)
}

/// The body of a request or a response.
public protocol Message: WireStruct {
    static var api: APIKey { get }
    static var isRequest: Bool { get }
}

/// The body of a request.
public protocol Request: Message {
    associatedtype Response: Message
}

extension Request {
    public static var isRequest: Bool { true }
}

/// The body of a response.
public protocol Response: Message {}

extension Response {
    public static var isRequest: Bool { false }
}

extension Message {
    /// Whether `version` is flexible. Throws if it is not one of those declared.
    static func isFlexible(_ version: Int16) throws(WireError) -> Bool {
        guard let spec = APIs.spec(api), spec.versions.contains(version) else {
            throw WireError("\(api) has no version \(version) here")
        }
        return spec.isFlexible(version)
    }

    /// The body's bytes in this version.
    public func encode(version: Int16) throws(WireError) -> [UInt8] {
        var bytes: [UInt8] = []
        try append(to: &bytes, version: version)
        return bytes
    }

    /// Appends the body's bytes in this version. What was appended before an error is not taken back.
    public func append(to bytes: inout [UInt8], version: Int16) throws(WireError) {
        var wire = Wire(writing: version, isFlexible: try Self.isFlexible(version))
        var copy = self
        swap(&bytes, &wire.output)
        // Both ways out give the bytes back: an array that two variables hold would be copied by the next append.
        do throws(WireError) { try copy.fields(&wire) } catch {
            swap(&bytes, &wire.output)
            throw error
        }
        swap(&bytes, &wire.output)
    }

    /// Reads a body of this version, all of it.
    ///
    /// - Parameters:
    ///   - maxElements: the most elements that all its arrays may have together.
    ///   - ignoringRest: whether bytes that remain are ignored, as Kafka's clients do with answers and its brokers with requests; else they are an error.
    public static func decode(
        _ bytes: UnsafeRawBufferPointer, version: Int16, maxElements: Int = Wire.maxElements, ignoringRest: Bool = false
    ) throws(WireError) -> Self {
        var wire = Wire(
            reading: bytes, version: version, isFlexible: try isFlexible(version), maxElements: maxElements)
        var message = Self()
        try message.fields(&wire)
        if !ignoringRest { try wire.finish() }
        return message
    }

    /// As ``decode(_:version:maxElements:ignoringRest:)``, from an array.
    public static func decode(_ bytes: [UInt8], version: Int16) throws(WireError) -> Self {
        try decode(bytes[...], version: version)
    }

    /// As ``decode(_:version:maxElements:ignoringRest:)``, from a part of an array.
    public static func decode(
        _ bytes: ArraySlice<UInt8>, version: Int16, ignoringRest: Bool = false
    ) throws(WireError) -> Self {
        try bytes.withUnsafeBytes { raw in
            Result { () throws(WireError) in try decode(raw, version: version, ignoringRest: ignoringRest) }
        }.get()
    }
}
