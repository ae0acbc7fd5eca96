import Host
import Meters

/// The metrics of a broker, by names that are kept: dashboards and alerts are made of them.
enum BrokerMetrics {
    /// - Parameter lags: of consumer groups; nil: they are not known.
    static func text(_ now: MeterSnapshot, lags: GroupLags?) -> String {
        var text = PrometheusText()
        broker(now, &text)
        requests(now, &text)
        stages(now, &text)
        histograms(now, &text)
        partitionGroups(now, &text)
        if let lags { groups(lags, &text) }
        return text.text
    }

    private static func broker(_ now: MeterSnapshot, _ text: inout PrometheusText) {
        let description = now.description
        text.begin("hutong_broker_info", .gauge, "The broker; always 1.")
        text.sample(
            "hutong_broker_info",
            [
                ("version", description.version), ("broker", "\(description.brokerId)"), ("io", description.backend), ("flush", description.flushMethod),
                ("layout", description.layout),
            ], 1)
        text.single("hutong_uptime_seconds", .gauge, "Seconds since the start.", BrokerView.seconds(now.takenAt, since: now.startedAt))
        text.single("hutong_connections", .gauge, "Open connections of clients.", Double(now.total(.io, "connections")))
        for (name, counter, help) in [
            ("hutong_connections_accepted_total", "connections_accepted", "Connections that were accepted."),
            ("hutong_connections_refused_total", "connections_refused", "Connections that were refused for a limit."),
            ("hutong_received_bytes_total", "received_bytes", "Bytes received from clients."),
        ] { text.single(name, .counter, help, Double(now.total(.io, counter))) }
        text.single("hutong_sent_bytes_total", .counter, "Bytes sent to clients.", Double(now.total(.respond, "sent_bytes")))
        text.single("hutong_batches_appended_total", .counter, "Record batches that were given offsets.", Double(now.total(.write, "batches")))
        text.single("hutong_flush_writes_total", .counter, "Durable writes of journals.", Double(now.total(.flush, "writes")))
        text.single("hutong_flushed_bytes_total", .counter, "Bytes of journals that were made durable.", Double(now.total(.flush, "written_bytes")))
        text.single("hutong_produce_timed_out_total", .counter, "Produce requests that ran out of time.", Double(now.total(.respond, "timed_out")))
    }

    private static func requests(_ now: MeterSnapshot, _ text: inout PrometheusText) {
        text.begin("hutong_requests_total", .counter, "Requests that were taken, by API.")
        for (api, count) in now.requestsByName.sorted(by: { $0.key < $1.key }) { text.sample("hutong_requests_total", [("api", api)], Double(count)) }
        text.begin("hutong_produce_errors_total", .counter, "Produce requests that failed, by error.")
        for (error, count) in now.errorsByName.sorted(by: { $0.key < $1.key }) { text.sample("hutong_produce_errors_total", [("error", error)], Double(count)) }
    }

    private static func stages(_ now: MeterSnapshot, _ text: inout PrometheusText) {
        func each(_ name: String, _ kind: PrometheusText.Kind, hasUnit: Bool = false, _ help: String, _ value: (MeterSnapshot.Stage) -> Double?) {
            text.begin(name, kind, help)
            for (index, stage) in now.stages.enumerated() {
                let unit = hasUnit ? [("unit", now.description.stages[index].kind.unit)] : []
                if let value = value(stage) { text.sample(name, labels(index, now) + unit, value) }
            }
        }
        func counted(_ index: @escaping (MeterSnapshot.Stage) -> UInt64) -> (MeterSnapshot.Stage) -> Double? { { $0.sampledAt == 0 ? nil : Double(index($0)) } }
        each("hutong_stage_rounds_total", .counter, "Rounds in which a stage had something to do.") { Double($0.rounds) }
        each("hutong_stage_work_total", .counter, "How much a stage has done, as it counts it itself.") { Double($0.work) }
        each("hutong_stage_depth", .gauge, hasUnit: true, "What waits for a stage, in the unit of its kind.", counted(\.depth))
        each("hutong_stage_capacity", .gauge, hasUnit: true, "How much may wait for a stage; 0: no limit.", counted(\.capacity))
        each("hutong_stage_oldest_seconds", .gauge, "How long the oldest of what waits for a stage has waited, at most.") {
            $0.sampledAt == 0 ? nil : Double($0.oldest) / 1e9
        }
        text.begin("hutong_thread_silent_seconds", .gauge, "How long a thread that is not asleep has not come round; 0 while it sleeps.")
        for (thread, reading) in zip(now.description.threads, now.threads) {
            text.sample(
                "hutong_thread_silent_seconds", [("thread", thread.name)],
                reading.sleeps || reading.turnedAt == 0 ? 0 : BrokerView.seconds(now.takenAt, since: reading.turnedAt))
        }
        let found = Diagnosis(now)
        text.begin("hutong_stage_stuck", .gauge, "1 for the stage that does not go on, and for which others wait.")
        for index in now.stages.indices {
            text.sample("hutong_stage_stuck", labels(index, now), found.map { $0.isStuck && $0.stage == index ? 1 : 0 } ?? 0.0)
        }
        text.begin("hutong_stage_bottleneck", .gauge, "1 for the stage for which things wait longest, or that is stuck.")
        for index in now.stages.indices { text.sample("hutong_stage_bottleneck", labels(index, now), found?.stage == index ? 1 : 0.0) }
    }

