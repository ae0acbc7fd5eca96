import Foundation
import Glibc

/// Which backend an operator wants.
public enum RingChoice: String, Sendable, CaseIterable {
    /// io_uring, or epoll where that is refused.
    case auto
    /// io_uring or nothing.
    case ioUring = "io_uring"
    case epoll
}

/// The rings of a process, all of one backend.
public struct RingSet {
    public let rings: [Ring]
    public let backend: RingBackend
    /// Why it had to be epoll; nil where that was wanted, or did not have to be.
    public let refusal: RingRefusal?

    /// - Throws: a `RingRefusal` where io_uring is wanted and refused, an `IOError` for anything else.
    public init(_ choice: RingChoice, count: Int) throws {
        if choice != .epoll {
            do throws(IOError) {
                rings = try RingSet.make(.ioUring, count)
                backend = .ioUring
                refusal = nil
                return
            } catch {
                guard let refusal = RingRefusal(error) else { throw error }
                guard choice == .auto else { throw refusal }
                self.refusal = refusal
            }
        } else {
            refusal = nil
        }
        rings = try RingSet.make(.epoll, count)
        backend = .epoll
    }

    private static func make(_ backend: RingBackend, _ count: Int) throws(IOError) -> [Ring] {
        var rings: [Ring] = []
        for _ in 0..<count { rings.append(try Ring(backend)) }
        return rings
    }
}

/// That a host refuses io_uring: who it is, as far as can be told, and what to do.
public struct RingRefusal: Error, Equatable, CustomStringConvertible {
    /// A positive errno.
    public let code: Int32
    /// The sysctl kernel.io_uring_disabled; nil where there is none.
    let sysctl: Int?
    /// Whether a system call filter is on this process.
    let isFiltered: Bool

    init(code: Int32, sysctl: Int?, isFiltered: Bool) {
        self.code = code
        self.sysctl = sysctl
        self.isFiltered = isFiltered
    }

    /// Nil where the error is not one by which hosts refuse io_uring.
    public init?(_ error: IOError) {
        guard [EPERM, EACCES, ENOSYS, ENOMEM].contains(error.code) else { return nil }
        func text(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }
        let value = text("/proc/sys/kernel/io_uring_disabled").map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
        let status = text("/proc/self/status") ?? ""
        self.init(code: error.code, sysctl: value.flatMap { Int($0) }, isFiltered: status.contains("\nSeccomp:\t2"))
    }

    /// What refuses it and how to allow it, in two clauses.
    private var reason: (cause: String, cure: String) {
        let profile =
            "allow io_uring_setup, io_uring_enter and io_uring_register in it (with Docker: --security-opt seccomp=PROFILE)"
        if code == ENOMEM {
            return ("too little memory may be locked", "raise the limit (ulimit -l, LimitMEMLOCK=, --ulimit memlock=)")
        }
        if let sysctl, sysctl > 0, code == EPERM {
            return ("the sysctl kernel.io_uring_disabled is \(sysctl)", "set it to 0 (sysctl -w kernel.io_uring_disabled=0)")
        }
        if isFiltered { return ("a seccomp profile, such as Docker's default, filters this process's system calls", profile) }
        if code == ENOSYS { return ("this kernel has no io_uring", "run Linux 5.19 or later, built with it") }
        return ("a security policy forbids it", "allow it there; if it is a seccomp profile, \(profile)")
    }

    public var description: String {
        "io_uring is refused here: \(describe(errno: code)). Likely reason: \(reason.cause). To allow it: \(reason.cure)."
    }
}
