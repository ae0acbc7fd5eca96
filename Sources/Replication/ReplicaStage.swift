import Glibc
import Host
import IO
import Journal
import Logging

/// The replicate stage of a broker that is one of several: all its partition groups' cores, and the connections to the other brokers. The journal's
/// bytes go to the followers from the cache, many stretches at once; what comes from leaders goes to the write stages.
public struct ReplicaStage: Stage, ~Copyable {
    /// One partition group, as the stage is given it.
    public struct Group: ~Copyable {
        var positions: JournalPositions
        var cache: JournalCache
        var paths: JournalPaths
        var orders: Sender<WriteOrder>
        var seed: UInt64

        /// - Parameter seed: for the times that replicas wait at random.
        public init(
            positions: JournalPositions, cache: JournalCache, paths: JournalPaths, orders: consuming Sender<WriteOrder>, seed: UInt64
        ) {
            self.positions = positions
            self.cache = cache
            self.paths = paths
            self.orders = orders
            self.seed = seed
        }
    }

    private enum Tag {
        static let accept: UInt64 = 1
        static let firstLink: UInt64 = 1 << 16
        static let firstSource: UInt64 = 1 << 32
        /// Of files.
        static let firstRead: UInt64 = 1 << 20
    }

    /// How often cores are told the time, in nanoseconds.
    private static let tick: UInt64 = 10_000_000
    /// A way that has broken is made anew after so many nanoseconds.
    private static let patience: UInt64 = 200_000_000
    /// At least so many nanoseconds lie between two groups that are handed over so that leaders are balanced.
    private static let betweenHandovers: UInt64 = 500_000_000
    /// So many frames of one connection are taken in one step.
    private static let framesAStep = 256

    private let nodeId: Int32
    private let sockets: any SocketPort
    private let files: any FilePort
    private let listener: Int32
    private let inbox: Inbox<ReplicaNews>
    private let host: any ReplicaHost
    private let logger: Logger
    private let groups: [ReplicaGroup]
    private let paths: [JournalPaths]
    private let journals: JournalSource
    /// By broker, ascending: a few.
    private var links: [PeerLink] = []
    private var sources: [PeerSource] = []
    private var nextSource: UInt64 = 0
    private var isAccepting = false
    private var nextTick: UInt64 = 0
    /// When it is looked next whether another broker is to lead one of the groups; nil: never.
    private var nextBalance: UInt64?
    private let balance: UInt64?
    private var live: [Int32: [UInt16: UInt64]] = [:]
    /// When a way that is broken is asked for again.
    private var connectsAt: [Int32: UInt64] = [:]

    /// - Parameters:
    ///   - listener: where other brokers connect to.
    ///   - inbox: what others tell the stage.
    ///   - host: kept by the stage.
    public init(
        nodeId: Int32, sockets: any SocketPort, files: any FilePort, listener: Int32, inbox: Inbox<ReplicaNews>, host: any ReplicaHost,
        groups: consuming OwnedArray<Group>, times: ReplicaTimes, meter: StageMeter = .unwatched, logger: Logger
    ) {
        self.nodeId = nodeId
        self.sockets = sockets
        self.files = files
        self.listener = listener
        self.inbox = inbox
        self.host = host
        self.logger = logger
        balance = times.balance
        nextBalance = times.balance.map { _ in 0 }
        journals = JournalSource(files: files, firstTag: Tag.firstRead)
        var made: [ReplicaGroup] = []
        var paths: [JournalPaths] = []
        var rest = groups
        while rest.count > 0 {
            let group = rest.remove(rest.count - 1)
            paths.append(group.paths)
            made.append(
                ReplicaGroup(
                    number: rest.count, nodeId: nodeId, positions: group.positions, cache: group.cache, files: files, host: host,
                    orders: group.orders, seed: group.seed, times: times, meter: meter, logger: logger))
        }
        self.groups = made.reversed()
        self.paths = paths.reversed()
    }

    public mutating func step(_ now: Moment) -> Int {
        var progress = 0
        if !isAccepting {
            isAccepting = true
            sockets.accept(listener: listener, tag: Tag.accept)
        }
        for news in inbox.take() {
            take(news, now.monotonic)
            progress += 1
        }
        while let completion = files.next() {
            progress += 1
            if completion.tag >= Tag.firstRead { _ = journals.handle(completion) } else { groups[Int(completion.tag)].handle(completion, now.monotonic) }
        }
        while let completion = sockets.next() {
            progress += 1
            handle(completion, now.monotonic)
        }
        for source in sources { progress += takeFrames(source, now.monotonic) }
        let isTick = now.monotonic >= nextTick
        if isTick {
            nextTick = now.monotonic + ReplicaStage.tick
            reconnect(now.monotonic)
            balanceLeaders(now.monotonic)
        }
        for group in groups {
            if isTick { group.tick(now.monotonic) }
            progress += group.step(now.monotonic)
            progress += sendMessages(of: group)
        }
        for link in links { link.send() }
        return progress
    }

    public var deadline: UInt64 { nextTick }

    /// Whether the group's replica here knows how far it had come, and can read all of it.
    public func isSure(group: Int) -> Bool { groups[group].core.map { !$0.isUnsure && $0.damaged.isEmpty } ?? false }

    /// For logs: what each replica is doing.
    public var description: String { groups.map { "group \($0.number) \($0.phase) \($0.core?.description ?? "")" }.joined(separator: "; ") }

    public var isDrained: Bool { groups.allSatisfy(\.isDrained) }

