import IO
import Journal
import Testing

@Suite struct IndexTests {
    private let owner = IndexOwner(segment: 9, group: 1)

    private func entry(_ offset: Int64, _ position: UInt64, count: UInt32 = 1, time: Int64 = 0) -> IndexEntry {
        IndexEntry(baseOffset: offset, position: position, maxTimestamp: time, bytes: 100, lastOffsetDelta: count - 1)
    }

    private func sample(_ count: Int = 10) -> SegmentIndex {
        let index = SegmentIndex(segment: 9)
        for number in 0..<count {
            index.append(entry(100 + Int64(number) * 3, UInt64(number), count: 3, time: Int64(number)), partition: 0)
        }
        index.append(entry(0, 77), partition: 1)
        index.append(entry(0, 78), partition: 4)
        return index
    }

    @Test func findsTheBatchThatHoldsAnOffset() {
        let index = sample()
        #expect(index.run(partition: 0, offset: 100, limit: 100).count == 10)
        #expect(index.run(partition: 0, offset: 0, limit: 1).map(\.baseOffset) == [100])
        #expect(index.run(partition: 0, offset: 104, limit: 2).map(\.baseOffset) == [103, 106])
        #expect(index.run(partition: 0, offset: 129, limit: 9).map(\.baseOffset) == [127])
        #expect(index.run(partition: 0, offset: 130, limit: 9).isEmpty)
        #expect(index.run(partition: 2, offset: 50, limit: 9).isEmpty)
        #expect(index.run(partition: 99, offset: 0, limit: 9).isEmpty)
    }

    /// Around the ends of its pieces, from the first to those of one size.
    @Test func everyEntryIsFoundAgain() {
        let index = sample(5000)
        for number in 0..<5000 {
            let run = index.run(partition: 0, offset: 100 + Int64(number) * 3, limit: 2)
            #expect(run.map(\.position) == (number..<min(number + 2, 5000)).map(UInt64.init))
        }
    }

    @Test func theSummaryTellsWhatEachPartitionHas() throws {
        let summary = sample().summary
        #expect(summary.rows.map(\.partition) == [0, 1, 4])
        let row = try #require(summary.row(partition: 0))
        #expect((row.startOffset, row.endOffset, row.maxTimestamp) == (100, 130, 9))
        #expect(row.count == 10 && row.bytes == 10 * UInt64(Frame.stride(Frame.headerBytes + 100) + 32))
        #expect(summary.row(partition: 4)?.firstEntry == 11)
        #expect(summary.row(partition: 2) == nil)
    }

    /// From no entry to several blocks of them.
    @Test(arguments: [0, 1, 125, 126, 127, 128, 1000, 3000]) func anIndexFileHoldsItAll(count: Int) throws {
        let index = sample(count)
        let image = IndexFile.image(of: index, owner: owner)
        #expect(image.count % directAlignment == 0)
        #expect(IndexFile.isSound(image.base, count: image.count, owner: owner))
        let header = try #require(IndexFile.Header(image.base, owner: owner))
        #expect(header.entries == count + 2 && header.blocks * IndexBlock.bytes == image.count)
        let summary = try #require(IndexFile.summary(image.base, count: image.count, owner: owner))
        #expect(summary.rows == index.summary.rows)
        for row in summary.rows {
            let expected = Array(index.run(partition: Int(row.partition), offset: .min, limit: .max))
            #expect(expected.count == Int(row.count))
            for number in 0..<Int(row.count) {
                let place = Int(row.firstEntry) + number
                let block = image.base + (header.firstEntryBlock + place / IndexBlock.entries) * IndexBlock.bytes
                #expect(IndexBlock.entry(block, place % IndexBlock.entries) == expected[number])
            }
        }
    }

    @Test func anothersBlocksAreNotBelieved() {
        let image = IndexFile.image(of: sample(), owner: owner)
        for other in [
            IndexOwner(segment: 8, group: 1), IndexOwner(segment: 9, group: 2), IndexOwner(group: 1, partition: 0, number: 9),
        ] {
            #expect(!IndexFile.isSound(image.base, count: image.count, owner: other))
            #expect(IndexFile.summary(image.base, count: image.count, owner: other) == nil)
        }
        #expect(!IndexBlock.isSound(image.base + IndexBlock.bytes, number: 2, owner: owner), "a block that went astray")
    }

    @Test func aDamagedIndexFileIsNotBelieved() {
        let image = IndexFile.image(of: sample(), owner: owner)
        let bytes = image.base.assumingMemoryBound(to: UInt8.self)
        for byte in 0..<image.count {
            bytes[byte] ^= 0x10
            #expect(!IndexFile.isSound(image.base, count: image.count, owner: owner), "byte \(byte)")
            bytes[byte] ^= 0x10
        }
        #expect(!IndexFile.isSound(image.base, count: IndexBlock.bytes, owner: owner), "cut off")
    }
}
