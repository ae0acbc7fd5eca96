import Intake
import Responses
import Wire

extension ControlStage {
    /// What is served. A version of ApiVersions that is not known is answered in the oldest form, with the range that is
    /// (KIP-511): the client asks again.
    mutating func answerApiVersions(_ request: ClientRequest, _ io: Int) throws {
        var response = ApiVersionsResponse()
        guard let spec = APIs.spec(request.key) else { throw WireError("ApiVersions is always served") }
        guard spec.versions.contains(request.version) else {
            response.errorCode = .unsupportedVersion
            response.apiKeys = [ApiVersionsResponse.API(spec)]
            return try answer(response, request, io, version: 0)
        }
        _ = try request.decode(ApiVersionsRequest.self)
        response.apiKeys = APIs.all.map { ApiVersionsResponse.API($0) }
        try answer(response, request, io)
    }
}

extension ApiVersionsResponse.API {
    init(_ spec: APISpec) {
        self.init()
        apiKey = spec.key.rawValue
        minVersion = spec.advertised.lowerBound
        maxVersion = spec.advertised.upperBound
    }
}
