import Journal
import Metadata

extension JournalPositions {
    /// What answers of that quality wait for.
    func position(of quality: QualityOfService) -> UInt64 {
        switch quality {
        case .oneWay, .received: appended.load()
        case .persisted: flushed.load()
        case .replicated: replicated.load()
        case .durable: committed.load()
        case .inSync: inSync.load()
        }
    }
}
