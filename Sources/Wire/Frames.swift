/// Whole responses as they go over a connection: length, header, body.
public enum ResponseFrame {
    /// The frame of a response. Throws if the version is not declared, or lacks what the response says.
    public static func encode(
        _ message: some Response, version: Int16, correlationId: Int32
    ) throws(WireError) -> [UInt8] {
        var bytes: [UInt8] = []
        try append(message, version: version, correlationId: correlationId, to: &bytes)
        return bytes
    }

    /// Appends the frame of a response, so that several go out with one send.
    public static func append<R: Response>(
        _ message: R, version: Int16, correlationId: Int32, to bytes: inout [UInt8]
    ) throws(WireError) {
        try Frame.append(to: &bytes) { bytes throws(WireError) in
            Frame.append(correlationId, to: &bytes)
            if let spec = APIs.spec(R.api), spec.responseHeaderLength(version) > 4 { bytes.append(0) }
            try message.append(to: &bytes, version: version)
        }
    }
}

/// Whole requests as they go over a connection: length, header, body.
public enum RequestFrame {
    /// The frame of a request. Throws if the version is not declared, or lacks what the request says.
    /// - Parameter wantsReceipt: asks for a ``Receipt``, in flexible versions.
    public static func encode<R: Request>(
        _ message: R, version: Int16, correlationId: Int32, clientId: String?, wantsReceipt: Bool = false
    ) throws(WireError) -> [UInt8] {
        let client = clientId.map { Array($0.utf8) }
        guard let clientLength = Int16(exactly: client?.count ?? -1) else {
            throw WireError("a client id of more than \(Int16.max) bytes")
        }
        var bytes: [UInt8] = []
        try Frame.append(to: &bytes) { bytes throws(WireError) in
            Frame.append(R.api.rawValue, to: &bytes)
            Frame.append(version, to: &bytes)
            Frame.append(correlationId, to: &bytes)
            Frame.append(clientLength, to: &bytes)
            if let client { bytes.append(contentsOf: client) }
            if try R.isFlexible(version) {
                var tags = Wire(writing: version, isFlexible: true)
                try tags.tags(wantsReceipt ? [ReceiptTag.number] : []) { _, _ in true }
                bytes += tags.output
            }
            try message.append(to: &bytes, version: version)
        }
        return bytes
    }
}

/// What requests' and responses' frames share.
enum Frame {
    /// Bytes of the length before a frame.
    static let prefix = 4

    static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// Appends what `body` appends with its length before it; nothing if it throws.
    static func append(
        to bytes: inout [UInt8], _ body: (inout [UInt8]) throws(WireError) -> Void
    ) throws(WireError) {
        let start = bytes.count
        append(Int32(0), to: &bytes)
        do throws(WireError) { try body(&bytes) } catch {
            bytes.removeSubrange(start...)
            throw error
        }
        guard let length = Int32(exactly: bytes.count - start - prefix) else {
            bytes.removeSubrange(start...)
            throw WireError("a frame of more than 2 GiB")
        }
        withUnsafeBytes(of: length.bigEndian) { bytes.replaceSubrange(start..<start + prefix, with: $0) }
    }
}
