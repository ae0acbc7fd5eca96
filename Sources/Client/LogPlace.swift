import Wire

/// A place in a partition's log, as people name it.
public enum LogPlace: Sendable, Equatable {
    /// Before the first record that is kept, and behind the last one.
    case start, end
    case offset(Int64)
    /// So many records before the end, or at the start where there are fewer.
    case beforeEnd(Int64)
    /// The first record of that time or later, in milliseconds since 1970; the end if there is none.
    case timestamp(Int64)
}

extension KafkaClient {
    /// The offset of a place in a partition's log as it is now.
    public func offset(of target: TopicPartition, at place: LogPlace) throws -> Int64 {
        switch place {
        case .start: return try offset(of: target, at: ListOffsetsRequest.Timestamp.earliest)
        case .end: return try offset(of: target, at: ListOffsetsRequest.Timestamp.latest)
        case .offset(let offset): return offset
        case .beforeEnd(let count): return max(try offset(of: target, at: .start), try offset(of: target, at: .end) - count)
        case .timestamp(let time):
            let found = try offset(of: target, at: time)
            return found >= 0 ? found : try offset(of: target, at: .end)
        }
    }
}
