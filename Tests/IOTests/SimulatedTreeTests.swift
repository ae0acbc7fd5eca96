import Glibc
import Host
import IO
import Testing

/// Directories of a simulated disk: what a crash leaves of names.
@Suite struct SimulatedTreeTests {
    private let disk = SimulatedDisk()
    private var port: SimulatedFilePort { disk.makePort() }

    private func make(_ path: String, _ port: SimulatedFilePort) throws {
        let file = try port.open(path, .create)
        port.close(file)
    }

    private func sync(_ directory: String, _ port: SimulatedFilePort) throws {
        let handle = try port.open(directory, .directory)
        #expect(port.syncNow(handle) == 0)
        port.close(handle)
    }

    @Test func aDirectoryThatWasNotSyncedInItsParentHasItsOldName() throws {
        let port = port
        try port.makeDirectory("/d/a")
        try make("/d/a/one", port)
        try make("/d/a/in/two", port)
        try sync("/d/a", port)
        try sync("/d/a/in", port)
        try port.rename("/d/a", to: "/d/b")
        #expect(disk.list("/d") == ["b"] && disk.list("/d/b") == ["in", "one"] && disk.list("/d/b/in") == ["two"])
        #expect(throws: IOError.self) { try port.list("/d/a") }
        disk.crash()
        #expect(disk.list("/d/a") == ["in", "one"] && disk.list("/d/a/in") == ["two"] && disk.list("/d/b").isEmpty)
    }

    @Test func aDirectoryThatWasSyncedInItsParentHasItsNewName() throws {
        let port = port
        try make("/d/a/one", port)
        try sync("/d/a", port)
        try port.rename("/d/a", to: "/d/b")
        try sync("/d", port)
        try make("/d/b/late", port)
        disk.crash()
        #expect(disk.list("/d") == ["b"] && disk.list("/d/b") == ["one"])
    }

    /// What was made in it before is there once it is synced by whatever name.
    @Test(arguments: [true, false]) func whatWasMadeBeforeItWasRenamed(isParentFirst: Bool) throws {
        let port = port
        try make("/d/a/one", port)
        let handle = try port.open("/d/a", .directory)
        try port.rename("/d/a", to: "/d/b")
        try make("/d/b/two", port)
        if isParentFirst { try sync("/d", port) }
        #expect(port.syncNow(handle) == 0)
        if !isParentFirst { try sync("/d", port) }
        disk.crash()
        #expect(disk.paths == ["/d/b/one", "/d/b/two"])
    }

    @Test func oneTakesTheOthersPlace() throws {
        let port = port
        for name in ["/d/old/x", "/d/new/x", "/d/new/y"] { try make(name, port) }
        for directory in ["/d/old", "/d/new"] { try sync(directory, port) }
        #expect(throws: IOError.self) { try port.rename("/d/new", to: "/d/old") }
        try port.rename("/d/old", to: "/d/gone")
        try sync("/d", port)
        try port.rename("/d/new", to: "/d/old")
        disk.crash()
        #expect(disk.paths == ["/d/gone/x", "/d/new/x", "/d/new/y"])
        try port.rename("/d/new", to: "/d/old")
        try sync("/d", port)
        try port.remove("/d/gone/x")
        try port.removeDirectory("/d/gone")
        disk.crash()
        #expect(disk.paths == ["/d/gone/x", "/d/old/x", "/d/old/y"])
    }
}
