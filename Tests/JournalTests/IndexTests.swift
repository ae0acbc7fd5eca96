import IO
import Journal
import Testing

@Suite struct IndexTests {
    private func entry(_ offset: Int64, _ position: UInt64, count: UInt32 = 1, time: Int64 = 0) -> IndexEntry {
        IndexEntry(baseOffset: offset, position: position, maxTimestamp: time, bytes: 100, lastOffsetDelta: count - 1)
    }

    private func sample() -> SegmentIndex {
        var index = SegmentIndex(segment: 9, startOffsets: [100, 0, 50])
        for number in 0..<10 { index.append(entry(100 + Int64(number) * 3, UInt64(number), count: 3, time: Int64(number)), partition: 0) }
        index.append(entry(0, 77), partition: 1)
        index.append(entry(0, 78), partition: 4)
        return index
    }

    @Test func findsTheBatchThatHoldsAnOffset() {
        let index = sample()
        #expect(index.run(partition: 0, offset: 100, limit: 100).count == 10)
        #expect(index.run(partition: 0, offset: 104, limit: 2).map(\.baseOffset) == [103, 106])
        #expect(index.run(partition: 0, offset: 129, limit: 9).map(\.baseOffset) == [127])
        #expect(index.run(partition: 0, offset: 130, limit: 9).isEmpty)
        #expect(index.run(partition: 2, offset: 50, limit: 9).isEmpty)
        #expect(index.run(partition: 99, offset: 0, limit: 9).isEmpty)
        #expect(index.nextOffsets == [130, 1, 50, 0, 1])
    }

    @Test func anIndexFileHoldsItAll() throws {
        let index = sample()
        let image = IndexFile.image(of: index)
        #expect(image.count % directAlignment == 0)
        #expect(IndexFile.isSound(image.base, count: image.count, segment: 9))
        #expect(!IndexFile.isSound(image.base, count: image.count, segment: 8), "another segment's")
        let header = try #require(IndexFile.Header(image.base))
        #expect(header.rows == 5 && header.entries == 12 && header.segment == 9)
        var number = 0
        for partition in 0..<5 {
            let row = image.base.loadUnaligned(fromByteOffset: Int(header.offset(row: partition)), as: IndexRow.self)
            let mine = index.all(partition: partition)
            #expect(Int(row.firstEntry) == number && Int(row.count) == mine.count)
            #expect(row.startOffset == index.startOffsets[partition])
            for expected in mine {
                let at = Int(header.offset(entry: number))
                #expect(image.base.loadUnaligned(fromByteOffset: at, as: IndexEntry.self) == expected)
                number += 1
            }
        }
    }

    @Test func aDamagedIndexFileIsNotBelieved() {
        let image = IndexFile.image(of: sample())
        let bytes = image.base.assumingMemoryBound(to: UInt8.self)
        let used = IndexFile.headerBytes + (5 + 12) * 32
        for byte in Array(0..<28) + Array(IndexFile.headerBytes..<used) {
            bytes[byte] ^= 0x10
            #expect(!IndexFile.isSound(image.base, count: image.count, segment: 9), "byte \(byte)")
            bytes[byte] ^= 0x10
        }
        #expect(!IndexFile.isSound(image.base, count: IndexFile.headerBytes, segment: 9), "cut off")
    }
}
