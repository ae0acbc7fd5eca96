import Wire

/// What a violation of the broker's promises looks like, in a sentence.
struct Violation: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// What clients know of one partition: what they sent, what they were told, what they have read. Every answer and every record that
/// is read is held against it.
final class PartitionModel {
    /// Where a record came from: the order among those of one producer tells whether they stand in order.
    struct Origin {
        var producer: Int
        var number: Int
        /// When, by the true time.
        var time: Int64
        /// It was refused before it was appended: nobody may ever read it.
        var isRefused = false
        /// A crash may take it, though it was answered: its quality of service says so.
        var isWeak = false
    }

    /// How much of its log the topic keeps.
    enum Keeping {
        case everything
        /// By size: what goes when is the broker's affair.
        case bounded
        /// What is younger, in milliseconds.
        case young(Int64)
        /// Of each key the latest.
        case compacted
    }

    /// Jumps that a clock may make and still be believed, some of them.
    private static let clockError: Int64 = 300_000

    let topic: String
    let partition: Int32
    /// By its value, which is unique.
    private var origins: [String: Origin] = [:]
    /// What was acknowledged durably, by offset.
    private(set) var acknowledged: [Int64: String] = [:]
    /// What was read, by offset: committed, so it may never be another.
    private var read: [Int64: String] = [:]
    private var offsets: [String: Int64] = [:]
    private(set) var highWatermark: Int64 = 0
    private(set) var logStart: Int64 = 0
    /// The greatest log start that was seen: what was before it need not be there.
    private var deletedBefore: Int64 = 0
    /// The drive has lied: among what it has lost may be a log start, so that deleted records are there again.
    var isDamaged = false
    /// How far the log start may have come: the greatest offset that was to be deleted.
    private(set) var deletedTo: Int64 = 0
    let keeping: Keeping
    /// What damage has taken: who sends it again may find it elsewhere.
    private var lost: Set<Int64> = []

    init(topic: String, partition: Int32, keeping: Keeping) {
        self.topic = topic
        self.partition = partition
        self.keeping = keeping
    }

    /// Retention may move the log's start.
    var isRetained: Bool {
        switch keeping {
        case .everything, .compacted: false
        case .bounded, .young: true
        }
    }

    /// Records may be missing between others.
    var isCompacted: Bool {
        if case .compacted = keeping { return true }
        return false
    }

    var name: String { "\(topic)-\(partition)" }

    // MARK: Keys

    /// A record's key follows from its value, and so does whether it is sent without one, named by a header instead: it then deletes its key.
    private static func key(of value: String) -> Int { number(value) % 23 }
    private static func isTombstone(_ value: String) -> Bool { number(value) % 7 == 0 }
    private static func number(_ value: String) -> Int { value.split(separator: "-", maxSplits: 2).dropFirst().first.flatMap { Int($0) } ?? 1 }

    func record(_ value: String, timestamp: Int64) -> Record {
        let bytes = Array(value.utf8)
        guard isCompacted else { return Record(timestamp: timestamp, value: bytes) }
        let key = Array("key \(PartitionModel.key(of: value))".utf8)
        guard PartitionModel.isTombstone(value) else { return Record(timestamp: timestamp, key: key, value: bytes) }
        return Record(timestamp: timestamp, key: key, value: nil, headers: [.init(key: "value", value: bytes)])
    }

    /// What was sent as that record.
    static func value(of record: Record) -> String { String(decoding: record.value ?? record.headers.first?.value ?? [], as: UTF8.self) }

    /// Of each key the newest record that is known; and the keys of which a record that deletes them may stand anywhere, unseen.
    private func newest(_ records: [(offset: Int64, value: String)]) -> (known: [Int: (offset: Int64, value: String)], open: Set<Int>) {
        var known: [Int: (offset: Int64, value: String)] = [:]
        let all = acknowledged.map { (offset: $0.key, value: $0.value) } + read.map { (offset: $0.key, value: $0.value) } + records
        for record in all where record.offset >= known[PartitionModel.key(of: record.value)]?.offset ?? 0 { known[PartitionModel.key(of: record.value)] = record }
        let open = origins.filter { offsets[$0.key] == nil && !$0.value.isRefused && PartitionModel.isTombstone($0.key) }
        return (known, Set(open.keys.map(PartitionModel.key)))
    }

    // MARK: What is told

    func send(_ value: String, _ origin: Origin) { origins[value] = origin }

    func refuse(_ values: [String]) { for value in values { origins[value]?.isRefused = true } }

    func acknowledge(_ values: [String], at offset: Int64) throws {
        for (delta, value) in values.enumerated() {
            let place = offset + Int64(delta)
            if let other = acknowledged[place], other != value {
                throw Violation("\(name) offset \(place): acknowledged for \(other.prefix(20)) and for \(value.prefix(20))")
            }
            if let known = offsets[value], known != place, !lost.contains(known) {
                throw Violation("\(name): \(value.prefix(20)) was at \(known), and is acknowledged at \(place)")
            }
            if let other = read[place], other != value {
                throw Violation("\(name) offset \(place): read as \(other.prefix(20)), acknowledged for \(value.prefix(20))")
            }
            if origins[value]?.isWeak != true {
                acknowledged[place] = value
                offsets[value] = place
            }
        }
    }

