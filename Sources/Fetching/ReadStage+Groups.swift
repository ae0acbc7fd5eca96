import Host
import IO
import Journal

/// Partition groups that come and go.
extension ReadStage {
    /// Takes on a group that was opened, or lets go of one that is closed. Returns how much was done.
    mutating func takeNews(_ group: Int) -> Int {
        guard closing[group] != nil || links.news[group].available() > 0 else { return 0 }
        if closing[group] == nil, let next = links.news[group].pop() {
            links.news[group].release()
            closing[group] = next.takeRetainedValue()
            isOpen[group] = false
            serving[group] = 0
            jobs.wake(group: group)
        }
        // The kernel may still be at work on an index file.
        guard let news = closing[group], indexes[group].abandonFile() else { return 0 }
        closing[group] = nil
        replace(group, by: news.group)
        isOpen[group] = news.isOpen
        news.isDone.store(true, ordering: .releasing)
        return 1
    }

    /// What was known of the group is known no more.
    private mutating func replace(_ group: Int, by new: ReadGroup) {
        while let next = links.catalogs[group].pop() { next.release() }
        links.catalogs[group].release()
        while links.batches[group].pop() != nil {}
        links.batches[group].release()
        cold.forget { $0.group == UInt16(group) }
        groups[group] = new
        keepers[group] = LogKeeper()
        keepers[group].take(table, group: group)
        indexes[group] = GroupIndex(new, group: UInt16(group), files: files, writerTag: UInt64(group), logger: logger)
        clock.saw(newest: new.newest)
    }

    /// Clients are served from when all is in the index that was committed before.
    mutating func takeServing(_ group: Int) {
        let epoch = UInt32(truncatingIfNeeded: groups[group].positions.serving.load())
        guard epoch != serving[group] else { return }
        if epoch > 0 {
            let committed = groups[group].positions.committed.load()
            let waiting = links.batches[group].peek()
            guard waiting.map({ $0.entry.end > committed }) ?? true else { return }
            // What was asked for while another led was not done.
            keepers[group].asked = [:]
            groups[group].epochs = groups[group].positions.epochs
        }
        serving[group] = epoch
        jobs.wake(group: group)
    }
}
