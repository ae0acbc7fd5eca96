import CHost
import Foundation
import Glibc
import IO

/// What a drive does at most: durable writes one after the other into a file that is full of zeros, past the page cache.
public struct DriveCeiling: Sendable {
    public struct Figure: Sendable {
        /// Bytes a write.
        public var size: Int
        public var writes: Int
        public var seconds: Double
        public var latencies: LatencyLog

        public var writesPerSecond: Double { Double(writes) / seconds }
        public var bytesPerSecond: Double { Double(writes) * Double(size) / seconds }
    }

    private static let fileBytes = 64 << 20

    public var figures: [Figure] = []

    /// Measures each size for so many seconds, with a write linked to an fdatasync in io_uring, one at a time.
    /// - Parameter directory: on the drive; a file is made there, and removed.
    public init(directory: String, sizes: [Int], seconds: Double) throws {
        let ring = try RingSet(.auto, count: 1).rings[0]
        ring.attach()
        let port = ring.makePort()
        let path = "\(directory)/hutong-bench-\(getpid()).tmp"
        let file = try port.open(path, .createDirect)
        defer {
            port.close(file)
            try? port.remove(path)
        }
        let memory = AlignedBuffer(count: max(sizes.max() ?? 0, 1 << 20))
        for offset in stride(from: 0, to: DriveCeiling.fileBytes, by: 1 << 20) {
            _ = try DriveCeiling.completed(ring, port, count: 1) {
                port.write(file, from: memory.base, count: 1 << 20, offset: UInt64(offset), durable: false, tag: 0)
            }
        }
        _ = try DriveCeiling.completed(ring, port, count: 1) { port.sync(file, dataOnly: false, tag: 0) }
        for index in 0..<memory.count { memory.base.storeBytes(of: UInt8(truncatingIfNeeded: index &* 131), toByteOffset: index, as: UInt8.self) }
        for size in sizes {
            var figure = Figure(size: size, writes: 0, seconds: 0, latencies: LatencyLog())
            let begin = hutong_monotonic_ns()
            var now = begin
            var offset = 0
            while now - begin < UInt64(seconds * 1e9) {
                if offset + size > DriveCeiling.fileBytes { offset = 0 }
                let results = try DriveCeiling.completed(ring, port, count: 2) {
                    port.writeAndSync(file, from: memory.base, count: size, offset: UInt64(offset), writeTag: 1, syncTag: 2)
                }
                guard results == size else { throw LoadError("a durable write of \(size) bytes wrote \(results)") }
                let done = hutong_monotonic_ns()
                figure.latencies.record(done - now)
                now = done
                offset += size
                figure.writes += 1
            }
            figure.seconds = Double(now - begin) / 1e9
            figures.append(figure)
        }
    }

    /// Waits for the completions; the sum of their results.
    private static func completed(_ ring: Ring, _ port: RingPort, count: Int, _ begin: () -> Void) throws -> Int {
        begin()
        var left = count
        var sum = 0
        while left > 0 {
            if ring.poll() == 0 { ring.wait(nanoseconds: 1_000_000_000) }
            while let completion = port.next() {
                guard completion.result >= 0 else { throw LoadError("a write: \(describe(errno: -completion.result))") }
                sum += Int(completion.result)
                left -= 1
            }
        }
        return sum
    }
}
