import Hummingbird

/// Answers only who names this host as it may be named: a page of another origin that was given this host's address under a name of its own (DNS rebinding) is to read nothing.
struct OwnHosts: RouterMiddleware {
    typealias Context = BasicRequestContext

    /// Besides addresses and localhost.
    let names: Set<String>

    func handle(_ request: Request, context: Context, next: (Request, Context) async throws -> Response) async throws -> Response {
        guard isOwn(request.head.authority ?? "") else {
            throw HTTPError(.misdirectedRequest, message: "This host is not asked under that name: use its address, or the name in advertise or http.listen.")
        }
        return try await next(request, context)
    }

    func isOwn(_ authority: String) -> Bool {
        var host = authority[...]
        // A port behind it; an IPv6 address has brackets.
        if let colon = host.lastIndex(of: ":"), !host.hasSuffix("]") { host = host[..<colon] }
        if host.hasPrefix("["), host.hasSuffix("]") { return true }
        let isAddress = !host.isEmpty && host.allSatisfy { $0.isASCII && ($0.isNumber || $0 == ".") }
        return isAddress || host.lowercased() == "localhost" || names.contains(host.lowercased())
    }
}
