import Wire

/// A setting of the broker's as clients are told of it.
public struct DescribedSetting: Sendable {
    public var name: String
    /// What is in force.
    public var value: String
    /// What was given, by file, environment or command line; nil: nothing was.
    public var given: String?
    public var defaultValue: String
    public var type: ConfigType
    /// What it means, in sentences.
    public var documentation: String
    /// Kafka has it, and it has no meaning here.
    public var isIdle = false

    public init(
        name: String, value: String, given: String?, defaultValue: String, type: ConfigType, documentation: String
    ) {
        self.name = name
        self.value = value
        self.given = given
        self.defaultValue = defaultValue
        self.type = type
        self.documentation = documentation
    }
}
