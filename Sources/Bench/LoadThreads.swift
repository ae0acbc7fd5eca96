import Glibc
import Host
import IO
import Synchronization

/// What a thread's load tells the one that waits for it.
final class LoadProgress: Sendable {
    let answered = Atomic<Int>(0)
    private let over = Atomic<Bool>(false)
    private let failure = Mutex<(any Error)?>(nil)

    var isOver: Bool { over.load(ordering: .acquiring) }
    var error: (any Error)? { failure.withLock { $0 } }

    /// The first end counts.
    func end(_ error: (any Error)?) {
        failure.withLock {
            guard !isOver else { return }
            $0 = error
            over.store(true, ordering: .releasing)
        }
    }
}

/// Threads that run a load's stages, until they are stopped.
final class LoadThreads {
    private var controls: [ExecutorControl] = []

    /// - Parameter stages: one for each thread.
    init(_ name: String, _ stages: [AnyStage], _ rings: [Ring]) throws {
        for (number, stage) in stages.enumerated() {
            let executor = Executor(name: "\(name)-\(number)", cpu: nil, stages: [stage], source: rings[number], spins: 0)
            let control = executor.control
            let started = executor.start()
            guard started == 0 else {
                stop()
                throw LoadError("starting a thread: \(describe(errno: -started))")
            }
            controls.append(control)
        }
    }

    /// Returns when they have ended: what they worked on is the caller's again.
    func stop() {
        for control in controls { control.stop() }
        while controls.contains(where: { !$0.hasEnded }) { usleep(1000) }
        controls = []
    }
}
