import Host
import Replication

/// What goes wrong, and what operators want.
extension ReplicaSimulation {
    func disturb() {
        if now >= healsAt {
            cuts = []
            hidden = nil
            (drops, duplicates, delays) = (0, 0, 0)
            healsAt = .max
            tell("the network heals")
        }
        for index in replicas.indices where isStartable(index) && random.below(400) == 0 { start(index) }
        // Where a record is being stored, a process that ends and is there again at once has forgotten what it has not stored.
        if let index = replicas.firstIndex(where: { $0.recording != nil }), random.below(60) == 0 {
            crash(index, losesPower: false)
            start(index)
        }
        for broker in restarting.sorted() where replicas[Int(broker)].core != nil {
            crash(Int(broker), losesPower: false)
            start(Int(broker))
        }
        restarting = []
        for (broker, at) in resigning.sorted(by: { $0.key < $1.key }) where now >= at {
            resigning[broker] = nil
            guard replicas[Int(broker)].isAwake(now), replicas[Int(broker)].listens else { continue }
            count("resigned")
            replicas[Int(broker)].core!.resign(now: now)
        }
        if let rotting, now >= rotting.at { rotBehind(rotting.index) }
        if moves, random.below(700) == 0 { move() }
        guard random.below(150) == 0 else { return }
        let index = random.below(replicas.count)
        switch random.below(17) {
        case 0: crash(index, losesPower: false)
        case 1: crash(index, losesPower: true)
        case 2:
            // Rather the leader.
            if let leader = replicas.firstIndex(where: { $0.serving != nil }) { crash(leader, losesPower: random.chance(50)) }
        case 3:
            guard replicas[index].core != nil else { return }
            count("pause")
            replicas[index].pausedUntil = now + UInt64(random.below(2000)) * Self.millisecond
            tell("\(replicas[index].id) is paused for \((replicas[index].pausedUntil - now) / Self.millisecond) ms")
        case 4, 5, 6: cutNetwork(index)
        case 7:
            drops = random.below(20)
            duplicates = random.below(20)
            delays = random.below(20)
            healsAt = now + UInt64(random.below(2000)) * Self.millisecond
        case 8:
            count("storeAway")
            storeBackAt = now + UInt64(random.below(2500)) * Self.millisecond
            tell("the store is away")
        case 9: wipe(index)
        case 10: rot(index)
        case 14, 15: stallLeader()
        case 11:
            count("slowDisk")
            replicas[index].slowUntil = now + UInt64(random.below(3000)) * Self.millisecond
        case 12:
            guard replicas[index].isAwake(now), replicas[index].serving != nil else { return }
            count("resigned")
            replicas[index].core!.resign(now: now)
        case 13:
            guard !modelStore.isAway else { return }
            count("elected")
            modelStore.want(GroupTarget(brokers: modelStore.target.brokers, elections: modelStore.target.elections + 1))
        default:
            guard random.chance(20) else { return }
            count("allDown")
            for index in replicas.indices { crash(index, losesPower: random.chance(50)) }
        }
    }

    private func crash(_ index: Int, losesPower: Bool) {
        guard replicas[index].core != nil else { return }
        count(losesPower ? "powerCut" : "crash")
        tell("\(replicas[index].id) goes down\(losesPower ? ", its power cut" : "")")
        // A torn end may have been acknowledged, for all that anyone can tell. Together with a disk that is gone or damaged that is more than
        // three replicas can stand; and in a set of fewer nobody else has what came behind it.
        end(index, tears: losesPower && canLose(index))
    }

    /// The process ends, and forgets what is not on its disk.
    func end(_ index: Int, tears: Bool) {
        replicated.forgot(replicas[index].id, from: replicas[index].flushed)
        replicas[index].crash(random: &random, tears: tears)
    }

    /// Whether the process of a broker that is down may begin again with what it has.
    private func isStartable(_ index: Int) -> Bool {
        replicas[index].core == nil && replicas[index].retiresAt == nil && modelStore.names(replicas[index].broker)
    }

