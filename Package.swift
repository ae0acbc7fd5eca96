// swift-tools-version: 6.2
import PackageDescription

// The modules stand in the order of the picture in docs/ARCHITECTURE.md: a module imports only what stands above it.

func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(name)")
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: "\(name)Tests", dependencies: dependencies, path: "Tests/\(name)Tests")
}

let log = Target.Dependency.product(name: "Logging", package: "swift-log")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "hutong",
    products: [
        .executable(name: "hutong", targets: ["hutong"]),
        .executable(name: "micro", targets: ["Micro"]),
        .executable(name: "fuzz", targets: ["Fuzz"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
    ],
    targets: [
        // C: rings and files; the host's checksums, affinity and memory; the compression libraries.
        .target(
            name: "CIO", path: "CSources/CIO", cSettings: [.define("_GNU_SOURCE")],
            linkerSettings: [.linkedLibrary("uring")]),
        .target(
            name: "CHost", path: "CSources/CHost", cSettings: [.define("_GNU_SOURCE")],
            linkerSettings: [.linkedLibrary("numa")]),
        .target(
            name: "CCompression", path: "CSources/CCompression",
            linkerSettings: [
                .linkedLibrary("z"), .linkedLibrary("lz4"), .linkedLibrary("zstd"), .linkedLibrary("snappy"),
            ]),

        module("Host", ["CHost", log]),
        module("Meters", ["CHost", "Host"]),
        module("IO", ["CIO", "Host", deque]),
        module("Wire", ["CHost"]),
        module("Codecs", ["CCompression", "Wire"]),
        module("Metadata", ["Host", "IO", "Wire", "CHost", deque, log]),
        module("Journal", ["Host", "IO", "Wire", "Codecs", "CHost", deque, log]),
        module("Replication", ["CHost", "Host", "IO", "Journal", deque, log]),
        module(
            "Coordination",
            [
                .product(name: "AsyncHTTPClient", package: "async-http-client"), .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"), log,
            ]),
        module("Intake", ["Host", "IO", "Wire", "Metadata", log]),
        module("Responses", ["CHost", "Host", "IO", "Wire", "Intake", "Journal", "Metadata", deque, log]),
        module("Sequencer", ["Host", "Wire", "Codecs", "Intake", "Journal", "Responses", "Metadata", "CHost", log]),
        module("Fetching", ["Host", "IO", "Wire", "Codecs", "Intake", "Journal", "Responses", "Metadata", deque, log]),
        module("Control", ["Host", "Wire", "Intake", "Responses", "Sequencer", "Metadata", log]),
        module("Groups", ["CHost", "Host", "IO", "Wire", "Codecs", "Intake", "Journal", "Metadata", "Responses", deque, heap, log]),
        module("Settings", [.product(name: "Yams", package: "Yams")]),
        module(
            "Broker",
            [
                "Host", "IO", "Wire", "Metadata", "Journal", "Replication", "Coordination", "Intake", "Responses", "Sequencer",
                "Fetching", "Control", "Groups", "Meters", deque, log,
            ]),
        module(
            "Simulator",
            [
                "Broker", "Control", "Coordination", "Fetching", "Host", "IO", "Intake", "Journal", "Metadata", "Replication", "Wire", "Codecs",
                deque, log,
            ]),
        module("Client", ["Wire", "Codecs"]),
        module("Bench", ["CHost", "Client", "Codecs", "Host", "IO", "Wire", .product(name: "Histogram", package: "hdrhistogram-swift")]),
        module("Doctor", ["CHost", "CIO", "Host", "IO"]),
        .target(
            name: "Monitoring",
            dependencies: [
                "CHost", "Client", "Codecs", "Host", "Meters", "Wire", .product(name: "Hummingbird", package: "hummingbird"), .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"), log,
            ],
            path: "Sources/Monitoring", resources: [.embedInCode("Page/page.html"), .embedInCode("Page/page.css"), .embedInCode("Page/page.js")]),
        .executableTarget(
            name: "hutong",
            dependencies: [
                "Bench", "Broker", "Client", "Codecs", "Control", "Coordination", "Doctor", "Fetching", "Groups", "Host", "IO", "Intake", "Journal", "Metadata", "Meters",
                "Monitoring", "Replication", "Settings", "Simulator", "Wire", arguments, log,
            ],
            path: "Sources/hutong"),

        .executableTarget(
            name: "Micro", dependencies: ["Broker", "CHost", "Codecs", "Host", "IO", "Intake", "Journal", "Simulator", "Wire", arguments],
            path: "Benchmarks/Micro"),

        .target(name: "TestSupport", dependencies: ["Host", "Wire"], path: "Tests/TestSupport"),
        .executableTarget(
            name: "Fuzz",
            dependencies: [
                "CHost", "Codecs", "Groups", "Host", "IO", "Intake", "Journal", "Metadata", "Replication", "Sequencer", "TestSupport", "Wire",
                arguments, log,
            ],
            path: "Tests/Fuzz"),
        tests("Host", ["Host", "CHost", "TestSupport"]),
        .target(name: "CFaults", path: "Tests/CFaults"),
        tests("IO", ["CFaults", "CHost", "Host", "IO", "TestSupport"]),
        tests("Wire", ["Wire", "Codecs", "TestSupport"]),
        tests("Metadata", ["Metadata", "Wire"]),
        tests("Intake", ["Intake", "Host", "IO", "Wire", "Codecs", "Metadata", "TestSupport", log]),
        tests("Replication", ["IO", "Journal", "Replication", "Simulator"]),
        tests("Coordination", ["Coordination", log]),
        tests("Sequencer", ["Sequencer", "Journal", "Wire", "Codecs", "TestSupport"]),
        tests("Client", ["Client", "Wire", "Codecs"]),
        tests("Groups", ["Groups", "Host", "IO", "Wire"]),
        tests("Settings", ["Settings"]),
        tests("Meters", ["Host", "Meters"]),
        tests("Doctor", ["Doctor", "Host"]),
        tests("Monitoring", ["Host", "Meters", "Monitoring"]),
        tests("Journal", ["CHost", "Codecs", "Host", "IO", "Journal", "Sequencer", "Wire", log]),
        tests(
            "Simulator",
            ["Broker", "CHost", "Codecs", "Control", "Coordination", "Fetching", "Host", "IO", "Journal", "Metadata", "Replication", "Simulator", "Wire",
                log,
            ]),
    ],
    swiftLanguageModes: [.v6]
)
