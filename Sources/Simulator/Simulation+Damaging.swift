import Host
import IO
import Journal

extension Simulation {
    /// Of a file so many bytes from an offset on.
    private typealias Place = (path: String, offset: Int)

    /// The drive lies: durable sectors of the journal are lost, moved, or decay, below positions that later frames know to have been
    /// flushed; or a file is damaged that can be made again, or has a copy.
    /// - Parameter limits: of each group.
    func damage(upTo limits: [UInt64]) {
        if random.chance(25) { damageFiles("/data/group-\(random.below(limits.count))") }
        guard random.chance(40) else { return }
        for model in models { model.isDamaged = true }
        committer.isDamaged = true
        let group = random.below(limits.count)
        let directory = "/data/group-\(group)"
        let places = places(directory, limit: limits[group])
        if !places.isEmpty {
            for _ in 0...random.below(3) { damage(places[random.below(places.count)], places) }
            if random.chance(30) { loseBeginning(group, directory, places) }
        }
    }

    /// Whole sectors below the limit, of segments that are there, and of archives.
    private func places(_ directory: String, limit: UInt64) -> [Place] {
        let sector = SimulatedDisk.sectorBytes
        let segments = disk.sectors(ofJournal: directory, segmentBytes: configuration.journal.segmentBytes, upTo: limit)
        var places: [Place] = segments.map { ($0.path, $0.offset) }
        for name in disk.list("\(directory)/archive") where name.hasSuffix(".frames") {
            let path = "\(directory)/archive/\(name)"
            // A crash may leave a part of a sector at the end.
            for offset in stride(from: 0, through: disk.bytes(path).count - sector, by: sector) { places.append((path, offset)) }
        }
        return places
    }

    /// The first writes of a life are lost, a few sectors: what an earlier life has left there, and recovery had cut off, is there again.
    private func loseBeginning(_ group: Int, _ directory: String, _ places: [Place]) {
        let sector = UInt64(SimulatedDisk.sectorBytes)
        let segmentBytes = UInt64(configuration.journal.segmentBytes)
        let lives = starts[group].suffix(3)
        guard !lives.isEmpty else { return }
        let first = lives[lives.startIndex + random.below(lives.count)] / sector
        for number in first...first + UInt64(random.below(4)) {
            let path = JournalPaths(directory: directory).segment(number * sector / segmentBytes)
            if let place = places.first(where: { $0.path == path && $0.offset == Int(number * sector % segmentBytes) }) { loseWrite(place) }
        }
    }

    private func loseWrite(_ place: Place) {
        let sector = SimulatedDisk.sectorBytes
        count("lostWrite")
        damagedSectors += 1
        tell("damage: \(place.path) byte \(place.offset) as it was a life ago")
        let bytes = disk.older(place.path, sector: place.offset / sector) ?? [UInt8](repeating: 0, count: sector)
        disk.overwrite(place.path, at: place.offset, bytes)
    }

    private func damage(_ place: Place, _ places: [Place]) {
        let sector = SimulatedDisk.sectorBytes
        let bytes: [UInt8]
        switch random.below(4) {
        case 0:
            count("rot")
            bytes = rotten(place)
        case 1: return loseWrite(place)
        case 2:
            count("misdirectedWrite")
            let other = places[random.below(places.count)]
            bytes = Array(disk.bytes(other.path)[other.offset..<other.offset + sector])
        default:
            count("unreadable")
            disk.badBlocks[place.path, default: []].insert(place.offset / sector)
            bytes = []
        }
        damagedSectors += 1
        tell("damage: \(place.path) byte \(place.offset)")
        if !bytes.isEmpty { disk.overwrite(place.path, at: place.offset, bytes) }
    }

    private func rotten(_ place: Place) -> [UInt8] {
        let old = disk.bytes(place.path)
        var changed = Array(old[place.offset..<min(place.offset + SimulatedDisk.sectorBytes, old.count)])
        changed[random.below(changed.count)] ^= 1 << UInt8(random.below(8))
        return changed
    }

    /// What follows from the journal, or has a second copy: alone it costs nothing.
    private func damageFiles(_ directory: String) {
        let snapshots = disk.list(directory).filter { $0.hasSuffix(".snapshot") }.sorted().map { "\(directory)/\($0)" }
        let kinds = disk.sideFiles(ofJournal: directory) + [["/data/metadata.log", "/data/metadata.log.copy"], snapshots]
        let paths = kinds[random.below(kinds.count)]
        guard !paths.isEmpty else { return }
        let path = paths[random.below(paths.count)]
        let bytes = disk.bytes(path)
        guard !bytes.isEmpty else { return }
        count("rotInMetadata")
        tell("damage: \(path)")
        if path.hasPrefix("/data/metadata") { return damageLine(path, bytes) }
        // Of an index file the header and the rows: they are read at the start.
        disk.flip(path, byte: random.below(min(bytes.count, path.hasSuffix(".index") ? 4096 : .max)))
    }

    /// A byte of a line's beginning or its end: how long it is depends on the journals' random keys, which must not lead to another
    /// story.
    private func damageLine(_ path: String, _ bytes: [UInt8]) {
        let ends = bytes.indices.filter { bytes[$0] == UInt8(ascii: "\n") }
        guard !ends.isEmpty else { return }
        let line = random.below(ends.count)
        let place = random.below(20)
        disk.flip(path, byte: place == 19 ? ends[line] : (line == 0 ? 0 : ends[line - 1] + 1) + place)
    }
}