    func asksToDelete(before offset: Int64) { deletedTo = max(deletedTo, offset) }

    // MARK: What is seen

    /// - Parameter time: the true one, in milliseconds since 1970.
    func see(logStart start: Int64, highWatermark end: Int64, at time: Int64) throws {
        guard end >= highWatermark else { throw Violation("\(name): the high watermark goes back from \(highWatermark) to \(end)") }
        guard start >= logStart || isDamaged else { throw Violation("\(name): the log start goes back from \(logStart) to \(start)") }
        guard isRetained || start <= deletedTo else {
            throw Violation("\(name): the log starts at \(start), though only \(deletedTo) was to be deleted")
        }
        guard start <= end else { throw Violation("\(name): the log starts at \(start), behind its end \(end)") }
        if case .young(let age) = keeping, start > max(deletedTo, logStart) { try checkAges(logStart..<start, than: time - age + PartitionModel.clockError) }
        highWatermark = end
        logStart = start
        deletedBefore = max(deletedBefore, start)
    }

    /// What retention has deleted is old enough.
    private func checkAges(_ deleted: Range<Int64>, than oldest: Int64) throws {
        for (value, offset) in offsets where deleted.contains(offset) && offset >= deletedTo {
            guard let origin = origins[value], origin.time <= oldest else {
                throw Violation("\(name) offset \(offset): \(value.prefix(20)) was deleted for its age, before its time")
            }
        }
    }

    func see(_ value: String, at offset: Int64) throws {
        guard let origin = origins[value] else { throw Violation("\(name) offset \(offset): \(value.prefix(20)), which nobody sent") }
        guard !origin.isRefused else { throw Violation("\(name) offset \(offset): \(value.prefix(20)), which was refused") }
        if let other = acknowledged[offset], other != value {
            throw Violation("\(name) offset \(offset): \(value.prefix(20)), where \(other.prefix(20)) was acknowledged")
        }
        if let other = read[offset], other != value {
            throw Violation("\(name) offset \(offset): \(value.prefix(20)), where \(other.prefix(20)) was read before")
        }
        if let other = offsets[value], other != offset, !lost.contains(other) {
            throw Violation("\(name): \(value.prefix(20)) at \(other) and at \(offset)")
        }
        read[offset] = value
        offsets[value] = offset
    }

    /// A whole reading from the log's start to its end, in order. Returns how many acknowledged records were refused.
    /// - Parameter refused: the ranges that could not be read.
    func check(_ records: [(offset: Int64, value: String)], refused: [Range<Int64>]) throws -> Int {
        var last: [Int: (number: Int, offset: Int64)] = [:]
        var found = Set<Int64>()
        for record in records {
            found.insert(record.offset)
            guard let origin = origins[record.value] else { continue }
            if let before = last[origin.producer], origin.number <= before.number {
                throw Violation(
                    "\(name): of producer \(origin.producer) number \(origin.number) at \(record.offset) stands behind \(before.number) at \(before.offset)")
            }
            last[origin.producer] = (origin.number, record.offset)
        }
        let (newest, open) = isCompacted ? newest(records) : ([:], [])
        /// Whether compaction may have taken it: a later record of its key is there, or deletes it and may be gone itself.
        func isReplaced(_ offset: Int64, _ value: String) -> Bool {
            guard isCompacted, let last = newest[PartitionModel.key(of: value)] else { return false }
            // What damage has taken was refused; compaction leaves no trace of that.
            if lost.contains(offset) || lost.contains(last.offset) { return true }
            if PartitionModel.isTombstone(last.value) || open.contains(PartitionModel.key(of: value)) { return true }
            return last.offset > offset && (found.contains(last.offset) || refused.contains { $0.contains(last.offset) })
        }
        var count = 0
        for (offset, value) in acknowledged.sorted(by: { $0.key < $1.key }) where offset >= deletedBefore && !found.contains(offset) {
            if isReplaced(offset, value) { continue }
            // Of what damage took before it was compacted there is no trace.
            guard refused.contains(where: { $0.contains(offset) }) || isCompacted && isDamaged else {
                throw Violation("\(name) offset \(offset): \(value.prefix(20)) was acknowledged, and is not there")
            }
            lost.insert(offset)
            count += 1
        }
        for (offset, value) in read where offset >= deletedBefore && !found.contains(offset) {
            if isReplaced(offset, value) { continue }
            guard refused.contains(where: { $0.contains(offset) }) || isCompacted && isDamaged else {
                throw Violation("\(name) offset \(offset) was read before, and is not there")
            }
            lost.insert(offset)
        }
        return count
    }

    /// The known offsets from that one on.
    func known(from offset: Int64) -> [Int64] { Set(acknowledged.keys).union(read.keys).filter { $0 >= offset }.sorted() }
}