    /// An operator wants others to have the group, or in another order; now and then another number of them.
    private func move() {
        guard !modelStore.isAway else { return }
        let count = random.chance(60) ? min(3, replicas.count) : 1 + random.below(replicas.count)
        var brokers = modelStore.target.brokers
        if random.chance(50) {
            // One takes another's place.
            brokers[random.below(brokers.count)] = Int32(random.below(replicas.count))
        } else {
            brokers = replicas.map(\.broker)
            for place in brokers.indices { brokers.swapAt(place, place + random.below(brokers.count - place)) }
            brokers = Array(brokers.prefix(count))
        }
        // With fewer than three no disk can be done without, so none is to be missing by then.
        guard Set(brokers).count == brokers.count, brokers.count >= 3 || isSettled else { return }
        modelStore.want(GroupTarget(brokers: brokers, elections: modelStore.target.elections))
        isMoving = true
        tell("wanted is \(brokers)")
    }

    private func cutNetwork(_ index: Int) {
        let broker = replicas[index].broker
        let others = replicas.map(\.broker).filter { $0 != broker } + [Self.store]
        switch random.below(4) {
        case 0:
            count("cut")
            for other in others where random.chance(80) {
                cuts.insert(Way(from: broker, to: other))
                cuts.insert(Way(from: other, to: broker))
            }
        case 1:
            count("oneWayCut")
            let isDeaf = random.chance(50)
            for other in others { cuts.insert(isDeaf ? Way(from: other, to: broker) : Way(from: broker, to: other)) }
        case 2:
            count("bridge")
            for from in replicas.map(\.broker) where from != broker {
                for to in replicas.map(\.broker) where to != broker && to != from { cuts.insert(Way(from: from, to: to)) }
            }
        default:
            count("cut")
            cuts.insert(Way(from: broker, to: Self.store))
            cuts.insert(Way(from: Self.store, to: broker))
        }
        healsAt = now + UInt64(random.below(3000)) * Self.millisecond
        tell("cut: \(cuts.map { "\($0.from)>\($0.to)" }.sorted())")
    }

    /// A disk comes back empty. No more than replication can stand: the majority of the set that remains has everything.
    private func wipe(_ index: Int) {
        guard canLose(index) else { return }
        crash(index, losesPower: true)
        count("wiped")
        empty(index)
        tell("broker \(replicas[index].broker)'s disk is wiped: now \(replicas[index].id)")
    }

    /// The broker has another disk, with another name.
    func empty(_ index: Int) {
        nextIncarnation += 1
        replicated.forgot(replicas[index].id, from: 0)
        replicas[index].disk = ModelDisk(incarnation: nextIncarnation)
    }

    /// A stopped replica's frame becomes unreadable.
    private func rot(_ index: Int) {
        // Archives are not looked at here.
        let start = replicas[index].disk.start
        guard canLose(index), replicas[index].disk.frames.count > start else { return }
        crash(index, losesPower: true)
        count("rot")
        let length = replicas[index].disk.frames.count
        for _ in 0...random.below(3) {
            let position = random.chance(60) ? max(start, length - 1 - random.below(6)) : start + random.below(length - start)
            if replicas[index].disk.frames[position] != nil { replicas[index].disk.damaged.insert(position) }
        }
    }

    /// A leader that does not hear of a candidate goes on with those who have forgotten what they promised that one.
    func hideFromLeaders(_ candidate: Int32) {
        let leaders = replicas.filter { $0.serving != nil && $0.broker != candidate }.map(\.broker)
        guard !leaders.isEmpty else { return }
        count("candidateHidden")
        hidden = candidate
        for leader in leaders {
            cuts.formUnion([Way(from: candidate, to: leader), Way(from: leader, to: candidate), Way(from: Self.store, to: leader)])
        }
        if healsAt == .max { healsAt = now + UInt64(500 + random.below(1000)) * Self.millisecond }
    }

