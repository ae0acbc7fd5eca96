import Host
import IO

extension Simulation {
    /// The drive lies: durable sectors of the journal are lost, moved, or decay, below positions that later frames know to have been
    /// flushed.
    /// - Parameter limits: of each group.
    func damage(upTo limits: [UInt64]) {
        guard random.chance(40) else { return }
        let segmentBytes: UInt64 = 64 << 10
        let sector = SimulatedDisk.sectorBytes
        let group = random.below(limits.count)
        let directory = "/data/group-\(group)"
        // Whole sectors below the limit, of segments that are there.
        var places: [(path: String, offset: Int)] = []
        for name in disk.list(directory) where name.hasSuffix(".segment") {
            guard let number = UInt64(name.dropLast(".segment".count)) else { continue }
            for offset in stride(from: 0, to: Int(segmentBytes), by: sector)
            where number * segmentBytes + UInt64(offset + sector) <= limits[group] {
                places.append(("\(directory)/\(name)", offset))
            }
        }
        for name in disk.list("\(directory)/archive") where name.hasSuffix(".frames") {
            let path = "\(directory)/archive/\(name)"
            for offset in stride(from: 0, to: disk.bytes(path).count, by: sector) { places.append((path, offset)) }
        }
        guard !places.isEmpty else { return }
        for _ in 0...random.below(3) {
            let place = places[random.below(places.count)]
            let old = disk.bytes(place.path)
            let bytes: [UInt8]
            switch random.below(4) {
            case 0:
                count("rot")
                var changed = Array(old[place.offset..<min(place.offset + sector, old.count)])
                changed[random.below(changed.count)] ^= 1 << UInt8(random.below(8))
                bytes = changed
            case 1:
                count("lostWrite")
                bytes = [UInt8](repeating: 0, count: sector)
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
        if random.chance(30) { damageFiles(directory) }
    }

    /// What follows from the journal, or has a second copy.
    private func damageFiles(_ directory: String) {
        let names = disk.list(directory).filter { $0.hasSuffix(".index") || $0 == "checkpoint-0" || $0 == "archive.catalog" }
        let paths = names.map { "\(directory)/\($0)" } + ["/data/metadata.log"]
        let path = paths[random.below(paths.count)]
        // Of an index file the header and the rows: they are read at the start.
        let size = min(disk.bytes(path).count, path.hasSuffix(".index") ? 4096 : .max)
        guard size > 0 else { return }
        count("rotInMetadata")
        tell("damage: \(path)")
        disk.flip(path, byte: random.below(size))
    }
}
