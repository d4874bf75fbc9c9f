//! What an accepted command is answered with: one form, over HTTP and sockets.

use ledger_core::{CommandId, JournalId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// That the ledger has recorded a command, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The journal that it was recorded in.
    pub journal: JournalId,
    /// The command's own id: the same for every retry under its key.
    pub command_id: CommandId,
    /// The command's last event. As `min_revision` of a read it makes sure that the read shows it.
    pub revision: u64,
    /// Whether this is the answer to a retry: the command had been recorded before.
    pub duplicate: bool,
}

impl From<ledger_runtime::Receipt> for Receipt {
    fn from(receipt: ledger_runtime::Receipt) -> Receipt {
        let ledger_runtime::Receipt { journal, command_id, revision, duplicate, recorded: _ } = receipt;
        Receipt { journal, command_id, revision, duplicate }
    }
}
