/// What may be done with a resource, as Kafka numbers it (AclOperation).
public enum ResourceOperation: Int32, Sendable {
    case read = 3
    case write = 4
    case create = 5
    case delete = 6
    case alter = 7
    case describe = 8
    case clusterAction = 9
    case describeConfigs = 10
    case alterConfigs = 11
    case idempotentWrite = 12
}

/// What a client may do with a resource, where it asks (KIP-430): a bit for each operation. Nobody is refused anything here, so it is all that there is to
/// do with a resource of that kind.
public enum AuthorizedOperations {
    public static let topic = field([.read, .write, .create, .delete, .alter, .describe, .describeConfigs, .alterConfigs])
    public static let cluster = field([.create, .alter, .describe, .clusterAction, .describeConfigs, .alterConfigs, .idempotentWrite])
    public static let group = field([.read, .delete, .describe, .describeConfigs, .alterConfigs])

    private static func field(_ operations: [ResourceOperation]) -> Int32 { operations.reduce(0) { $0 | 1 << $1.rawValue } }
}
