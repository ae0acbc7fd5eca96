import Host

public typealias SeededRandom = Host.SeededRandom
