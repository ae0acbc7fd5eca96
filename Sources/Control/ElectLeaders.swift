import Intake
import Metadata
import Wire

extension ControlStage {
    /// So long an election is waited for at most, in milliseconds.
    private static var longestElection: Int32 { 300_000 }

    /// The groups of the named partitions are handed to the brokers that are to lead them; or, in an unclean election, go on with those of their replicas
    /// that are there. It is answered when they are led so.
    mutating func handleElectLeaders(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(ElectLeadersRequest.self)
        let kind = ElectLeadersRequest.Kind(rawValue: message.electionType)
        let asked = message.topicPartitions ?? table.topics.map { topic in
            ElectLeadersRequest.Topic(topic: topic.name, partitions: topic.partitions.indices.map(Int32.init))
        }
        var response = ElectLeadersResponse()
        if kind == nil { response.errorCode = .invalidRequest }
        var orders: [UInt16: GroupOrder] = [:]
        var places: [PartitionName: UInt16] = [:]
        for topic in asked {
            var answer = ElectLeadersResponse.Topic()
            answer.topic = topic.topic
            for partition in topic.partitions {
                let name = PartitionName(topic: topic.topic, partition: partition)
                var result = ElectLeadersResponse.Partition()
                result.partitionId = partition
                if let flaw = flaw(name, kind) {
                    result.refuse(flaw)
                } else if let group = group(of: name) {
                    places[name] = group
                    orders[group] = kind == .unclean ? .goOnWithoutOthers : .elect
                }
                answer.partitionResult.append(result)
            }
            response.replicaElectionResults.append(answer)
        }
        guard !orders.isEmpty else { return try answer(response, request, io) }
        for (group, order) in orders where order == .goOnWithoutOthers {
            logger.warning("partition group \(group): an operator asks for an unclean election: it goes on with those of its replicas that are there")
        }
        let patience = UInt64(max(0, min(message.timeoutMs, ControlStage.longestElection))) * 1_000_000
        order(orders, .elected(response, places, isUnclean: kind == .unclean, patience: patience), request, io)
    }

    /// Why the partition's leader can't be elected so; nil: it can.
    private func flaw(_ name: PartitionName, _ kind: ElectLeadersRequest.Kind?) -> Flaw? {
        guard let group = group(of: name) else { return Flaw(.unknownTopicOrPartition, "there is no such partition") }
        let leadership = directory.leadership(of: group)
        switch kind {
        case nil: return Flaw(.invalidRequest, "no election is of that type: 0 is for preferred leaders, 1 is unclean")
        case .unclean:
            if let leader = leadership.leader, leadership.hasBegun { return Flaw(.electionNotNeeded, "broker \(leader) leads") }
            return leadership.live.isEmpty ? Flaw(.eligibleLeadersNotAvailable, "no broker that is there has a replica") : nil
        case .preferred:
            guard let wanted = directory.target(of: group).first else { return Flaw(.preferredLeaderNotAvailable, "the partition is not there yet") }
            if leadership.leader == wanted { return Flaw(.electionNotNeeded, "broker \(wanted) leads already") }
            guard leadership.live.contains(wanted) else {
                return Flaw(.preferredLeaderNotAvailable, "broker \(wanted), which is to lead, does not have the partition now")
            }
            return nil
        }
    }

    /// Elections that have come to their end, or whose time is up, are answered. Returns how many.
    mutating func finishElections(_ now: UInt64) -> Int {
        var count = 0
        for (token, election) in elections {
            let isLed = election.groups.allSatisfy { self.isLed($0, as: election) }
            guard isLed || now >= election.deadline else { continue }
            elections[token] = nil
            count += 1
            var response = election.response
            response.refuse(election.places) { group in
                if self.isLed(group, as: election) { return nil }
                return election.isUnclean
                    ? Flaw(.eligibleLeadersNotAvailable, "nobody has taken over in time")
                    : Flaw(.preferredLeaderNotAvailable, "the broker that is to lead has not taken over in time: it may lag behind")
            }
            reply(response, election.request, election.io)
        }
        return count
    }

    private func isLed(_ group: UInt16, as election: Election) -> Bool {
        let leadership = directory.leadership(of: group)
        return election.isUnclean ? leadership.leader != nil && leadership.hasBegun : leadership.leader == directory.target(of: group).first
    }
}

extension ElectLeadersResponse {
    /// Refuses the partitions of groups that have a flaw.
    mutating func refuse(_ places: [PartitionName: UInt16], _ flaw: (UInt16) -> Flaw?) {
        for index in replicaElectionResults.indices {
            let topic = replicaElectionResults[index].topic
            replicaElectionResults[index].partitionResult.refuseRest { places[PartitionName(topic: topic, partition: $0.partitionId)].flatMap(flaw) }
        }
    }
}
