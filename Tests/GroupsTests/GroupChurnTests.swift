import Groups
import Host
import Testing
import Wire

/// Members that do what clients do, and come, go, fall silent and lose answers at random. Whatever happens, all who are there in the end share one generation,
/// and each has what the leader gave it.
@Suite struct GroupChurnTests {
    private struct Client {
        var id = ""
        var generation: Int32 = -1
        var assignment: [UInt8]?
        var joining: UInt64?
        var syncing: UInt64?
        var isGone = false
        let instance: String?
    }

    @Test(arguments: 0..<200) func allAgreeInTheEnd(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let harness = GroupHarness()
        var clients: [Client] = []
        for round in 0..<400 {
            let isQuiet = round >= 300
            if !isQuiet, clients.count < 8, Int.random(in: 0..<20, using: &random) == 0 {
                clients.append(Client(instance: Bool.random(using: &random) ? "i\(clients.count)" : nil))
            }
            for index in clients.indices where !clients[index].isGone {
                if !isQuiet {
                    switch Int.random(in: 0..<100, using: &random) {
                    case 0:
                        clients[index].isGone = true
                        continue
                    case 1:
                        _ = harness.leave(clients[index].id, instance: clients[index].instance)
                        clients[index].isGone = true
                        continue
                    case 2:
                        // Its answer is lost, or its process was started again.
                        clients[index].joining = nil
                        clients[index].syncing = nil
                        if Bool.random(using: &random) { clients[index].id = "" }
                    default: break
                    }
                }
                step(&clients[index], harness)
            }
            if Int.random(in: 0..<3, using: &random) > 0 || isQuiet { harness.store(!isQuiet && Int.random(in: 0..<10, using: &random) == 0 ? .notCoordinator : .none) }
            harness.pass(seconds: Double(Int.random(in: 0...20, using: &random)) / 10)
        }
        let living = clients.filter { !$0.isGone }
        guard !living.isEmpty else {
            #expect(harness.group.state == .empty)
            return
        }
        #expect(harness.group.state == .stable)
        #expect(Set(living.map(\.id)) == Set(harness.group.members.keys))
        for client in living {
            #expect(client.generation == harness.group.generation && client.assignment == Array("\(client.generation) \(client.instance ?? client.id)".utf8))
        }
    }

    /// What a client does next.
    private func step(_ client: inout Client, _ harness: GroupHarness) {
        if let token = client.joining {
            guard let answer = harness.joined[token] else { return }
            client.joining = nil
            switch answer.errorCode {
            case .none:
                client.id = answer.memberId
                client.generation = answer.generationId
                let isLeader = answer.leader == answer.memberId && !answer.skipAssignment
                let assignments = isLeader ? answer.members.map { ($0.memberId, "\(answer.generationId) \($0.groupInstanceId ?? $0.memberId)") } : []
                client.syncing = harness.sync(client.id, generation: client.generation, instance: client.instance, assignments)
            case .memberIdRequired: client.id = answer.memberId
            default: client.id = ""
            }
        } else if let token = client.syncing {
            guard let answer = harness.synced[token] else { return }
            client.syncing = nil
            client.assignment = answer.errorCode == .none ? answer.assignment : nil
            if answer.errorCode == .unknownMemberId || answer.errorCode == .fencedInstanceId { client.id = "" }
        } else if client.assignment != nil {
            switch harness.heartbeat(client.id, generation: client.generation, instance: client.instance) {
            case .none: break
            case .rebalanceInProgress, .illegalGeneration: client.assignment = nil
            default: (client.assignment, client.id) = (nil, "")
            }
        } else {
            client.joining = harness.join(client.id, instance: client.instance, rebalance: 5000, knowsIdRequired: true)
        }
    }
}