    private static func labels(_ stage: Int, _ now: MeterSnapshot) -> [(String, String)] {
        [("stage", now.description.stages[stage].name), ("kind", now.description.stages[stage].kind.rawValue)]
    }

    /// Limits in nanoseconds: powers of two of 1,024, of which each is a limit of a bucket.
    private static let limits = (0..<26).map { UInt64(1024) << UInt64($0) }

    private static func histograms(_ now: MeterSnapshot, _ text: inout PrometheusText) {
        let kinds = [
            (StageKind.write, "hutong_write_wait_seconds", "From a produce request's arrival until it is sequenced, of the oldest of each batch."),
            (.flush, "hutong_flush_seconds", "Durable writes of journals."),
            (.replicate, "hutong_commit_seconds", "From stable storage here until committed, sampled."),
            (.respond, "hutong_produce_seconds", "From a produce request's arrival to its answer, of the oldest of each batch."),
        ]
        for (kind, name, help) in kinds {
            text.begin(name, .histogram, help)
            for (index, stage) in now.stages.enumerated() where now.description.stages[index].kind == kind {
                text.histogram(
                    name, [("stage", now.description.stages[index].name)], latencies(stage.latencies), sum: Double(stage.latencySum) / 1e9,
                    count: stage.latencies.count)
            }
        }
        text.begin("hutong_stage_batch", .histogram, "How much a stage does in a round.")
        for (index, stage) in now.stages.enumerated() {
            let buckets = stage.batches.counts.prefix(20).enumerated().map { (limit: Double((UInt64(2) << UInt64($0)) - 1), count: $1) }
            text.histogram("hutong_stage_batch", labels(index, now), buckets, sum: Double(stage.work), count: stage.batches.count)
        }
    }

    private static func latencies(_ buckets: Buckets) -> [(limit: Double, count: UInt64)] {
        var bucket = 0
        return limits.map { limit in
            var count: UInt64 = 0
            while bucket < buckets.counts.count, LatencyBuckets.limit(bucket) <= limit {
                count += buckets.counts[bucket]
                bucket += 1
            }
            return (Double(limit) / 1e9, count)
        }
    }

    private static func partitionGroups(_ now: MeterSnapshot, _ text: inout PrometheusText) {
        let positions: [(String, MeterBoard.GroupWord)] = [
            ("start", .start), ("journaled", .appended), ("flushed", .flushed), ("replicated", .replicated), ("committed", .committed), ("answered", .answered),
        ]
        text.begin("hutong_journal_position_bytes", .gauge, "How far a partition group's journal has come, in each sense.")
        for (number, group) in now.groups.enumerated() {
            for (name, word) in positions {
                text.sample("hutong_journal_position_bytes", [("group", "\(number)"), ("position", name)], Double(group[word]))
            }
        }
        func each(_ name: String, _ help: String, _ value: (MeterSnapshot.Group) -> Double) {
            text.begin(name, .gauge, help)
            for (number, group) in now.groups.enumerated() { text.sample(name, [("group", "\(number)")], value(group)) }
        }
        each("hutong_group_leading", "1 where this broker leads the partition group and serves its clients.") { $0[.servingEpoch] > 0 ? 1 : 0 }
        each("hutong_group_epoch", "The epoch in which it does; 0: it does not.") { Double($0[.servingEpoch]) }
        each("hutong_group_in_sync_replicas", "Replicas in sync, as the leader knows it.") { Double($0[.inSyncReplicas]) }
        each("hutong_group_majority", "How many replicas are a majority.") { Double($0[.majority]) }
        each("hutong_group_storage_failed", "1 once storage has failed: nothing is acknowledged any more.") { $0[.failure] == 0 ? 0 : 1 }
        each("hutong_group_has_space", "0 while no segment can be made, mostly because the disk is full.") { Double($0[.hasSpace]) }
    }

    private static func groups(_ lags: GroupLags, _ text: inout PrometheusText) {
        text.begin("hutong_consumer_group_lag_records", .gauge, "Records that a consumer group has not committed yet, by topic.")
        for lag in lags.lags { text.sample("hutong_consumer_group_lag_records", [("consumer_group", lag.group), ("topic", lag.topic)], Double(lag.records)) }
        text.begin("hutong_consumer_group_members", .gauge, "Members of a consumer group.")
        for group in lags.groups { text.sample("hutong_consumer_group_members", [("consumer_group", group.id)], Double(group.members)) }
        text.single("hutong_consumer_groups_left_out", .gauge, "Consumer groups whose lag is not told because there are too many.", Double(lags.leftOut))
    }
}
