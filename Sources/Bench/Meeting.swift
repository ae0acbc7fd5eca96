// Unsafe on purpose: sentences are looked at where they were received, and written where they are sent from.

import Glibc

/// What the two old men say to each other.
enum Sentence: Int, CaseIterable {
    case z0, l1, l2, z3, l4, z5

    private static let texts = [
        "吃了没，您吶?", "刚吃。", "您这，嘛去？", "嗨！吃饱了溜溜弯儿。", "有空家里坐坐啊。", "回头去给老太太请安！",
    ]

    /// All that is said, as it goes over the wire but for its serial number.
    static let frames: [[UInt8]] = texts.map { text in
        let count = UInt32(4 + text.utf8.count)
        return withUnsafeBytes(of: count.bigEndian) { Array($0) } + [0, 0, 0, 0] + Array(text.utf8)
    }

    /// The sentence that answers it; nil: it is an answer.
    var answer: Sentence? {
        switch self {
        case .z0: .l1
        case .l2: .z3
        case .l4: .z5
        case .l1, .z3, .z5: nil
        }
    }

    /// The sentence that it answers; nil: it is none.
    var question: Sentence? { Sentence.allCases.first { $0.answer == self } }

    var isZhangs: Bool { self == .z0 || self == .z3 || self == .z5 }
}

/// One of the two old men: what he still has to say, and what he has heard. It knows nothing of sockets.
///
/// A frame: length of what follows (4 bytes, big endian), serial number (4 bytes, big endian; an answer bears its question's), text.
final class OldMan {
    /// The longest frame.
    static let longest = Sentence.frames.map(\.count).max() ?? 0

    private let meetings: Int
    /// What he says first at each meeting, in order.
    private let own: [Sentence]
    private let heardFrom: [Sentence]
    /// How many of his own sentences are said: their serial numbers count up.
    private var said = 0
    /// Questions that he has heard and not answered yet.
    private var owed: [(sentence: Sentence, serial: UInt32)] = []
    private var paid = 0
    private var heard = 0
    /// Which of his questions, by serial number, are answered.
    private var isAnswered: [Bool]

    init(isZhang: Bool, meetings: Int) {
        self.meetings = meetings
        own = isZhang ? [.z0] : [.l2, .l4]
        heardFrom = Sentence.allCases.filter { $0.isZhangs != isZhang }
        isAnswered = Array(repeating: false, count: own.count * meetings)
    }

    /// He has said all that he is to say, and heard all that he is to hear.
    var isDone: Bool { isHeardOut && !hasMore }

    /// He has heard all that he is to hear.
    var isHeardOut: Bool { heard == 3 * meetings }

    /// There is something to say now.
    var hasMore: Bool { paid < owed.count || said < own.count * meetings }

    /// Writes the next sentence; returns its length. There must be one.
    func speak(to place: UnsafeMutableRawPointer) -> Int {
        let sentence: Sentence
        let serial: UInt32
        if paid < owed.count {
            (sentence, serial) = owed[paid]
            paid += 1
            if paid == owed.count {
                owed.removeAll(keepingCapacity: true)
                paid = 0
            }
        } else {
            sentence = own[said % own.count]
            serial = UInt32(said)
            said += 1
        }
        let frame = Sentence.frames[sentence.rawValue]
        frame.withUnsafeBytes { place.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        place.storeBytes(of: serial.bigEndian, toByteOffset: 4, as: UInt32.self)
        return frame.count
    }

    /// Hears the sentence at the beginning of the bytes. Returns its length; nil: it is not whole yet.
    func hear(_ bytes: UnsafeRawBufferPointer) throws -> Int? {
        guard bytes.count >= 8 else { return nil }
        let count = 4 + Int(UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)))
        guard (9...OldMan.longest).contains(count) else { throw LoadError("a sentence of \(count) bytes") }
        guard bytes.count >= count else { return nil }
        let serial = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        guard let sentence = heardFrom.first(where: { OldMan.isText(bytes, count, of: $0) }) else {
            throw LoadError("a sentence that nobody says: \(String(decoding: bytes[8..<count], as: UTF8.self))")
        }
        heard += 1
        if let answer = sentence.answer {
            owed.append((answer, serial))
        } else {
            guard Int(serial) < said, own[Int(serial) % own.count] == sentence.question, !isAnswered[Int(serial)] else {
                throw LoadError("an answer to a question that was not asked: \(serial)")
            }
            isAnswered[Int(serial)] = true
        }
        return count
    }

    private static func isText(_ bytes: UnsafeRawBufferPointer, _ count: Int, of sentence: Sentence) -> Bool {
        let frame = Sentence.frames[sentence.rawValue]
        return frame.count == count && frame.withUnsafeBytes { memcmp($0.baseAddress! + 8, bytes.baseAddress! + 8, count - 8) == 0 }
    }
}
