/// A job's share of one partition. A job has them in the order of its topics.
protocol TopicPart {
    /// The topic's number among those of the request.
    var topic: Int { get }
}

extension Array where Element: TopicPart {
    /// Each topic, in the request's order, with its partitions; also one that has none.
    func byTopic(_ names: [String], _ visit: (_ name: String, _ mine: ArraySlice<Element>) -> Void) {
        var first = 0
        for (number, name) in names.enumerated() {
            let end = self[first...].firstIndex { $0.topic != number } ?? count
            visit(name, self[first..<end])
            first = end
        }
    }
}
