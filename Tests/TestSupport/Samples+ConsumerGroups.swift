import Wire

extension FindCoordinatorRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v < 4 { m.key = values.string() }
        if v >= 1 { m.keyType = values.int8() }
        if v >= 4 { m.coordinatorKeys = values.array { $0.string() } }
        return m
    }
}

extension FindCoordinatorResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 1 { m.throttleTimeMs = values.int32() }
        if v < 4 {
            m.errorCode = values.error()
            if v >= 1 { m.errorMessage = values.nullableString() }
            m.nodeId = values.int32()
            m.host = values.string()
            m.port = values.int32()
            return m
        }
        m.coordinators = values.array { values in
            var coordinator = Coordinator()
            coordinator.key = values.string()
            coordinator.nodeId = values.int32()
            coordinator.host = values.string()
            coordinator.port = values.int32()
            coordinator.errorCode = values.error()
            coordinator.errorMessage = values.nullableString()
            return coordinator
        }
        return m
    }
}

extension JoinGroupRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.groupId = values.string()
        m.sessionTimeoutMs = values.int32()
        if v >= 1 { m.rebalanceTimeoutMs = values.int32() }
        m.memberId = values.string()
        if v >= 5 { m.groupInstanceId = values.nullableString() }
        m.protocolType = values.string()
        m.protocols = values.array { values in
            let name = values.string()
            return GroupProtocol(name: name, metadata: values.bytes())
        }
        if v >= 8 { m.reason = values.nullableString() }
        return m
    }
}

extension JoinGroupResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 2 { m.throttleTimeMs = values.int32() }
        m.errorCode = values.error()
        m.generationId = values.int32()
        if v >= 7 { m.protocolType = values.nullableString() }
        m.protocolName = v >= 7 ? values.nullableString() : values.string()
        m.leader = values.string()
        if v >= 9 { m.skipAssignment = values.bool() }
        m.memberId = values.string()
        m.members = values.array { values in
            var member = Member()
            member.memberId = values.string()
            if v >= 5 { member.groupInstanceId = values.nullableString() }
            member.metadata = values.bytes()
            return member
        }
        return m
    }
}

extension HeartbeatRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.groupId = values.string()
        m.generationId = values.int32()
        m.memberId = values.string()
        if v >= 3 { m.groupInstanceId = values.nullableString() }
        return m
    }
}

extension HeartbeatResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 1 { m.throttleTimeMs = values.int32() }
        m.errorCode = values.error()
        return m
    }
}

extension LeaveGroupRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.groupId = values.string()
        if v < 3 { m.memberId = values.string() }
        guard v >= 3 else { return m }
        m.members = values.array { values in
            let id = values.string()
            var member = Member(memberId: id, groupInstanceId: values.nullableString())
            if v >= 5 { member.reason = values.nullableString() }
            return member
        }
        return m
    }
}

extension LeaveGroupResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 1 { m.throttleTimeMs = values.int32() }
        m.errorCode = values.error()
        guard v >= 3 else { return m }
        m.members = values.array { values in
            var member = Member()
            member.memberId = values.string()
            member.groupInstanceId = values.nullableString()
            member.errorCode = values.error()
            return member
        }
        return m
    }
}

extension SyncGroupRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.groupId = values.string()
        m.generationId = values.int32()
        m.memberId = values.string()
        if v >= 3 { m.groupInstanceId = values.nullableString() }
        if v >= 5 { m.protocolType = values.nullableString() }
        if v >= 5 { m.protocolName = values.nullableString() }
        m.assignments = values.array { values in
            let id = values.string()
            return Assignment(memberId: id, assignment: values.bytes())
        }
        return m
    }
}

extension SyncGroupResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 1 { m.throttleTimeMs = values.int32() }
        m.errorCode = values.error()
        if v >= 5 { m.protocolType = values.nullableString() }
        if v >= 5 { m.protocolName = values.nullableString() }
        m.assignment = values.bytes()
        return m
    }
}

extension DescribeGroupsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.groups = values.array { $0.string() }
        if v >= 3 { m.includeAuthorizedOperations = values.bool() }
        return m
    }
}

extension DescribeGroupsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 1 { m.throttleTimeMs = values.int32() }
        m.groups = values.array { values in
            var group = Group()
            group.errorCode = values.error()
            group.groupId = values.string()
            group.groupState = values.string()
            group.protocolType = values.string()
            group.protocolData = values.string()
            group.members = values.array { values in
                var member = Member()
                member.memberId = values.string()
                if v >= 4 { member.groupInstanceId = values.nullableString() }
                member.clientId = values.string()
                member.clientHost = values.string()
                member.memberMetadata = values.bytes()
                member.memberAssignment = values.bytes()
                return member
            }
            if v >= 3 { group.authorizedOperations = values.bits() }
            return group
        }
        return m
    }
}

extension ListGroupsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 4 { m.statesFilter = values.array { $0.string() } }
        return m
    }
}

extension ListGroupsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 1 { m.throttleTimeMs = values.int32() }
        m.errorCode = values.error()
        m.groups = values.array { values in
            var group = Group()
            group.groupId = values.string()
            group.protocolType = values.string()
            if v >= 4 { group.groupState = values.string() }
            return group
        }
        return m
    }
}

extension DeleteGroupsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.groupsNames = values.array { $0.string() }
        return m
    }
}

extension DeleteGroupsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.results = values.array { values in
            let id = values.string()
            return Result(groupId: id, errorCode: values.error())
        }
        return m
    }
}
