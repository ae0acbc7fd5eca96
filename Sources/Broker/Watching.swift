import Host
import IO
import Intake
import Journal
import Meters
import Responses

/// What the board is told of each thread's stages: how much waits for them, and how far the journals have come.
struct Watching {
    let board: MeterBoard
    let plan: PlacementPlan
    /// One replicate stage does it for all partition groups.
    let isCluster: Bool
    let wiring: Wiring
    let intakePorts: [RingPort?]
    /// Of each partition group; and how many bytes its cache has.
    let positions: [JournalPositions]
    let cacheBytes: Int

    /// What the thread's executor is to tell.
    func meter(ofThread number: Int) -> ThreadMeter {
        let stages = plan.threads[number].stages
        var copies: [() -> Void] = []
        for stage in stages {
            // Of each partition group by all threads that move it: each moves some positions while the others sleep, and one may hang.
            let groups: [Int] = switch stage {
            case .write(let group), .flush(let group): [group]
            case .replicate(let group): isCluster ? Array(positions.indices) : [group]
            case .respond: Array(positions.indices)
            default: []
            }
            for group in groups { copies.append { [board, positions] in Watching.copy(positions[group], group, to: board) } }
        }
        return board.meter(ofThread: number, queues: stages.map(queue), copies: copies)
    }

    private static func copy(_ positions: JournalPositions, _ group: Int, to board: MeterBoard) {
        let words: [(MeterBoard.GroupWord, UInt64)] = [
            (.start, positions.start.load()), (.appended, positions.appended.load()), (.flushed, positions.flushed.load()),
            (.replicated, positions.replicated.load()), (.committed, positions.committed.load()), (.answered, positions.answered.load(ordering: .relaxed)),
            (.recoverable, positions.recoverable.load()), (.servingEpoch, positions.serving.load()), (.inSyncReplicas, positions.serving.load() == 0 ? 0 : positions.inSyncReplicas.load()),
            (.majority, positions.majority.load()), (.failure, positions.failed.load()), (.hasSpace, positions.space.load()),
        ]
        for (word, value) in words { board.set(group: group, word, value) }
    }

    private func queue(_ stage: StageID) -> StageQueue? {
        switch stage {
        case .io(let io): intakePorts.indices.contains(io) ? intakePorts[io].map(completions) : nil
        case .write(let group): waiting(in: wiring.requests.map { $0[group] })
        case .flush(let group):
            StageQueue(
                entered: { [positions] in positions[group].appended.load() }, left: { [positions] in positions[group].flushed.load() }, capacity: cacheBytes)
        case .replicate(let group): replicating(group)
        case .respond(let io):
            waiting(in: wiring.pending[io].flatMap { $0 }) + waiting(in: [wiring.readAnswers[io], wiring.controlAnswers[io], wiring.groupAnswers[io]])
                + waiting(in: [wiring.toRespond[io]])
        case .loader(let group): segmentsAhead(group)
        // Entries wait for the commit, which is not the stage's to make.
        case .read: waiting(in: wiring.readRequests)
        case .control: waiting(in: wiring.controlRequests)
        case .groups: waiting(in: wiring.groupRequests)
        case .archive: nil
        }
    }

    private func completions(_ port: RingPort) -> StageQueue {
        StageQueue(entered: { UInt64(port.delivered) }, left: { UInt64(port.delivered - port.waiting) }, capacity: 0)
    }

    private func waiting<Element>(in channels: [Channel<Element>]) -> StageQueue {
        StageQueue(
            entered: { channels.reduce(0) { $0 &+ UInt64($1.published) } }, left: { channels.reduce(0) { $0 &+ UInt64($1.consumed) } },
            capacity: channels.reduce(0) { $0 + $1.capacity })
    }

    /// What is on stable storage here and not committed, of the groups that are led here.
    private func replicating(_ group: Int) -> StageQueue {
        let groups = isCluster ? positions : [positions[group]]
        func committed() -> UInt64 { groups.reduce(0) { $0 &+ $1.committed.load() } }
        return StageQueue(
            entered: {
                groups.reduce(0) { sum, each in
                    let committed = each.committed.load()
                    return sum &+ (each.serving.load() == 0 ? committed : max(committed, each.flushed.load()))
                }
            }, left: committed, capacity: cacheBytes * groups.count)
    }

    /// One segment is to stand ready: where none does, one is waited for.
    private func segmentsAhead(_ group: Int) -> StageQueue {
        let (ahead, positions) = (wiring.segmentsAhead[group], positions[group])
        func count(_ of: (Channel<LoadedSegment>) -> Int) -> UInt64? { ahead.withLock { channel in channel.map { UInt64(of($0)) } } }
        return StageQueue(
            entered: { positions.serving.load() == 0 ? 0 : (count { $0.consumed + 1 } ?? 0) }, left: { count { $0.published } ?? 0 }, capacity: 1)
    }
}

extension StageQueue {
    static func + (one: StageQueue, other: StageQueue) -> StageQueue {
        StageQueue(
            entered: { one.entered() &+ other.entered() }, left: { one.left() &+ other.left() }, capacity: Int(one.capacity + other.capacity))
    }
}
