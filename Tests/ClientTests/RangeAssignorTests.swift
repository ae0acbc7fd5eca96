import Testing
import Wire

@testable import Client

@Suite struct RangeAssignorTests {
    private func assign(_ subscriptions: [String: [String]], _ counts: [String: Int32]) -> [String: [String: [Int32]]] {
        RangeAssignor.assign(subscriptions, counts: counts).mapValues { Dictionary(uniqueKeysWithValues: $0.map { ($0.topic, $0.partitions) }) }
    }

    @Test func theFirstMembersHaveOneMoreOfEachTopic() {
        let found = assign(["c": ["t", "u"], "a": ["t", "u"], "b": ["t", "u"]], ["t": 5, "u": 3])
        #expect(found == ["a": ["t": [0, 1], "u": [0]], "b": ["t": [2, 3], "u": [1]], "c": ["t": [4], "u": [2]]])
    }

    @Test func onlyWhoWantsATopicHasAnyOfIt() {
        let found = assign(["a": ["t"], "b": ["t", "u"], "c": []], ["t": 4, "u": 2])
        #expect(found == ["a": ["t": [0, 1]], "b": ["t": [2, 3], "u": [0, 1]], "c": [:]])
    }

    @Test func moreMembersThanPartitionsStandBy() {
        #expect(assign(["a": ["t"], "b": ["t"], "c": ["gone"]], ["t": 1]) == ["a": ["t": [0]], "b": [:], "c": [:]])
    }

    @Test(arguments: [1, 2, 7, 64] as [Int32], [1, 3, 8]) func eachPartitionIsSomebodys(count: Int32, members: Int) {
        let names = (0..<members).map { "member-\($0)" }
        let found = assign(Dictionary(uniqueKeysWithValues: names.map { ($0, ["t"]) }), ["t": count])
        #expect(names.flatMap { found[$0]?["t"] ?? [] } == Array(0..<count))
    }
}
