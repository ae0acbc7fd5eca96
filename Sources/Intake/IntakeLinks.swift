import Host
import Metadata

/// Where the io stage's requests go to, and what comes back: one end of each of its channels.
public struct IntakeLinks: ~Copyable {
    /// To each partition group's write stage.
    public var writers: OwnedArray<Sender<ClientRequest>>
    public var reader: Sender<ClientRequest>
    public var control: Sender<ClientRequest>
    public var groups: Sender<ClientRequest>
    /// Request bytes given back, from each stage that is handed requests.
    public var releases: OwnedArray<Receiver<Release>>
    public var toRespond: Sender<ConnectionEvent>
    public var fromRespond: Receiver<ConnectionEvent>
    public var tables: Receiver<Unmanaged<TopicTable>>

    public init(
        writers: consuming OwnedArray<Sender<ClientRequest>>, reader: consuming Sender<ClientRequest>,
        control: consuming Sender<ClientRequest>, groups: consuming Sender<ClientRequest>, releases: consuming OwnedArray<Receiver<Release>>,
        toRespond: consuming Sender<ConnectionEvent>, fromRespond: consuming Receiver<ConnectionEvent>,
        tables: consuming Receiver<Unmanaged<TopicTable>>
    ) {
        self.writers = writers
        self.reader = reader
        self.control = control
        self.groups = groups
        self.releases = releases
        self.toRespond = toRespond
        self.fromRespond = fromRespond
        self.tables = tables
    }
}
