import Meters
import Wire

extension MeterSnapshot {
    /// A counter of all stages of a kind together.
    func total(_ kind: StageKind, _ counter: String) -> UInt64 {
        guard let number = kind.counters.firstIndex(of: counter) else { return 0 }
        return stages.indices.filter { description.stages[$0].kind == kind }.reduce(0) { $0 &+ stages[$1].counters[number] }
    }

    /// What waits for a stage.
    func depth(of kind: StageKind, _ number: Int) -> UInt64 {
        description.stages.firstIndex { $0.kind == kind && $0.number == number }.map { stages[$0].depth } ?? 0
    }

    /// Requests since the start, by the API's name; of those that have come.
    var requestsByName: [String: UInt64] {
        var found: [String: UInt64] = [:]
        for (key, count) in requests.enumerated() where count > 0 {
            found[APIs.spec(Int16(key))?.name ?? "other", default: 0] += count
        }
        return found
    }

    /// Produce requests that failed since the start, by the error's name; of those that have come.
    var errorsByName: [String: UInt64] {
        var found: [String: UInt64] = [:]
        for (code, count) in errors.enumerated() where count > 0 {
            found[code < errors.count - 1 ? (ErrorCode(rawValue: Int16(code)) ?? .unknownServerError).name : "other", default: 0] += count
        }
        return found
    }
}
