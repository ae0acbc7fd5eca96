import IO
import Journal

extension SimulatedDisk {
    /// The whole sectors of a journal's segments that end at or before a position: where they are, and their own positions.
    func sectors(ofJournal directory: String, segmentBytes: Int, upTo end: UInt64) -> [(path: String, offset: Int, position: UInt64)] {
        var sectors: [(path: String, offset: Int, position: UInt64)] = []
        for name in list(directory) {
            guard let number = JournalPaths.number(in: name, suffix: ".segment") else { continue }
            for offset in stride(from: 0, to: segmentBytes, by: SimulatedDisk.sectorBytes) {
                let position = number * UInt64(segmentBytes) + UInt64(offset)
                if position + UInt64(SimulatedDisk.sectorBytes) <= end { sectors.append(("\(directory)/\(name)", offset, position)) }
            }
        }
        return sectors
    }

    /// By kind, the files beside a journal's segments: what follows from those, or has a second copy.
    func sideFiles(ofJournal directory: String) -> [[String]] {
        let paths = JournalPaths(directory: directory)
        let indexes = list(directory).filter { $0.hasSuffix(".index") }.map { "\(directory)/\($0)" }
        return [indexes, paths.checkpoints, paths.catalogs]
    }
}
