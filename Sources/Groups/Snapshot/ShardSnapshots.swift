import IO
import Journal
import Wire

/// The snapshots' files: one is written at a time; each is read when its shard begins to load. Nothing waits for a disk.
struct ShardSnapshots {
    /// A snapshot that is to be written.
    struct Order {
        let partition: Int32
        let topic: Uuid
        /// Who leads the journal in that epoch has made it,
        let group: Int
        let epoch: UInt64
        /// and all that is in it stands before this position: once that is committed, no other log can be without it.
        let position: UInt64
        let madeAt: Int64
    }

    enum Event {
        /// What a shard of that life has asked for; nil: there is none that can be believed.
        case read(Int32, Uuid, life: UInt64, ShardSnapshotReader?)
        case written(Order, records: Int)
        /// The one before is there still.
        case failed(Order, String)
    }

    private enum Writing {
        case nothing
        case encoding(Order, ShardSnapshotEncoder)
        case waiting(Order, AlignedBuffer, records: Int)
        case underWay(Order, records: Int)
    }

    private struct Reading {
        let partition: Int32
        let topic: Uuid
        let life: UInt64
        let file: Int32
        let image: AlignedBuffer
        let count: Int
        var done = 0
    }

    private static let writeTag: UInt64 = 0
    private static let recordsAStep = 1000
    private static let readBytes = 4 << 20

    private let files: any FilePort
    private let directory: String
    private var replacer: FileReplacer
    private var writing = Writing.nothing
    private var readings: [UInt64: Reading] = [:]
    private var nextTag = writeTag + 1
    private var events: [Event] = []

    /// - Parameter directory: where the broker keeps everything.
    init(files: any FilePort, directory: String) {
        self.files = files
        self.directory = directory
        replacer = FileReplacer(files: files, tag: ShardSnapshots.writeTag, directory: nil)
    }

    /// Another can be written.
    var isFree: Bool {
        if case .nothing = writing { return true }
        return false
    }

    /// The kernel has nothing of it.
    var isAtRest: Bool { replacer.isIdle && readings.isEmpty }

    /// One waits until what it says is committed.
    var isWaiting: Bool {
        if case .waiting = writing { return true }
        return false
    }

    private func directory(_ group: Int) -> String { JournalPaths.directory(in: directory, group: group) }

    // MARK: Reading

    /// Begins to read; false: there is none.
    mutating func read(_ partition: Int32, of topic: Uuid, group: Int, life: UInt64) -> Bool {
        guard let file = try? files.open(ShardSnapshot.path(directory(group), partition: partition), .readDirect) else { return false }
        guard let size = try? files.size(file), size >= UInt64(ShardSnapshot.headerBytes), size <= UInt64(ShardSnapshot.mostBytes) else {
            files.close(file)
            return false
        }
        let reading = Reading(partition: partition, topic: topic, life: life, file: file, image: AlignedBuffer(uninitialized: Int(size)), count: Int(size))
        let tag = nextTag
        nextTag += 1
        readings[tag] = reading
        proceed(reading, tag)
        return true
    }

    private func proceed(_ reading: Reading, _ tag: UInt64) {
        let count = min(reading.image.count - reading.done, ShardSnapshots.readBytes)
        files.read(reading.file, into: reading.image.base + reading.done, count: count, offset: UInt64(reading.done), tag: tag)
    }

    private mutating func take(_ completion: Completion) {
        guard var reading = readings[completion.tag] else { return }
        reading.done += Int(max(completion.result, 0))
        if completion.result > 0, reading.done < reading.count, reading.done % directAlignment == 0 {
            readings[completion.tag] = reading
            return proceed(reading, completion.tag)
        }
        readings[completion.tag] = nil
        files.close(reading.file)
        let reader = reading.done >= reading.count ? ShardSnapshotReader(reading.image, count: reading.count) : nil
        events.append(.read(reading.partition, reading.topic, life: reading.life, reader))
    }

    // MARK: Writing

    /// Begins with a snapshot of the shard as it is now.
    mutating func write(_ shard: GroupShard, _ order: Order) {
        precondition(isFree, "one at a time")
        writing = .encoding(order, ShardSnapshotEncoder(shard, topic: order.topic, partition: order.partition, madeAt: order.madeAt))
    }

    /// Goes on with what there is to do. Returns how much was done.
    /// - Parameter isEnding: no file is begun any more.
    mutating func proceed(_ positions: [JournalPositions], isEnding: Bool) -> Int {
        var count = 0
        while let completion = files.next() {
            count += 1
            if completion.tag == ShardSnapshots.writeTag { wrote(completion) } else { take(completion) }
        }
        switch writing {
        case .nothing, .underWay: return count
        case .encoding(let order, var encoder):
            // So that there is one encoder, and its bytes are not copied.
            writing = .nothing
            do {
                if let image = try encoder.proceed(records: ShardSnapshots.recordsAStep) {
                    writing = .waiting(order, image, records: encoder.recordCount)
                } else {
                    writing = .encoding(order, encoder)
                }
            } catch { events.append(.failed(order, error.reason)) }
        case .waiting(let order, let image, let records):
            // In this order: while this broker leads in that epoch, what it has written before the position is what is committed there.
            let isCommitted = positions[order.group].committed.load() >= order.position
            // Else what it says may never be committed.
            guard !isEnding, positions[order.group].serving.load() == order.epoch else {
                writing = .nothing
                break
            }
            guard isCommitted else { return count }
            begin(order, image, records)
        }
        return count + 1
    }

    private mutating func begin(_ order: Order, _ image: AlignedBuffer, _ records: Int) {
        writing = .nothing
        guard image.count <= ShardSnapshot.mostBytes else { return events.append(.failed(order, "it would have \(image.count) bytes")) }
        let directory = directory(order.group)
        do {
            try replacer.begin(ShardSnapshot.path(directory, partition: order.partition), by: ShardSnapshot.unfinished(directory), contents: .image(image))
            writing = .underWay(order, records: records)
        } catch { events.append(.failed(order, "\(error)")) }
    }

    private mutating func wrote(_ completion: Completion) {
        guard case .underWay(let order, let records) = writing else { return }
        switch replacer.handle(completion) {
        case .underWay: return
        case .done: events.append(.written(order, records: records))
        case .failed(let error): events.append(.failed(order, "\(error)"))
        }
        writing = .nothing
    }

    mutating func takeEvents() -> [Event] {
        defer { events = [] }
        return events
    }
}
