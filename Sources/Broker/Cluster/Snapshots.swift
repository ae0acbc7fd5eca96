import Host
import IO
import Journal
import Logging
import Replication

/// Snapshots of partition groups' journals, as the steward handles them: pieces are read for other brokers, and what comes from them is taken in, and put
/// in the place of a journal.
struct Snapshots {
    private let rooms: [GroupRoom]
    private let blocking: BlockingFiles
    private let dataDirectory: String
    private let options: JournalOptions
    private let logger: Logger
    private var sources: [SnapshotSource]
    private var targets: [SnapshotTarget?]
    private(set) var installed = 0
    /// What went wrong last, of each group: it is not said again.
    private var said: [String]

    init(rooms: [GroupRoom], blocking: BlockingFiles, dataDirectory: String, options: JournalOptions, logger: Logger) {
        self.rooms = rooms
        self.blocking = blocking
        self.dataDirectory = dataDirectory
        self.options = options
        self.logger = logger
        sources = rooms.map {
            SnapshotSource(blocking: blocking, paths: $0.paths, group: $0.number, segmentBytes: options.segmentBytes)
        }
        targets = rooms.map { _ in nil }
        said = rooms.map { _ in "" }
    }

    /// Returns what is to be told of it.
    mutating func carryOut(_ order: SnapshotOrder, _ group: Int) -> SnapshotNews? {
        switch order {
        case .give(let stretch, let end, let epoch, let to): return give(stretch, end, epoch, to, group)
        case .drop:
            drop(group)
            return nil
        case .install: return nil
        case .restart: return targets[group].map { .step($0.restart(), isLate: true) }
        case .begin(let history):
            drop(group)
            do {
                let target = try makeTarget(group, history)
                targets[group] = target
                return .step(target.restart(), isLate: false)
            } catch {
                say(error, group)
                return .failed
            }
        case .take(let stretch, let bytes, let size):
            guard let target = targets[group] else { return nil }
            do {
                let step = try target.take(stretch, bytes, size: size)
                // What begins anew because something was not as its head says does so after a while.
                if case .wants(let next) = step, next.file == .head, stretch.file != .head { return .step(step, isLate: true) }
                return .step(step, isLate: false)
            } catch {
                say(error, group)
                return .step(target.restart(), isLate: true)
            }
        }
    }

    private mutating func say(_ error: any Error, _ group: Int) { say("a snapshot can't be taken in: \(error); tried again", group) }

    private mutating func say(_ reason: String, _ group: Int) {
        guard said[group] != reason else { return }
        said[group] = reason
        logger.error("partition group \(group): \(reason)")
    }

    private func makeTarget(_ group: Int, _ history: LogHistory) throws -> SnapshotTarget {
        let room = rooms[group]
        guard let stored = try ReplicaRecordFile.read(room.paths.directory, blocking: blocking) else {
            throw JournalError("\(room.paths.directory) has no replica.record")
        }
        return try SnapshotTarget(
            blocking: blocking, directory: room.snapshotDirectory, journal: stored.identity, epochs: EpochHistory(history.starts),
            segmentBytes: options.segmentBytes, reserveBytes: options.reserveBytes, logger: logger)
    }

    private mutating func give(
        _ stretch: SnapshotStretch, _ end: UInt64, _ epoch: UInt32, _ to: ReplicaID, _ group: Int
    ) -> SnapshotNews {
        var found: (bytes: [UInt8], size: UInt64)?
        do {
            found = try sources[group].read(stretch, end: end)
        } catch {
            say("\(stretch.file) can't be read for a snapshot: \(error)", group)
        }
        return .given(stretch, found?.bytes ?? [], size: found?.size ?? 0, epoch: epoch, to: to)
    }

    // MARK: In the journal's place

    /// The snapshot, which is complete, takes the place of the journal, which is closed. Each step is on stable storage before the next; what a crash leaves
    /// between two `finish` puts right. To be tried again after an error.
    mutating func install(_ group: Int, _ stored: StoredReplica) throws {
        let room = rooms[group]
        targets[group] = nil
        said[group] = ""
        guard (try? blocking.files.list(room.snapshotDirectory)) != nil else { return }
        if (try? blocking.files.list(room.removedDirectory)) != nil { try blocking.removeTree(room.removedDirectory) }
        // With a record it counts as complete.
        try ReplicaRecordFile.write(stored, room.snapshotDirectory, blocking: blocking)
        try blocking.syncDirectory(dataDirectory)
        if (try? blocking.files.list(room.paths.directory)) != nil {
            try blocking.files.rename(room.paths.directory, to: room.removedDirectory)
            try blocking.syncDirectory(dataDirectory)
        }
        try putInPlace(room)
        installed += 1
        try blocking.removeTree(room.removedDirectory)
    }

    private func putInPlace(_ room: GroupRoom) throws(IOError) {
        try blocking.files.rename(room.snapshotDirectory, to: room.paths.directory)
        try blocking.syncDirectory(dataDirectory)
    }

    /// After a start: a complete snapshot whose journal had been put aside takes its place; any other is begun anew when it is needed.
    func finish(_ room: GroupRoom) throws {
        guard (try? blocking.files.list(room.snapshotDirectory)) != nil else { return }
        let isComplete = try? ReplicaRecordFile.read(room.snapshotDirectory, blocking: blocking) != nil
        guard isComplete == true, try ReplicaRecordFile.read(room.paths.directory, blocking: blocking) == nil else {
            return try blocking.removeTree(room.snapshotDirectory)
        }
        try putInPlace(room)
    }

    /// It is not needed any more.
    mutating func drop(_ group: Int) {
        targets[group] = nil
        let directory = rooms[group].snapshotDirectory
        if (try? blocking.files.list(directory)) != nil { try? blocking.removeTree(directory) }
    }
}
