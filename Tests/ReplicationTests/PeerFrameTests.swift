import Journal
import Replication
import Testing

@Suite struct PeerFrameTests {
    static let log = LogHistory([EpochStart(epoch: 1, position: 0), EpochStart(epoch: 4, position: 300)])
    static let messages: [ReplicaMessage] = [
        .prepare(epoch: 5), .promise(epoch: 5, LogShape(start: 64, history: log, end: 900, damaged: [100..<164, 200..<300])),
        .promise(epoch: 5, LogShape()), .refuse(promised: 6), .read(epoch: 5, 100..<200), .bytes(epoch: 5, 100..<108),
        .unreadable(epoch: 5, 100..<200, start: 150), .follow(epoch: 5, session: 3, start: 64, log), .matched(epoch: 5, session: 3, end: 900),
        .behind(epoch: 5, session: 3, end: 10), .append(epoch: 5, session: 3, 900..<908, committed: 850),
        .append(epoch: 5, session: 3, 900..<900, committed: 900), .ack(epoch: 5, session: 3, received: 908, persisted: 900, isUnsure: true),
        .fetch(epoch: 5, SnapshotStretch(file: .archiveIndex(ArchiveKey(partition: 3, base: 77, edition: 9)), offset: 8192, count: 4096)),
        .fetch(epoch: 5, SnapshotStretch(file: .head, offset: 0, count: 1 << 20)),
        .file(epoch: 5, SnapshotStretch(file: .segment(9), offset: 4096, count: 8192), size: 65536, [1, 2, 3]),
        .file(epoch: 5, SnapshotStretch(file: .archive(ArchiveKey(partition: 3, base: 77)), offset: 0, count: 4096), size: 0, []),
    ]

    /// With the journal's bytes behind it, where there are any.
    private func whole(_ message: ReplicaMessage) -> [UInt8] {
        let frame = PeerFrame(group: 7, from: ReplicaID(broker: 2, incarnation: 99), toIncarnation: 98, message: message)
        switch message {
        case .append(_, _, let range, _), .bytes(_, let range): return frame.encode() + Array(repeating: 0x5a, count: range.count)
        default: return frame.encode()
        }
    }

    @Test(arguments: messages) func whatIsWrittenIsRead(message: ReplicaMessage) {
        let bytes = whole(message)
        bytes.withUnsafeBytes { bytes in
            #expect(PeerFrame.look(bytes) == .whole(bytes.count))
            #expect(
                PeerFrame(bytes)
                    == PeerFrame(group: 7, from: ReplicaID(broker: 2, incarnation: 99), toIncarnation: 98, message: message))
        }
    }

    @Test(arguments: messages) func eachFlippedBitIsNoticed(message: ReplicaMessage) {
        let bytes = whole(message)
        let journalBytes: Int = switch message {
        case .append(_, _, let range, _), .bytes(_, let range): range.count
        default: 0
        }
        for bit in 0..<8 * (bytes.count - journalBytes) {
            var damaged = bytes
            damaged[bit / 8] ^= 1 << (bit % 8)
            damaged.withUnsafeBytes { #expect(PeerFrame($0) == nil, "bit \(bit)") }
        }
    }

    @Test func aFrameInPiecesIsWaitedFor() {
        let bytes = whole(.follow(epoch: 5, session: 3, start: 64, Self.log))
        for count in 0..<bytes.count {
            bytes[..<count].withUnsafeBytes {
                #expect(PeerFrame.look($0) == .more(count < PeerFrame.headerBytes ? PeerFrame.headerBytes : bytes.count))
                #expect(PeerFrame($0) == nil)
            }
        }
    }
}
