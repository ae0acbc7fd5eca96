import ArgumentParser
import Client

/// A place in a log, in kcat's notation: start, end, N, -N or @TIMESTAMP.
struct LogPlaceArgument: ExpressibleByArgument, CustomStringConvertible {
    static let help = "start, end, an offset, -N (that many before the end) or @TIMESTAMP (milliseconds since 1970)"

    let place: LogPlace

    init(_ place: LogPlace) { self.place = place }

    init?(argument: String) {
        func number(_ text: Substring) -> Int64? { text.allSatisfy(\.isNumber) ? Int64(text) : nil }
        switch argument.first {
        case _ where argument == "start" || argument == "beginning": place = .start
        case _ where argument == "end": place = .end
        case "-":
            guard let count = number(argument.dropFirst()) else { return nil }
            place = .beforeEnd(count)
        case "@":
            guard let time = number(argument.dropFirst()) else { return nil }
            place = .timestamp(time)
        default:
            guard let offset = number(argument[...]) else { return nil }
            place = .offset(offset)
        }
    }

    var description: String {
        switch place {
        case .start: "start"
        case .end: "end"
        case .offset(let offset): "\(offset)"
        case .beforeEnd(let count): "-\(count)"
        case .timestamp(let time): "@\(time)"
        }
    }
}
