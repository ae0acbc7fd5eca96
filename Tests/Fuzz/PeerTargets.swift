import CHost
import Journal
import Replication

/// What brokers send each other.
func peerTargets() -> [FuzzTarget] {
    let log = LogHistory([EpochStart(epoch: 1, position: 0), EpochStart(epoch: 4, position: 300)])
    let messages: [ReplicaMessage] = [
        .promise(epoch: 5, LogShape(start: 64, history: log, end: 900, damaged: [100..<164, 200..<300])),
        .follow(epoch: 5, session: 3, start: 64, log), .ack(epoch: 5, session: 3, received: 908, persisted: 900, isUnsure: true),
        .append(epoch: 5, session: 3, 900..<908, committed: 850), .read(epoch: 5, 100..<200), .prepare(epoch: 5),
        .unreadable(epoch: 5, 100..<200, start: 150), .fetch(epoch: 5, SnapshotStretch(file: .archive(ArchiveKey(partition: 3, base: 77, edition: 9)), offset: 8192, count: 4096)),
        .file(epoch: 5, SnapshotStretch(file: .segment(9), offset: 4096, count: 8192), size: 65536, [1, 2, 3]),
    ]
    let samples = messages.map { message in
        var bytes = PeerFrame(group: 7, from: ReplicaID(broker: 2, incarnation: 9), toIncarnation: 8, message: message).encode()
        if case .append(_, _, let range, _) = message { bytes += Array(repeating: 0x5a, count: range.count) }
        return bytes
    }
    func mend(_ bytes: inout [UInt8]) {
        guard bytes.count >= PeerFrame.headerBytes else { return }
        bytes.withUnsafeMutableBytes { frame in
            frame.storeBytes(of: 0x3150_5448, as: UInt32.self)
            frame.storeBytes(of: UInt32(frame.count), toByteOffset: 4, as: UInt32.self)
            let body = frame.count - PeerFrame.headerBytes
            frame.storeBytes(of: hutong_crc32c(0, frame.baseAddress! + PeerFrame.headerBytes, body), toByteOffset: 64, as: UInt32.self)
            frame.storeBytes(of: hutong_crc32c(0, frame.baseAddress!, 68), toByteOffset: 68, as: UInt32.self)
        }
    }
    return [
        FuzzTarget("peers.frame", weight: 20, samples: samples, mend: mend) { input in
            guard let frame = PeerFrame(input) else { return false }
            if case .promise(_, let shape) = frame.message {
                _ = shape.common(with: LogShape(history: log, end: 900))
                _ = shape.damage(in: 0..<shape.end)
            }
            var again = frame.encode()
            again += Array(repeating: 0, count: max(0, input.count - again.count))
            let read = again.withUnsafeBytes { PeerFrame($0) }
            try Finding.unless(read == frame, "a frame that is read as another than it was written")
            return true
        }
    ]
}
