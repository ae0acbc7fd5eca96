/// The header before a request's body (the protocol guide's request headers v1 and v2).
public struct RequestHeader: Sendable, Equatable {
    /// The key as it came; it may be of an API that ``APIKey`` does not name.
    public var apiKey: Int16
    public var apiVersion: Int16
    /// What the answer must bear, so that the client finds its request.
    public var correlationId: Int32
    /// Where the client's name for itself is in the request; nil if it gave none. It is a range, and not checked to be
    /// UTF-8, because the header is read on a path that does not allocate.
    public var clientId: Range<Int>?
    /// Where the body begins, in bytes from the start of the header.
    public var bodyOffset: Int
    /// Whether the client wants to know what became of its request, and when (``ReceiptTag``).
    public var wantsReceipt = false

    /// Reads the header of a request, without the frame's length prefix. Allocates nothing unless it throws.
    ///
    /// The version of the header follows from the API's; of an API that is not declared only the part that all versions
    /// share is read, so that an answer can bear the correlation id.
    public static func decode(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> RequestHeader {
        var wire = Wire(reading: bytes, version: 0, isFlexible: false)
        var header = RequestHeader(apiKey: 0, apiVersion: 0, correlationId: 0, clientId: nil, bodyOffset: 0)
        try wire.integer(&header.apiKey)
        try wire.integer(&header.apiVersion)
        try wire.integer(&header.correlationId)
        // The client id has a two-byte length in flexible headers too: an old broker must be able to read it (KIP-511).
        var length: Int?
        try wire.count(&length, short: true)
        if let length {
            header.clientId = wire.position..<wire.position + length
            _ = try wire.take(length)
        }
        header.bodyOffset = wire.position
        guard let spec = APIs.spec(header.apiKey), spec.isFlexible(header.apiVersion) else { return header }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[wire.position...])
        var tags = Wire(reading: rest, version: header.apiVersion, isFlexible: true)
        try tags.tags([]) { _, tag in
            if tag == ReceiptTag.number { header.wantsReceipt = true }
            return false
        }
        header.bodyOffset += tags.position
        return header
    }

    /// The client's name for itself, in the bytes that this header was decoded from; nil if it gave none or is not UTF-8.
    public func clientId(in bytes: UnsafeRawBufferPointer) -> String? {
        guard let clientId, clientId.upperBound <= bytes.count else { return nil }
        return String(validating: bytes[clientId], as: UTF8.self)
    }
}

/// The header before a response's body (the protocol guide's response headers v0 and v1).
public struct ResponseHeader: Sendable, Equatable {
    /// That of the request which is answered.
    public var correlationId: Int32
    /// Where the body begins, in bytes from the start of the header.
    public var bodyOffset: Int

    /// Reads the header of a response to a request of this API and version, without the frame's length prefix.
    public static func decode(
        _ bytes: UnsafeRawBufferPointer, api: APIKey, version: Int16
    ) throws(WireError) -> ResponseHeader {
        let isFlexible = APIs.spec(api).map { $0.responseHeaderLength(version) > 4 } ?? false
        var wire = Wire(reading: bytes, version: version, isFlexible: isFlexible)
        var header = ResponseHeader(correlationId: 0, bodyOffset: 0)
        try wire.integer(&header.correlationId)
        try wire.tags()
        header.bodyOffset = wire.position
        return header
    }
}
