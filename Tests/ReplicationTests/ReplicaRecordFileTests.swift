import IO
import Journal
import Testing

@testable import Replication

@Suite struct ReplicaRecordFileTests {
    static let stored = StoredReplica(
        identity: JournalIdentity(group: 3, key: 77), incarnation: .max - 1,
        record: ReplicaRecord(
            promised: 9, history: LogHistory([EpochStart(epoch: 2, position: 0), EpochStart(epoch: 9, position: 1 << 40)]), isUnsure: true))

    @Test func whatIsWrittenIsRead() {
        for record in [ReplicaRecord(), ReplicaRecordFileTests.stored.record] {
            var stored = ReplicaRecordFileTests.stored
            stored.record = record
            let image = ReplicaRecordFile.image(of: stored)
            #expect(ReplicaRecordFile.read(image, count: image.count) == stored)
        }
    }

    @Test func aDamagedOneIsNotBelieved() {
        let image = ReplicaRecordFile.image(of: ReplicaRecordFileTests.stored)
        // Header and entries; what follows in the block is nothing's.
        for byte in 0..<64 where !(36..<40).contains(byte) {
            let value = image.base.load(fromByteOffset: byte, as: UInt8.self)
            image.base.storeBytes(of: value ^ 0x10, toByteOffset: byte, as: UInt8.self)
            #expect(ReplicaRecordFile.read(image, count: image.count) == nil, "byte \(byte)")
            image.base.storeBytes(of: value, toByteOffset: byte, as: UInt8.self)
        }
        #expect(ReplicaRecordFile.read(image, count: 63) == nil, "cut off")
        #expect(ReplicaRecordFile.read(image, count: 39) == nil)
    }
}
