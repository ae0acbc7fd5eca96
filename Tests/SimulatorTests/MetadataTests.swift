import CHost
import IO
import Metadata
import Simulator
import Testing
import Wire

/// The metadata's two logs.
@Suite struct MetadataTests {
    private let log = "/data/metadata.log"
    private var copy: String { log + ".copy" }

    private func start(_ disk: SimulatedDisk) throws -> (SimulatedBroker, TestClient) {
        let broker = try SimulatedBroker(
            disk: disk, network: SimulatedNetwork(), configuration: SimulatedBroker.configuration())
        broker.settle()
        return (broker, TestClient(broker))
    }

    private func topics(_ client: TestClient) throws -> [String] {
        var request = MetadataRequest()
        request.topics = nil
        return try client.ask(request, version: 7).topics.compactMap(\.name).sorted()
    }

    private func filled() throws -> SimulatedDisk {
        let disk = SimulatedDisk()
        let (_, client) = try start(disk)
        for name in ["a", "b", "c"] { try client.createTopic(name) }
        disk.crash()
        return disk
    }

    /// Every byte in turn, in either log.
    @Test func rotInOneLogIsMendedFromTheOther() throws {
        let size = try filled().bytes(log).count
        for byte in stride(from: 0, to: size, by: 13) {
            for path in [log, copy] {
                let disk = try filled()
                disk.flip(path, byte: byte)
                let (_, client) = try start(disk)
                #expect(try topics(client) == ["a", "b", "c"], "byte \(byte) of \(path)")
                #expect(disk.bytes(log) == disk.bytes(copy))
            }
        }
    }

    /// The last entry too: it is not taken for one that was never finished.
    @Test func theLastEntryIsNotLostToRot() throws {
        let disk = try filled()
        disk.flip(log, byte: disk.bytes(log).count - 5)
        #expect(try topics(try start(disk).1) == ["a", "b", "c"])
    }

    @Test func rotInBothIsRefused() throws {
        let disk = try filled()
        for path in [log, copy] { disk.flip(path, byte: 20) }
        #expect(throws: MetadataError.self) { try start(disk) }
    }

    @Test func aLogThatIsGoneIsMadeAgain() throws {
        let disk = try filled()
        disk.delete(copy)
        #expect(try topics(try start(disk).1) == ["a", "b", "c"])
        disk.crash()
        disk.delete(log)
        #expect(try topics(try start(disk).1) == ["a", "b", "c"])
    }

    /// An entry whose checksum fits, of a kind that is not known: told from damage.
    @Test func aLaterVersionsEntryIsRefusedAsSuch() throws {
        let disk = try filled()
        let json = Array(#"[{"fromTheFuture":{"answer":42}}]"#.utf8)
        let sum = String(json.withUnsafeBytes { hutong_crc32c(0, $0.baseAddress!, $0.count) }, radix: 16)
        let line = Array((String(repeating: "0", count: 8 - sum.count) + sum + " ").utf8) + json + [10]
        for path in [log, copy] { disk.append(path, line) }
        let error = #expect(throws: MetadataError.self) { try start(disk) }
        #expect(error?.reason.contains("later version") == true)
    }
}
