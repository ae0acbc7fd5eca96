import TestSupport
import Wire

/// What every byte from a socket goes through first: a request's header, and for clients a response's.
func frameTargets() throws -> [FuzzTarget] {
    var requests: [[UInt8]] = []
    var responses: [[UInt8]] = []
    for spec in APIs.declared {
        for version in spec.versions {
            let start = withUnsafeBytes(of: (spec.key.rawValue.bigEndian, version.bigEndian, Int32(7).bigEndian)) { Array($0) }
            let tags: [UInt8] = spec.isFlexible(version) ? [1, 5, 3, 1, 2, 3] : []
            requests.append(start + [0, 4] + Array("test".utf8) + tags + [9, 9])
            requests.append(start + [0xff, 0xff] + (tags.isEmpty ? [] : [0]))
        }
    }
    // The first byte stands for the API and its version: they are the request's, not the answer's.
    for number in UInt8(0)..<UInt8(APIs.declared.count) { responses.append([number, 0, 0, 0, 7, 1, 5, 3, 1, 2, 3, 9]) }
    return [
        FuzzTarget("header.request", weight: 20, samples: requests) { input in
            guard let header = try? RequestHeader.decode(input) else { return false }
            try Finding.unless(header.bodyOffset >= 10 && header.bodyOffset <= input.count, "the body begins outside")
            try Finding.unless(header.clientId.map { $0.upperBound <= header.bodyOffset } ?? true, "the client id ends outside")
            _ = header.clientId(in: input)
            return true
        },
        FuzzTarget("header.response", weight: 5, samples: responses) { input in
            guard let first = input.first else { return false }
            let spec = APIs.declared[Int(first) % APIs.declared.count]
            let bytes = UnsafeRawBufferPointer(rebasing: input.dropFirst())
            guard let header = try? ResponseHeader.decode(bytes, api: spec.key, version: spec.versions.upperBound) else { return false }
            try Finding.unless(header.bodyOffset <= bytes.count, "the body begins outside")
            return true
        },
    ]
}

/// The bodies of all requests and responses that are declared, at every version.
func messageTargets() throws -> [FuzzTarget] {
    func target<M: Sampled>(_ type: M.Type) throws -> FuzzTarget {
        let spec = APIs.spec(M.api)!
        var samples: [[UInt8]] = []
        // The first byte is the version.
        for version in spec.versions {
            var counted = CountedValues()
            samples.append([UInt8(version)] + (try M.sample(version, &counted).encode(version: version)))
            for seed in UInt64(0)..<4 {
                var random = RandomValues(seed: seed)
                samples.append([UInt8(version)] + (try M.sample(version, &random).encode(version: version)))
            }
        }
        let span = Int(spec.versions.upperBound - spec.versions.lowerBound) + 1
        return FuzzTarget("message.\(type)", weight: 10, samples: samples) { input in
            guard let first = input.first else { return false }
            let version = spec.versions.contains(Int16(first)) ? Int16(first) : spec.versions.lowerBound + Int16(Int(first) % span)
            let bytes = UnsafeRawBufferPointer(rebasing: input.dropFirst())
            // Clients ignore what follows an answer.
            guard let message = try? M.decode(bytes, version: version, ignoringRest: !M.isRequest) else { return false }
            let again = try message.encode(version: version)
            try Finding.unless(try M.decode(again, version: version) == message, "decode(encode(it)) is another")
            return true
        }
    }
    return try sampledMessages.map { try target($0) }
}

/// What bears its version: the records of `__consumer_offsets`, and what consumers tell each other.
func versionedTargets() throws -> [FuzzTarget] {
    func samples<S: SampledVersioned>(_ type: S.Type) throws -> [[UInt8]] {
        var samples: [[UInt8]] = []
        for version in S.versions {
            var counted = CountedValues()
            samples.append(try S.sample(version, &counted).encode(version: version))
            for seed in UInt64(0)..<4 {
                var random = RandomValues(seed: seed)
                samples.append(try S.sample(version, &random).encode(version: version))
            }
        }
        return samples
    }
    func target<S: SampledVersioned>(_ type: S.Type) throws -> FuzzTarget {
        FuzzTarget("versioned.\(type)", weight: 10, samples: try samples(type)) { input in
            guard let value = try? S.decode(input) else { return false }
            let version = min(Int16(bigEndian: input.loadUnaligned(as: Int16.self)), S.versions.upperBound)
            try Finding.unless(try S.decode(value.encode(version: version)) == value, "decode(encode(it)) is another")
            return true
        }
    }
    let keys = try samples(OffsetCommitKey.self) + samples(GroupMetadataKey.self)
    return try sampledVersioned.map { try target($0) } + [
        FuzzTarget("versioned.ConsumerOffsetsKey", weight: 5, samples: keys) { input in
            guard let key = try? ConsumerOffsetsKey.decode(input) else { return false }
            switch key {
            case .offset(let key): try Finding.unless(try OffsetCommitKey.decode(input) == key, "another key than it is")
            case .group(let key): try Finding.unless(try GroupMetadataKey.decode(input) == key, "another key than it is")
            case .other(let version):
                let known = OffsetCommitKey.versions.contains(version) || GroupMetadataKey.versions.contains(version)
                try Finding.unless(!known, "a key that is known was taken for another")
            }
            return true
        },
    ]
}
