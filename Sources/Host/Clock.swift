import CHost

/// A point in time, as a stage is given it: one reading serves a whole step.
public struct Moment: BitwiseCopyable, Sendable {
    /// Nanoseconds of a clock that never goes back; its zero means nothing.
    public var monotonic: UInt64
    /// Milliseconds since 1970 by the wall clock, which may jump: for what people and clients read, never for timers.
    public var wall: Int64

    @inlinable
    public init(monotonic: UInt64, wall: Int64) {
        self.monotonic = monotonic
        self.wall = wall
    }

    /// The host's clocks now.
    @inlinable
    public static func now() -> Moment { Moment(monotonic: hutong_monotonic_ns(), wall: hutong_wall_ms()) }
}
