import Intake
import Metadata
import Wire

extension ControlStage {
    /// The brokers that are there, and which of them changes are to be sent to.
    func handleDescribeCluster(_ request: ClientRequest) throws -> DescribeClusterResponse {
        let message = try request.decode(DescribeClusterRequest.self)
        var response = DescribeClusterResponse()
        guard message.endpointType == DescribeClusterRequest.EndpointType.brokers.rawValue else {
            response.errorCode = .mismatchedEndpointType
            response.errorMessage = "there are no controllers apart from the brokers"
            return response
        }
        response.clusterId = planned.clusterId ?? ""
        response.controllerId = directory.controller
        if message.includeClusterAuthorizedOperations { response.clusterAuthorizedOperations = AuthorizedOperations.cluster }
        response.brokers = directory.brokers.map { address in
            var broker = DescribeClusterResponse.Broker()
            broker.brokerId = address.nodeId
            broker.host = address.host
            broker.port = address.port
            return broker
        }
        return response
    }
}
