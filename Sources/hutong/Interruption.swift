import Glibc

/// The first SIGINT or SIGTERM asks a command to come to its end; the second one ends it.
enum Interruption {
    nonisolated(unsafe) private static var flag: sig_atomic_t = 0

    static var isAsked: Bool { flag != 0 }

    /// From now on.
    static func take() {
        flag = 0
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in Interruption.flag = 1 }
        action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
        for signal in [SIGINT, SIGTERM] { sigaction(signal, &action, nil) }
    }
}
