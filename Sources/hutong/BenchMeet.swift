import ArgumentParser
import Bench
import Foundation
import Glibc
import IO
import Settings

extension MeetingForm: ExpressibleByArgument {}

/// `hutong bench meet`.
struct BenchMeet: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "meet", abstract: "Let two old men meet so many times on one TCP connection; every sentence is checked.",
        discussion: """
            At each meeting Zhang asks one question and Li two, and each is answered; nobody waits for the other. Both sides run here by \
            default, over a real connection. With --listen this side is Zhang and waits for Li, with --connect it is Li. \
            The form parts, sentences, reads and batched use blocking system calls, each with one change from the one before; ring is \
            the broker's own transport.
            """)

    @Option(name: .long, help: "How often they meet.") var meetings = 100_000
    @Option(name: .long, help: "parts, sentences, reads, batched or ring.") var form = MeetingForm.ring
    @Flag(name: .long, help: "All forms, one after the other.") var ladder = false
    @Option(name: .long, help: "So many runs, of which the median counts.") var runs = 1
    @Option(name: .long, help: ArgumentHelp("Be Li, and go where Zhang is.", valueName: "host:port")) var connect: String?
    @Option(name: .long, help: ArgumentHelp("Be Zhang, and wait there.", valueName: "host:port")) var listen: String?

    func validate() throws {
        guard (1...Int(Int32.max) / 2).contains(meetings), runs > 0 else { throw ValidationError("--meetings and --runs must be greater than zero.") }
        guard connect == nil || listen == nil else { throw ValidationError("--connect and --listen are for one side each.") }
        guard [connect, listen].compactMap({ $0 }).allSatisfy({ HostPort($0) != nil }) else {
            throw ValidationError("--connect and --listen must be host:port.")
        }
    }

    func run() throws {
        for form in ladder ? MeetingForm.allCases : [form] {
            let times = try (0..<runs).map { _ in try meet(form) }.sorted()
            let seconds = times[times.count / 2]
            print(
                String(
                    format: "%@  %8.1f ms  %10.0f meetings/s  %11.0f sentences/s",
                    form.rawValue.padding(toLength: 9, withPad: " ", startingAt: 0), seconds * 1e3, Double(meetings) / seconds,
                    Double(6 * meetings) / seconds))
        }
    }

    private func meet(_ form: MeetingForm) throws -> Double {
        let load = MeetingLoad(form: form, meetings: meetings)
        if let address = connect.flatMap({ HostPort($0) }) {
            return try load.one(.li, socket: try IO.connect(host: address.host, port: address.port))
        }
        if let address = listen.flatMap({ HostPort($0) }) {
            let listener = try Listener(host: address.host, port: address.port, backlog: 1)
            defer { Glibc.close(listener.socket) }
            Output.say("waiting on \(address.host):\(listener.port)")
            let socket = Glibc.accept(listener.socket, nil, nil)
            guard socket >= 0 else { throw LoadError("accepting: \(describe(errno: errno))") }
            return try load.one(.zhang, socket: socket)
        }
        return try load.both()
    }
}
