import IO
import Journal

/// Puts a replica's record in place, whole, without waiting: one at a time.
final class ReplicaRecordWriter {
    private let files: any FilePort
    private let directory: String
    private let directoryFile: Int32
    private var replacer: FileReplacer
    private var writing: ReplicaRecord?

    /// - Parameters:
    ///   - tag: of its operations.
    ///   - directory: the journal's.
    init(files: any FilePort, tag: UInt64, directory: String) throws(IOError) {
        self.files = files
        self.directory = directory
        directoryFile = try files.open(directory, .directory)
        replacer = FileReplacer(files: files, tag: tag, directory: directoryFile)
    }

    deinit { files.close(directoryFile) }

    var isIdle: Bool { replacer.isIdle }

    /// Begins; `handle` tells when it is done.
    func begin(_ stored: StoredReplica) throws(IOError) {
        writing = stored.record
        try replacer.begin(
            ReplicaRecordFile.path(directory), by: ReplicaRecordFile.unfinished(directory),
            contents: .image(ReplicaRecordFile.image(of: stored)))
    }

    /// A completion of one of its operations. Returns the record that is on stable storage now; nil: it is still under way.
    func handle(_ completion: Completion) throws(IOError) -> ReplicaRecord? {
        switch replacer.handle(completion) {
        case .underWay: return nil
        case .done:
            defer { writing = nil }
            return writing
        case .failed(let error): throw error
        }
    }
}
