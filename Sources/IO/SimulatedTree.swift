import Glibc

/// The names on a simulated disk: what was made, renamed or removed is seen at once, and survives a crash only if its directory was synced.
struct SimulatedTree {
    typealias File = SimulatedDisk.File

    /// A change of a directory that no sync has made durable.
    private enum Change {
        case add(String, File)
        case move(String, String, File)
        /// A directory with all that is in it.
        case moveTree(String, String)
        case remove(String)

        /// What stands in the directory that has to be synced.
        var path: String {
            switch self {
            case .add(let path, _), .move(_, let path, _), .moveTree(_, let path), .remove(let path): path
            }
        }

        /// The same, where a directory has another name.
        func moved(from: String, to: String) -> Change {
            func moved(_ path: String) -> String { SimulatedTree.moved(path, from: from, to: to) ?? path }
            return switch self {
            case .add(let path, let file): .add(moved(path), file)
            case .move(let old, let new, let file): .move(moved(old), moved(new), file)
            case .moveTree(let old, let new): .moveTree(moved(old), moved(new))
            case .remove(let path): .remove(moved(path))
            }
        }
    }

    /// The files by their paths, as they are seen; and as they would be found if the power went now.
    private(set) var names: [String: File] = [:]
    private(set) var durable: [String: File] = [:]
    /// Directories that were made; others exist where files are in them. What a crash would make of an empty one makes no difference here.
    private var directories: Set<String> = []
    private var changes: [Change] = []

    /// How many changes are not durable.
    var unsynced: Int { changes.count }

    // MARK: Looking

    func isDirectory(_ path: String) -> Bool { directories.contains(path) || names.keys.contains { $0.hasPrefix(path + "/") } }

    /// The names of what is in the directory, sorted.
    func list(_ directory: String) -> [String] {
        var found = Set<String>()
        func add(_ path: String) {
            if path.hasPrefix(directory + "/") { found.insert(String(path.dropFirst(directory.count + 1).prefix { $0 != "/" })) }
        }
        for path in names.keys { add(path) }
        for path in directories { add(path) }
        return found.sorted()
    }

    /// What a path below `from` is below `to`; nil where it is elsewhere.
    static func moved(_ path: String, from: String, to: String) -> String? {
        path.hasPrefix(from + "/") ? to + path.dropFirst(from.count) : nil
    }

    // MARK: Changing

    mutating func add(_ path: String) -> File {
        let file = File()
        names[path] = file
        changes.append(.add(path, file))
        return file
    }

    mutating func remove(_ path: String) throws(IOError) -> File {
        guard let file = names.removeValue(forKey: path) else { throw IOError(code: ENOENT, doing: "removing \(path)") }
        changes.append(.remove(path))
        return file
    }

    mutating func rename(_ path: String, to: String) throws(IOError) {
        if let file = names.removeValue(forKey: path) {
            names[to] = file
            return changes.append(.move(path, to, file))
        }
        guard isDirectory(path) else { throw IOError(code: ENOENT, doing: "renaming \(path)") }
        guard list(to).isEmpty else { throw IOError(code: ENOTEMPTY, doing: "renaming \(path)") }
        SimulatedTree.moveTree(&names, from: path, to: to)
        directories = Set(directories.map { $0 == path ? to : SimulatedTree.moved($0, from: path, to: to) ?? $0 })
        directories.insert(to)
        changes.append(.moveTree(path, to))
    }

    mutating func makeDirectory(_ path: String) { directories.insert(path) }

    mutating func removeDirectory(_ path: String) throws(IOError) {
        guard list(path).isEmpty else { throw IOError(code: ENOTEMPTY, doing: "removing \(path)") }
        directories.remove(path)
    }

    /// The file is gone, durably.
    mutating func delete(_ path: String) {
        names[path] = nil
        durable[path] = nil
    }

    private static func moveTree(_ names: inout [String: File], from: String, to: String) {
        for (path, file) in names {
            guard let new = moved(path, from: from, to: to) else { continue }
            names[path] = nil
            names[new] = file
        }
    }

    // MARK: What lasts

    private mutating func apply(_ change: Change) {
        switch change {
        case .add(let path, let file): durable[path] = file
        case .move(let from, let to, let file):
            if durable[from] === file { durable[from] = nil }
            durable[to] = file
        case .moveTree(let from, let to): SimulatedTree.moveTree(&durable, from: from, to: to)
        case .remove(let path): durable[path] = nil
        }
    }

    /// The directory's entries are on the disk.
    mutating func sync(_ directory: String) {
        // What the directory was called when each change was made.
        var name = directory
        var isSynced: [Bool] = []
        for change in changes.reversed() {
            isSynced.append(change.path.hasPrefix(name + "/") && !change.path.dropFirst(name.count + 1).contains("/"))
            if case .moveTree(let from, let to) = change { name = name == to ? from : SimulatedTree.moved(name, from: to, to: from) ?? name }
        }
        var rest: [Change] = []
        for (change, isSynced) in zip(changes, isSynced.reversed()) {
            guard isSynced else {
                rest.append(change)
                continue
            }
            apply(change)
            if case .moveTree(let from, let to) = change { rest = rest.map { $0.moved(from: from, to: to) } }
        }
        changes = rest
    }

    /// The power went: of what was not synced so many of the first changes are there nevertheless.
    mutating func crash(kept: Int) {
        for change in changes.prefix(kept) { apply(change) }
        names = durable
        changes = []
    }
}
