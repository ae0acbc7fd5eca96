// Unsafe on purpose: a small file's image, read and written in raw memory within its checked length.

import CHost
import IO

/// A checkpoint's file: put in place whole, and believed only if its checksum fits. There are two, written in turn: where the newer
/// one is damaged, recovery begins at the older one.
///
/// Little endian: magic "HTC1" (4), epoch (4), position (8), previous (4), CRC-32C of the state (4), the state's length (8),
/// CRC-32C of these 32 bytes (4); from byte 64 on the state.
public enum CheckpointFile {
    static let magic: UInt32 = 0x3143_5448
    static let stateAt = 64

    /// In both places.
    public static func write(_ checkpoint: Checkpoint, paths: JournalPaths, blocking: BlockingFiles) throws(IOError) {
        for path in paths.checkpoints {
            try blocking.replace(path, by: paths.unfinishedCheckpoint, in: paths.directory, with: image(of: checkpoint))
        }
    }

    static func image(of checkpoint: Checkpoint) -> AlignedBuffer {
        let image = AlignedBuffer(count: stateAt + checkpoint.state.count)
        func put<T: FixedWidthInteger>(_ value: T, _ at: Int) {
            image.base.storeBytes(of: value.littleEndian, toByteOffset: at, as: T.self)
        }
        checkpoint.state.withUnsafeBytes { state in
            if let base = state.baseAddress { (image.base + stateAt).copyMemory(from: base, byteCount: state.count) }
        }
        put(magic, 0)
        put(checkpoint.epoch, 4)
        put(checkpoint.position, 8)
        put(checkpoint.previous, 16)
        put(hutong_crc32c(0, image.base + stateAt, checkpoint.state.count), 20)
        put(UInt64(checkpoint.state.count), 24)
        put(hutong_crc32c(0, image.base, 32), 32)
        return image
    }

    /// The positions of those that can be believed, by their places.
    static func positions(paths: JournalPaths, blocking: BlockingFiles) throws(IOError) -> [UInt64?] {
        var found: [UInt64?] = []
        for path in paths.checkpoints { found.append(try blocking.contents(path).flatMap { Checkpoint(image: $0) }?.position) }
        return found
    }

    /// Takes away those that know of more than the journal is to have.
    static func remove(beyond end: UInt64, paths: JournalPaths, blocking: BlockingFiles) throws(IOError) {
        for (path, position) in zip(paths.checkpoints, try positions(paths: paths, blocking: blocking)) where position ?? 0 > end {
            try blocking.files.remove(path)
        }
    }

    /// The newest that can be believed; nil where there is none. `areAllLost`: there are files, but none that can be believed.
    public static func read(
        paths: JournalPaths, blocking: BlockingFiles
    ) throws(IOError) -> (checkpoint: Checkpoint?, areAllLost: Bool) {
        var newest: Checkpoint?
        var isThere = false
        for path in paths.checkpoints {
            guard let image = try blocking.contents(path) else { continue }
            isThere = true
            guard let found = Checkpoint(image: image) else { continue }
            if newest == nil || found.position > newest!.position { newest = found }
        }
        return (newest, isThere && newest == nil)
    }
}

extension Checkpoint {
    /// Nil where the image can't be believed.
    init?(image: AlignedBuffer) {
        func get<T: FixedWidthInteger>(_ at: Int, _: T.Type = T.self) -> T {
            T(littleEndian: image.base.loadUnaligned(fromByteOffset: at, as: T.self))
        }
        guard get(0, UInt32.self) == CheckpointFile.magic, get(32, UInt32.self) == hutong_crc32c(0, image.base, 32) else { return nil }
        let count = get(24, UInt64.self)
        let stateAt = CheckpointFile.stateAt
        guard count <= UInt64(image.count - stateAt), get(20, UInt32.self) == hutong_crc32c(0, image.base + stateAt, Int(count))
        else { return nil }
        self.init(
            position: get(8), previous: get(16), epoch: get(4),
            state: Array(UnsafeRawBufferPointer(start: image.base + stateAt, count: Int(count))))
    }
}