    /// A leader is cut off from everyone as soon as a follower with less than it has follows it: who is left must do with what that one has.
    func isolateLeader(_ leader: ReplicaID, ahead end: UInt64) {
        guard let index = replicas.firstIndex(where: { $0.id == leader }), replicas[index].log.count > Int(end) else { return }
        count("leaderIsolated")
        cuts = []
        for other in replicas.map(\.broker) + [Self.store] where other != leader.broker {
            cuts.formUnion([Way(from: leader.broker, to: other), Way(from: other, to: leader.broker)])
        }
        healsAt = now + UInt64(1000 + random.below(2000)) * Self.millisecond
    }

    /// The leader's drive stalls for a while, so that others soon have more on stable storage than it has; then one of them loses something.
    private func stallLeader() {
        guard let leader = replicas.firstIndex(where: { $0.serving != nil }) else { return }
        let others = modelStore.target.brokers.map { Int($0) }.filter { $0 != leader && replicas[$0].core != nil }
        guard let index = others.min(by: { replicas[$0].disk.start < replicas[$1].disk.start }), canLose(index) else { return }
        replicas[leader].stalledUntil = now + UInt64(500 + random.below(1500)) * Self.millisecond
        rotting = (index, now + UInt64(10 + random.below(60)) * Self.millisecond)
    }

    /// A replica's frame becomes unreadable that its leader does not have in its journal any more: so that the replica needs a snapshot.
    private func rotBehind(_ index: Int) {
        rotting = nil
        guard canLose(index), let leader = replicas.firstIndex(where: { $0.serving != nil }), leader != index else { return }
        let start = replicas[index].disk.start
        let lost = start..<max(start, min(replicas[leader].disk.start, replicas[index].disk.frames.count))
        guard !lost.isEmpty else { return }
        count("rotBehind")
        crash(index, losesPower: false)
        replicas[index].disk.damaged.insert(lost.lowerBound + random.below(lost.count))
        self.start(index)
    }

    /// A snapshot will be complete, though whose it is leads no longer: because that one hands over, or because only the replica that fetches it sees it still.
    func overtakeSnapshot(_ index: Int, _ leader: Int32, at time: UInt64) {
        if random.chance(30) { return resigning[leader] = time }
        count("snapshotLeaderCut")
        let mine = replicas[index].broker
        for other in replicas.map(\.broker) + [Self.store] where other != leader && other != mine {
            cuts.formUnion([Way(from: leader, to: other), Way(from: other, to: leader)])
        }
        healsAt = now + UInt64(1000 + random.below(2000)) * Self.millisecond
    }

    /// What had gone to a replica before its snapshot came must not be missing now, even if it was the only other one that had it.
    func afterSnapshot(_ index: Int) {
        guard isDisturbed, let leader = replicas.firstIndex(where: { $0.serving != nil }), leader != index else { return }
        guard random.chance(now < replicas[leader].stalledUntil ? 90 : 40) else { return }
        count("leaderLostAfterSnapshot")
        crash(leader, losesPower: true)
        start(leader)
        for other in replicas.indices where other != leader && other != index && random.chance(70) {
            replicas[other].pausedUntil = now + UInt64(500 + random.below(1500)) * Self.millisecond
        }
    }

    /// Whether every other replica of the set has a whole disk, and is sure of it: of what was lost there is always another copy among any majority.
    func canLose(_ index: Int) -> Bool {
        guard isSettled, modelStore.value.replicas.count >= 3, modelStore.target.brokers.contains(replicas[index].broker) else { return false }
        return modelStore.target.brokers.allSatisfy { broker in
            let other = replicas[Int(broker)]
            let isSure = !other.disk.record.isUnsure && !(other.core?.isUnsure ?? false)
            return other.broker == replicas[index].broker || isSure && other.disk.damaged.isEmpty && other.core?.damaged.isEmpty ?? true
        }
    }
}
