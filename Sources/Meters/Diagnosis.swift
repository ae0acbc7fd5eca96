/// Which stage the others wait for, and how that is known.
public struct Diagnosis: Sendable, Equatable {
    public enum Finding: Sendable, Equatable {
        /// Its thread has not come back from it for so many nanoseconds.
        case hangs(UInt64)
        /// Something has waited for it for so many nanoseconds, in which it has done nothing.
        case stands(UInt64)
        /// What waits for it waits longer than anywhere else.
        case slowest(UInt64)
    }

    /// An index into the description's stages.
    public let stage: Int
    public let finding: Finding

    /// After so many nanoseconds without progress a stage is held to hang or to stand.
    public static let patience: UInt64 = 1_000_000_000
    /// Shorter waiting than this, in nanoseconds, is not worth a word.
    public static let noticeable: UInt64 = 1_000_000

    /// Whether the broker does not go on by itself: not only slow.
    public var isStuck: Bool {
        switch finding {
        case .hangs, .stands: true
        case .slowest: false
        }
    }

    /// For how long it has been so, in nanoseconds.
    public var duration: UInt64 {
        switch finding {
        case .hangs(let time), .stands(let time), .slowest(let time): time
        }
    }

    /// Whether only this process can be the reason. Stages that count majorities and that wait for them may wait for other brokers.
    public func isOwn(_ description: BoardDescription) -> Bool {
        if case .hangs = finding { return true }
        return isStuck && ![.replicate, .respond].contains(description.stages[stage].kind)
    }

    /// The order in which stages that stand are blamed: each may be the reason for those behind it, never the other way round. What is not flushed keeps
    /// the loader from freeing segments, without which the writer has no room, for which the io stage waits; and answers wait for flush and replicate.
    private static let causes: [StageKind] = [.flush, .replicate, .loader, .write, .respond, .read, .control, .groups, .io, .archive]

    /// Nil: nothing waits for long anywhere.
    public init?(_ now: MeterSnapshot) {
        if let found = Diagnosis.hanging(now) ?? Diagnosis.standing(now) ?? Diagnosis.slowest(now) { self = found } else { return nil }
    }

    private init(stage: Int, finding: Finding) {
        self.stage = stage
        self.finding = finding
    }

    private static func hanging(_ now: MeterSnapshot) -> Diagnosis? {
        for (number, thread) in now.threads.enumerated() where !thread.sleeps && thread.turnedAt > 0 {
            let silent = now.takenAt > thread.turnedAt ? now.takenAt - thread.turnedAt : 0
            // Where it is in none of them the kernel has it: its first stage stands for all.
            guard silent > patience, let stage = thread.stage ?? now.description.threads[number].stages.first else { continue }
            return Diagnosis(stage: stage, finding: .hangs(silent))
        }
        return nil
    }

    private static func standing(_ now: MeterSnapshot) -> Diagnosis? {
        for kind in causes {
            for (index, stage) in now.stages.enumerated() where now.description.stages[index].kind == kind {
                let idle = now.takenAt > stage.workedAt ? now.takenAt - max(stage.workedAt, now.startedAt) : 0
                let waiting = min(idle, stage.oldest)
                // What can't be made because the disk is full is refused to producers: everything else goes on.
                let lacksSpace = kind == .loader && now.groups[now.description.stages[index].number][.hasSpace] == 0
                if stage.depth > 0, waiting > patience, !lacksSpace { return Diagnosis(stage: index, finding: .stands(waiting)) }
            }
        }
        return nil
    }

    /// Answers wait for the positions anyway: of their waiting only what goes beyond that counts.
    private static func slowest(_ now: MeterSnapshot) -> Diagnosis? {
        func waiting(_ kinds: Set<StageKind>) -> UInt64 {
            now.stages.indices.filter { kinds.contains(now.description.stages[$0].kind) }.map { now.stages[$0].oldest }.max() ?? 0
        }
        let positions = waiting([.flush, .replicate])
        var found: (stage: Int, waiting: UInt64)?
        for (index, stage) in now.stages.enumerated() {
            let kind = now.description.stages[index].kind
            // A segment that is being made ahead keeps nobody waiting.
            guard kind != .loader, kind != .archive else { continue }
            let oldest = kind == .respond ? (stage.oldest > positions ? stage.oldest - positions : 0) : stage.oldest
            if oldest >= noticeable, oldest > found?.waiting ?? 0 { found = (index, oldest) }
        }
        return found.map { Diagnosis(stage: $0.stage, finding: .slowest($0.waiting)) }
    }
}
