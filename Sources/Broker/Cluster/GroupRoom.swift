import Fetching
import Host
import IO
import Journal
import Sequencer

/// A partition group's place in a broker of a cluster, whether or not its journal is open here: what outlives its being closed and opened again.
final class GroupRoom {
    let number: UInt16
    let positions: JournalPositions
    let cache: JournalCache
    let paths: JournalPaths
    let write: StageSlot
    let flush: StageSlot
    let loader: StageSlot
    let archive: StageSlot
    let files: GroupFiles
    /// What works on the journal now; nil: nothing.
    var stages: GroupStages?

    init(
        number: UInt16, positions: JournalPositions, cache: JournalCache, paths: JournalPaths, files: GroupFiles, waker: (StageID) -> Waker
    ) {
        self.number = number
        self.positions = positions
        self.cache = cache
        self.paths = paths
        self.files = files
        let group = Int(number)
        // Requests that it has taken are answered.
        write = StageSlot("write", waker: waker(.write(group)), finishes: true)
        flush = StageSlot("flush", waker: waker(.flush(group)), hasEnded: GroupRoom.ending(files.flush))
        loader = StageSlot("loader", waker: waker(.loader(group)), hasEnded: GroupRoom.ending(files.loader))
        archive = StageSlot("archive", waker: waker(.archive(group)), hasEnded: GroupRoom.ending(files.archive))
    }

    /// Whether the kernel is done with what was asked of it through the port; what has come of it is thrown away.
    private static func ending(_ port: any FilePort) -> () -> Bool {
        {
            while port.next() != nil {}
            return port.isIdle
        }
    }

    private var slots: [StageSlot] { [write, flush, loader, archive] }

    func vacate() { for slot in slots { slot.vacate() } }

    var isVacant: Bool { slots.allSatisfy(\.isVacant) }

    /// Once it is vacant: nothing is left open, and nothing kept.
    func clear() {
        let checkpoints = stages?.channels.checkpoints
        stages = nil
        if let checkpoints {
            var left = checkpoints.receiver()
            while let checkpoint = left.pop() { checkpoint.release() }
        }
        for port in [files.flush, files.loader, files.archive] { port.closeAll() }
        positions.serving.advance(to: 0)
    }

    func fill(_ stages: GroupStages) {
        self.stages = stages
        write.fill(stages.write)
        flush.fill(stages.flush)
        loader.fill(stages.loader)
        archive.fill(stages.archive)
    }

    /// What is to be deleted, under its new name; and what is to take the journal's place.
    var removedDirectory: String { paths.directory + ".removed" }
    var snapshotDirectory: String { paths.directory + ".snapshot" }

    func identity(key: UInt32) -> JournalIdentity { JournalIdentity(group: number, key: key) }

    /// As readers are given it while it is closed.
    var closed: ReadGroup { ReadGroup(closed: identity(key: 0), positions: positions, cache: cache, paths: paths) }
}
