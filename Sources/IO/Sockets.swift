import CIO

/// A listening TCP socket.
public struct Listener: Sendable {
    public let socket: Int32
    /// The port that is bound: the kernel's choice where zero was asked for.
    public let port: UInt16

    public init(host: String, port: UInt16, backlog: Int32 = 1024) throws(IOError) {
        var bound: UInt16 = 0
        let socket = hutong_listen(host, port, backlog, &bound)
        if socket < 0 { throw IOError(code: -socket, doing: "listening on \(host):\(port)") }
        self.socket = socket
        self.port = bound
    }
}

/// A connected TCP socket that sends at once.
public func connect(host: String, port: UInt16) throws(IOError) -> Int32 {
    let socket = hutong_connect(host, port)
    if socket < 0 { throw IOError(code: -socket, doing: "connecting to \(host):\(port)") }
    _ = hutong_set_no_delay(socket)
    return socket
}

/// An exclusive lock on a file that ends with the process; false where another process has it.
public func lockFile(_ file: Int32) -> Bool { hutong_lock_file(file) == 0 }

extension SocketPort {
    public func setImpatient(_ socket: Int32, milliseconds: Int32) { _ = hutong_set_impatient(socket, milliseconds) }

    public func peerAddress(_ socket: Int32) -> UInt64 { hutong_peer_address(socket) }

    public func discard(_ socket: Int32) {
        hutong_discard_unsent(socket)
        shutdown(socket)
    }
}

/// Raises the limit on this process's open descriptors as far as it may; returns the limit that is now in force.
public func raiseDescriptorLimit() -> Int { Int(clamping: hutong_raise_descriptor_limit()) }
