/// What bounds the io stage.
public struct IntakeLimits: Sendable {
    public var connections: Int
    /// The receive buffer of a connection whose frames fit in it, in bytes.
    public var receiveBytes: Int
    /// The longest request, in bytes.
    public var requestBytes: Int
    /// How many requests of one connection may be out at once.
    public var inFlight: Int
    /// How many answers one connection may be owed: a client that sends without reading is read from no further. Of those
    /// that may be large, which are all but Produce's, fewer; of Fetch's, one that is being sent and one that is being made
    /// meanwhile, because each may bring as much as `fetch.max.bytes`. (Kafka handles one request of a connection at a time.)
    public var unanswered = 16_384
    public var largeUnanswered = 2
    public var fetchesUnanswered = 2
    /// How many bytes all buffers larger than `receiveBytes` may take together.
    public var largeBufferBytes: Int
    /// How many connections there may be from one address.
    public var connectionsPerAddress = Int.max
    public var timeouts = ConnectionTimeouts()
    /// Of the process's descriptors those that no connection may take, so that the journal and its old files can always be
    /// opened. Where there are few descriptors in all, half of them.
    public var reservedDescriptors = 512

    public init(connections: Int, receiveBytes: Int, requestBytes: Int, inFlight: Int, largeBufferBytes: Int) {
        self.connections = connections
        self.receiveBytes = receiveBytes
        self.requestBytes = requestBytes
        self.inFlight = inFlight
        self.largeBufferBytes = largeBufferBytes
    }
}

extension IntakeLimits {
    /// With fewer descriptors the broker doesn't start: its own rings and files take about half of so many.
    public static let fewestDescriptors = 128

    /// How many connections there may be where the process may have so many descriptors; nil: too few for a broker.
    public func connections(descriptors: Int) -> Int? {
        guard descriptors >= IntakeLimits.fewestDescriptors else { return nil }
        return min(connections, descriptors - min(reservedDescriptors, descriptors / 2))
    }
}
