//! What goes wrong with a call, and what it means.

use kurrentdb::Error;

#[derive(Debug)]
pub(super) enum Fault {
    /// The stream does not end at the expected revision, and the batch is not there already.
    Conflict,
    /// The server does not take such a batch; says why.
    Refused(String),
    /// The stream was deleted for good.
    Deleted,
    /// The node leads no longer. The client goes to the leader by itself.
    NotLeader(String),
    /// Anything else: an append may be durable or not.
    Failed(String),
}

impl Fault {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Conflict => "the stream does not end where it was expected to".into(),
            Self::Deleted => "the stream was deleted".into(),
            Self::Refused(text) | Self::NotLeader(text) | Self::Failed(text) => text.clone(),
        }
    }

    /// Whether a client that met this is still good.
    pub(super) fn spares_the_client(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

/// In a batch session the server reports by name, and the client passes that on as a gRPC error.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::WrongExpectedVersion { .. } => Self::Conflict,
            Error::ResourceDeleted => Self::Deleted,
            Error::NotLeaderException(leader) => {
                Self::NotLeader(format!("the node does not lead; {}:{} does", leader.host, leader.port))
            }
            Error::Grpc { code, message } => match message.as_str() {
                "WrongExpectedVersion" => Self::Conflict,
                "StreamDeleted" => Self::Deleted,
                "MaximumAppendSizeExceeded" | "MaximumAppendEventSizeExceeded" | "BadRequest" => {
                    Self::Refused(format!("EventStoreDB says {message}"))
                }
                _ => Self::Failed(format!("EventStoreDB says {message} ({code:?})")),
            },
            Error::UnsupportedFeature => {
                Self::Failed("the server has no batch appends: it must be EventStoreDB 21.10 or later".into())
            }
            Error::AccessDenied => {
                Self::Failed("access is denied: check user, password and the stream's access list".into())
            }
            other => Self::Failed(other.to_string()),
        }
    }
}
