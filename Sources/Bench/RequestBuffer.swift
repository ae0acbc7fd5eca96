// Unsafe on purpose: a request is sent from memory that stays where it is.

import Wire

/// Memory for a connection's request, one at a time, which stays as it is until it has been sent.
struct RequestBuffer: ~Copyable {
    private let memory: UnsafeMutableRawPointer
    private let capacity: Int

    init(capacity: Int) {
        memory = .allocate(byteCount: capacity, alignment: 64)
        self.capacity = capacity
    }

    deinit { memory.deallocate() }

    /// Begins to send a request, where the one before is sent.
    func send(_ message: some Request, version: Int16, correlation: Int32, on stream: inout FrameStream) throws {
        let bytes = try RequestFrame.encode(message, version: version, correlationId: correlation, clientId: "hutong-bench")
        guard bytes.count <= capacity else { throw LoadError("a request of \(bytes.count) bytes; there is room for \(capacity)") }
        bytes.withUnsafeBytes { memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        stream.send(memory, count: bytes.count)
    }
}
