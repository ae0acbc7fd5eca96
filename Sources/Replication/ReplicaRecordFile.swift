// Unsafe on purpose: a small file's image, read and written in raw memory within its checked length.

import CHost
import IO
import Journal

/// What a replica keeps besides its journal, as it is found at a start.
public struct StoredReplica: Equatable, Sendable {
    public var identity: JournalIdentity
    /// The disk's name, for this partition group.
    public var incarnation: UInt64
    public var record: ReplicaRecord

    public init(identity: JournalIdentity, incarnation: UInt64, record: ReplicaRecord = ReplicaRecord()) {
        self.identity = identity
        self.incarnation = incarnation
        self.record = record
    }
}

/// The file of a replica's record: replaced whole, and believed only if its checksum fits.
///
/// Little endian: magic "HTR1" (4), the journal's key (4), the partition group (2), whether the log's end is unsure (1), zero (1), the epoch promised (4), incarnation (8), the number of
/// epochs (4), CRC-32C of the epochs (4), CRC-32C of these 32 bytes (4), zeros (4); from byte 40 on for each epoch its number (4) and
/// its start (8).
public enum ReplicaRecordFile {
    private static let magic: UInt32 = 0x3152_5448
    private static let entriesAt = 40
    private static let entryBytes = 12
    private static let mostEntries = 1 << 20

    public static func path(_ directory: String) -> String { "\(directory)/replica.record" }
    static func unfinished(_ directory: String) -> String { "\(directory)/unfinished.record" }

    static func image(of stored: StoredReplica) -> AlignedBuffer {
        let starts = stored.record.history.starts
        let image = AlignedBuffer(count: entriesAt + entryBytes * starts.count)
        func put<T: FixedWidthInteger>(_ value: T, _ at: Int) {
            image.base.storeBytes(of: value.littleEndian, toByteOffset: at, as: T.self)
        }
        for (number, start) in starts.enumerated() {
            put(start.epoch, entriesAt + entryBytes * number)
            put(start.position, entriesAt + entryBytes * number + 4)
        }
        put(magic, 0)
        put(stored.identity.key, 4)
        put(stored.identity.group, 8)
        put(UInt8(stored.record.isUnsure ? 1 : 0), 10)
        put(stored.record.promised, 12)
        put(stored.incarnation, 16)
        put(UInt32(starts.count), 24)
        put(hutong_crc32c(0, image.base + entriesAt, entryBytes * starts.count), 28)
        put(hutong_crc32c(0, image.base, 32), 32)
        return image
    }

    /// Nil: it can't be believed.
    static func read(_ image: AlignedBuffer, count: Int) -> StoredReplica? {
        func get<T: FixedWidthInteger>(_ at: Int, _: T.Type = T.self) -> T {
            T(littleEndian: image.base.loadUnaligned(fromByteOffset: at, as: T.self))
        }
        guard count >= entriesAt, get(0, UInt32.self) == magic, get(32, UInt32.self) == hutong_crc32c(0, image.base, 32) else { return nil }
        let entries = Int(get(24, UInt32.self))
        guard entries <= mostEntries, entriesAt + entryBytes * entries <= count,
            get(28, UInt32.self) == hutong_crc32c(0, image.base + entriesAt, entryBytes * entries)
        else { return nil }
        let starts = (0..<entries).map {
            EpochStart(epoch: get(entriesAt + entryBytes * $0), position: get(entriesAt + entryBytes * $0 + 4))
        }
        guard zip(starts, starts.dropFirst()).allSatisfy({ $0.epoch < $1.epoch && $0.position < $1.position }) else { return nil }
        return StoredReplica(
            identity: JournalIdentity(group: get(8), key: get(4)), incarnation: get(16),
            record: ReplicaRecord(promised: get(12), history: LogHistory(starts), isUnsure: get(10, UInt8.self) == 1))
    }

    /// Nil where there is no such file. An error where it can't be believed: what was promised is not known any more.
    public static func read(_ directory: String, blocking: BlockingFiles) throws -> StoredReplica? {
        guard let image = try blocking.contents(path(directory)) else { return nil }
        guard let stored = read(image, count: image.count) else {
            throw JournalError(
                "\(path(directory)) is damaged: what this replica has promised is not known any more. Move \(directory) away: it will be made again from the other brokers.")
        }
        return stored
    }

    public static func write(_ stored: StoredReplica, _ directory: String, blocking: BlockingFiles) throws(IOError) {
        try blocking.replace(path(directory), by: unfinished(directory), in: directory, with: image(of: stored))
    }
}
