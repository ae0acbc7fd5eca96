import Glibc

/// A blocking TCP socket whose calls give up after a time.
final class Socket {
    private let descriptor: Int32
    /// What errors call the other side.
    let peer: String

    /// Takes over a connected socket, and closes it when it is released.
    init(descriptor: Int32, peer: String, timeoutMs: Int) {
        self.descriptor = descriptor
        self.peer = peer
        setTimeout(timeoutMs)
    }

    deinit { close(descriptor) }

    /// Connects to the first of the host's addresses that answers, giving each the whole time.
    convenience init(host: String, port: Int32, timeoutMs: Int) throws(ClientError) {
        let peer = "\(host):\(port)"
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, "\(port)", &hints, &found)
        guard status == 0 else {
            throw .connection("The host of \(peer) is not known: \(String(cString: gai_strerror(status))).")
        }
        defer { freeaddrinfo(found) }
        var reason = "it has no address"
        var next = found
        while let address = next?.pointee {
            switch Self.connect(to: address, timeoutMs: timeoutMs) {
            case .success(let descriptor):
                self.init(descriptor: descriptor, peer: peer, timeoutMs: timeoutMs)
                return
            case .failure(let error): reason = error.reason
            }
            next = address.ai_next
        }
        throw .connection("No connection to \(peer): \(reason).")
    }

    private struct Failure: Error {
        let reason: String

        init(errno code: Int32) { reason = String(cString: strerror(code)).lowercased() }
    }

    private static func connect(to address: addrinfo, timeoutMs: Int) -> Result<Int32, Failure> {
        let flags = address.ai_socktype | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(address.ai_family, flags, address.ai_protocol)
        guard descriptor >= 0 else { return .failure(Failure(errno: errno)) }
        var code: Int32 = 0
        if Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) != 0 {
            code = errno
            if code == EINPROGRESS { code = awaitConnection(descriptor, timeoutMs: timeoutMs) }
        }
        guard code == 0 else {
            close(descriptor)
            return .failure(Failure(errno: code))
        }
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        // A request is one write and waits for its answer: there is nothing to gather.
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        return .success(descriptor)
    }

    /// The errno of a connection that is being made; 0 if it was.
    private static func awaitConnection(_ descriptor: Int32, timeoutMs: Int) -> Int32 {
        var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard poll(&wanted, 1, Int32(clamping: timeoutMs)) == 1 else { return ETIMEDOUT }
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
        return code
    }

    /// How long one read or write may wait, in milliseconds.
    func setTimeout(_ milliseconds: Int) {
        var time = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
        let length = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, length)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, length)
    }

    func write(_ bytes: [UInt8]) throws(ClientError) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { raw in
                send(descriptor, raw.baseAddress! + done, raw.count - done, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure("took no request") }
            done += count
        }
    }

    /// Reads exactly so many bytes.
    func read(_ count: Int) throws(ClientError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + done, count - done, 0) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw failure("gave no answer") }
            guard got > 0 else { throw .connection("\(peer) closed the connection.") }
            done += got
        }
        return bytes
    }

    private func failure(_ what: String) -> ClientError {
        let code = errno
        return code == EAGAIN
            ? .connection("\(peer) \(what) in time.")
            : .connection("The connection to \(peer) broke: \(Failure(errno: code).reason).")
    }
}
