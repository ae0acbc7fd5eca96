import Dispatch
import Host
import IO
import Logging
import Replication
import Synchronization

/// Makes connections to other brokers, which may take its time: names are looked up, hosts may not answer.
final class Dialer: Sendable {
    private let logger: Logger
    private let dialing = Mutex<Set<Int32>>([])
    /// Of whom it was said that they can't be reached.
    private let missing = Mutex<Set<Int32>>([])

    init(logger: Logger) { self.logger = logger }

    /// Tries once, unless it is being tried.
    /// - Parameter inbox: is told of the connection.
    func dial(_ broker: Int32, host: String, port: UInt16, inbox: Inbox<ReplicaNews>) {
        guard dialing.withLock({ $0.insert(broker).inserted }) else { return }
        DispatchQueue.global().async { [self] in
            do throws(IOError) {
                let socket = try connect(host: host, port: port)
                _ = missing.withLock { $0.remove(broker) }
                logger.info("connected to broker \(broker) at \(host):\(port)")
                inbox.put(.connected(broker: broker, socket: socket))
            } catch {
                if missing.withLock({ $0.insert(broker).inserted }) { logger.notice("broker \(broker): \(error); trying again every second") }
            }
            _ = dialing.withLock { $0.remove(broker) }
        }
    }
}
