import ArgumentParser
import Client
import Wire

/// What has become of one of the things that a command was to do something with, as programs read it.
struct Outcome: Encodable {
    var topic: String?
    var group: String?
    var partition: Int32?
    /// How many a topic has now.
    var partitions: Int32?
    /// Where a partition begins now.
    var startOffset: Int64?
    /// Where a group was to go on, nil where it had committed nothing; and where it goes on now.
    var before: Int64?
    var now: Int64?
    var setting: String?
    /// What a setting is now; nil: what it was without being given.
    var value: String?
    /// Why it was not done; nil: it was.
    var error: String?
}

/// Says what becomes of one thing after the other, in a sentence each, or at the end of all as JSON. One that fails does not keep the others from being done,
/// but the command fails at the end.
struct Outcomes {
    let json: Bool
    private var all: [Outcome] = []

    init(json: Bool) { self.json = json }

    /// - Parameter done: what is said where it was done.
    mutating func add(_ outcome: Outcome, done: @autoclosure () -> String) {
        all.append(outcome)
        if let error = outcome.error { Output.say(error) } else if !json { print(done()) }
    }

    /// - Parameter body: does it, and answers what is said of it.
    /// - Throws: where a broker can't be reached, for the next thing would wait for it as long.
    mutating func attempt(_ outcome: Outcome, _ body: (inout Outcome) throws -> String) throws {
        var outcome = outcome
        do {
            let sentence = try body(&outcome)
            add(outcome, done: sentence)
        } catch let error as ClientError {
            if case .connection = error { throw error }
            outcome.error = error.description
            add(outcome, done: "")
        }
    }

    /// What a broker has answered for topics.
    mutating func add(_ results: [(name: String, code: ErrorCode, message: String?)], done: String) {
        for result in results {
            var outcome = Outcome(topic: result.name)
            if result.code != .none {
                outcome.error = ClientError.refused(what: "topic \(result.name)", code: result.code, message: result.message).description
            }
            add(outcome, done: "\(done) \(result.name)")
        }
    }

    func finish() throws {
        if json { print(try Output.json(all), terminator: "") }
        if all.contains(where: { $0.error != nil }) { throw ExitCode.failure }
    }
}

/// Why a command did not do what it was told, to be printed as it is.
struct ToolError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
