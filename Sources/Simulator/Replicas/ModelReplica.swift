import Host
import Replication

/// A snapshot on its way: what it is to have is decided at one time, and complete at a later one.
struct ModelFetch {
    let leader: ReplicaID
    let epoch: UInt32
    let beginsAt: UInt64
    let completeAt: UInt64
    var content: (frames: [ModelFrame], start: Int)?
}

/// One broker's replica in the model: the core, and around it a log whose flushes take their time.
struct ModelReplica {
    let broker: Int32
    var disk: ModelDisk
    /// Nil: the process is down, or the replica is not wanted here.
    var core: ReplicaCore?
    /// When what it has is deleted, because neither target nor set names it.
    var retiresAt: UInt64?
    /// Nothing is stepped until then.
    var pausedUntil: UInt64 = 0
    /// The disk is slow until then; and flushes nothing until then.
    var slowUntil: UInt64 = 0
    var stalledUntil: UInt64 = 0
    var log: [ModelFrame] = []
    var flushed = 0
    /// The record that is being stored, and when it will be.
    var recording: (record: ReplicaRecord, at: UInt64)?
    /// What takes the place of damage, and when it will be on disk.
    var mending: [(range: Range<UInt64>, frames: [ModelFrame], at: UInt64)] = []
    /// The snapshots that are being fetched, one of each epoch: that of a leader before may come to its end late.
    var fetches: [ModelFetch] = []
    /// The one that is complete, and when it takes the log's place.
    var snapshot: (frames: [ModelFrame], start: Int)?
    var installing: (record: ReplicaRecord, at: UInt64)?
    /// The epoch in which clients are served.
    var serving: UInt32?
    /// How much of the log was held against what is known to be committed.
    var checked = 0
    /// What clients wait for: ids by position.
    var pending: [(position: Int, id: UInt64)] = []
    /// So far clients were told that a majority has the log in memory.
    var told = 0

    var id: ReplicaID { ReplicaID(broker: broker, incarnation: disk.incarnation) }

    func isAwake(_ now: UInt64) -> Bool { core != nil && now >= pausedUntil }

    /// Whether it hears what others say.
    var listens: Bool { core != nil && installing == nil }

    /// Log and record are what the snapshot says.
    mutating func install(_ record: ReplicaRecord) {
        guard let snapshot else { return }
        disk.frames = snapshot.frames
        disk.damaged = []
        disk.start = snapshot.start
        disk.record = record
        log = snapshot.frames
        flushed = log.count
        checked = 0
        mending = []
        installing = nil
        self.snapshot = nil
    }

    mutating func start(times: ReplicaTimes, seed: UInt64, now: UInt64) {
        let (found, damaged) = disk.recover()
        log = found
        flushed = log.count
        checked = 0
        let shape = LogShape(start: UInt64(disk.start), history: disk.record.history, end: UInt64(log.count), damaged: damaged)
        core = ReplicaCore(own: id, record: disk.record, shape: shape, times: times, seed: seed, now: now)
    }

    /// The process ends. Of what was not flushed some is written, some is not, and some is torn.
    mutating func crash(random: inout SeededRandom, tears: Bool) {
        for position in flushed..<max(flushed, log.count) where random.chance(50) {
            disk.write(log[position], at: position)
            if tears, random.chance(20) { disk.damaged.insert(position) }
        }
        if let recording, random.chance(50) { disk.record = recording.record }
        if let installing, random.chance(50) { install(installing.record) }
        (snapshot, installing) = (nil, nil)
        fetches = []
        core = nil
        recording = nil
        mending = []
        serving = nil
        pending = []
        told = 0
        log = []
        flushed = 0
    }
}