    // MARK: What others tell

    private mutating func take(_ news: ReplicaNews, _ now: UInt64) {
        switch news {
        case .opened(let group, _), .mended(let group, _), .damage(let group, _), .repaired(let group, _), .snapshot(let group, _),
            .failed(let group, _), .release(let group),
            .assignment(let group, _, _, _), .swapped(let group, _, _, _, _), .resign(let group):
            guard groups.indices.contains(group) else { return }
            groups[group].take(news, now)
        case .live(let brokers):
            live = brokers
            for group in groups { group.take(news, now) }
        case .connected(let broker, let socket):
            connectsAt[broker] = nil
            if link(to: broker).connect(socket) { for group in groups { group.take(news, now) } }
        }
    }

    private mutating func link(to broker: Int32) -> PeerLink {
        if let link = links.first(where: { $0.broker == broker }) { return link }
        let link = PeerLink(broker: broker, sockets: sockets, tag: Tag.firstLink + UInt64(UInt32(bitPattern: broker)))
        links.append(link)
        links.sort { $0.broker < $1.broker }
        return link
    }

    /// Ways to all others that live.
    private mutating func reconnect(_ now: UInt64) {
        for broker in live.keys.sorted() where broker != nodeId && !link(to: broker).isConnected && now >= connectsAt[broker] ?? 0 {
            connectsAt[broker] = now + 1_000_000_000
            host.connect(to: broker)
        }
    }

    /// Hands over what others are to lead, one group at a time, so that clients have to look for few leaders at once.
    private mutating func balanceLeaders(_ now: UInt64) {
        guard let balance, let next = nextBalance, now >= next else { return }
        let isUnderWay = groups.contains { $0.balance(now) }
        nextBalance = now + (isUnderWay ? min(balance, ReplicaStage.betweenHandovers) : balance)
    }

    // MARK: Sockets

    private mutating func handle(_ completion: Completion, _ now: UInt64) {
        if completion.tag == Tag.accept {
            if completion.result >= 0 { add(completion.result) }
            if !completion.more { isAccepting = false }
        } else if completion.tag >= Tag.firstSource {
            guard let source = sources.first(where: { $0.tag == completion.tag }), !source.received(completion.result) else { return }
            end(source)
        } else if let link = links.first(where: { $0.tag == completion.tag }), !link.sent(completion.result) {
            connectsAt[link.broker] = now + ReplicaStage.patience
            if let socket = link.takeNext(), link.connect(socket) {
                for group in groups { group.take(.connected(broker: link.broker, socket: socket), now) }
            }
        }
    }

    private mutating func add(_ socket: Int32) {
        sockets.setNoDelay(socket)
        sockets.setImpatient(socket, milliseconds: PeerLink.patience)
        nextSource += 1
        let tag = Tag.firstSource + nextSource
        let source = PeerSource(socket: socket, sockets: sockets, tag: tag)
        sources.append(source)
        source.receive()
    }

    private mutating func end(_ source: PeerSource) {
        source.close()
        sockets.close(source.socket)
        sources.removeAll { $0 === source }
    }

    /// Takes the frames that have come on a connection. Returns how many.
    private mutating func takeFrames(_ source: PeerSource, _ now: UInt64) -> Int {
        guard !source.isReceiving, !source.isClosed else { return 0 }
        var count = 0
        do {
            while count < ReplicaStage.framesAStep {
                guard let bytes = try source.next() else {
                    source.receive()
                    return count
                }
                count += 1
                try take(bytes, in: source.buffer, now)
            }
        } catch {
            logger.warning("a connection from another broker (\(sockets.peerName(source.socket))) is closed: what came is damaged, or not from a broker: \(error)")
            end(source)
        }
        return count
    }

    private func take(_ bytes: UnsafeRawBufferPointer, in buffer: AlignedBuffer, _ now: UInt64) throws {
        guard let frame = PeerFrame(bytes) else { throw PeerMalformed() }
        guard groups.indices.contains(Int(frame.group)) else { return }
        let group = groups[Int(frame.group)]
        guard let own = group.core?.own, frame.toIncarnation == own.incarnation, frame.from != own else { return }
        let body = UnsafeRawBufferPointer(rebasing: bytes[PeerFrame.headerBytes...])
        try group.take(frame.message, body, in: buffer, from: frame.from, now)
    }

    // MARK: Sending

    private mutating func sendMessages(of group: ReplicaGroup) -> Int {
        guard !group.outgoing.isEmpty, let own = group.core?.own else { return 0 }
        let messages = group.outgoing
        group.outgoing.removeAll(keepingCapacity: true)
        for (message, to) in messages {
            let link = link(to: to.broker)
            guard link.isConnected else { continue }
            let frame = PeerFrame(group: UInt16(group.number), from: own, toIncarnation: to.incarnation, message: message)
            link.put(PeerLink.Piece(frame.encode()))
            switch message {
            case .append(_, _, let range, _), .bytes(_, let range):
                guard !range.isEmpty else { break }
                let number = group.number
                let logger = logger
                let host = host
                for piece in journals.pieces(
                    range, cache: group.cache, paths: paths[number],
                    failed: { [weak link] in
                        logger.error("partition group \(number): positions \(range.lowerBound) to \(range.upperBound) can't be read for another broker")
                        link?.disconnect()
                        // Others may have it.
                        host.examine(group: number, position: range.lowerBound)
                    })
                { link.put(piece) }
            default: break
            }
        }
        return messages.count
    }
}
