import Wire

/// Why something that was asked for can't be done: the error, and a sentence.
struct Flaw: Error {
    let error: ErrorCode
    let reason: String

    init(_ error: ErrorCode, _ reason: String) {
        self.error = error
        self.reason = reason
    }
}
