import DequeModule
import IO
import Wire

/// What partitions take on this broker's disk.
extension ReadStage {
    /// So many partitions are measured in one step, so that the thread's other stages don't wait.
    private static let measuredAStep = 128

    /// Goes on with the first request. Returns how much was done.
    mutating func measureLogs() -> Int {
        guard var job = logDirsJobs.popFirst() else { return 0 }
        job.measure(Self.measuredAStep) { place in
            let group = Int(place.group)
            guard group < groups.count, isOpen[group] else { return nil }
            return indexes[group].units(place.number).reduce(0) { $0 + $1.bytes }
        }
        guard job.isDone else {
            logDirsJobs.prepend(job)
            return 1
        }
        var result = DescribeLogDirsResponse.Result()
        result.logDir = directory
        result.topics = job.topics
        if let space = files.space(directory) {
            result.totalBytes = Int64(clamping: space.total)
            result.usableBytes = Int64(clamping: space.free)
        }
        var response = DescribeLogDirsResponse()
        response.results = [result]
        answer(response, job.request, io: job.io)
        return 1
    }
}
