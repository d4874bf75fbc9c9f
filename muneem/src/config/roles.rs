//! What a node does, where several serve together.

use std::fmt;
use std::str::FromStr;

/// Every node holds the ledger; these can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Serves the routes under `/v1`, and works through what they leave: webhooks, unpaid purchases, approvals.
    pub api: bool,
    /// Serves WebSockets.
    pub gateway: bool,
    /// Projects, when it is its turn.
    pub projector: bool,
    /// Drives calls, when it is its turn.
    pub metering: bool,
}

impl Roles {
    pub const ALL: Roles = Roles { api: true, gateway: true, projector: true, metering: true };

    fn named(self) -> [(&'static str, bool); 4] {
        [
            ("api", self.api),
            ("gateway", self.gateway),
            ("projector", self.projector),
            ("metering", self.metering),
        ]
    }
}

impl FromStr for Roles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut roles = Roles { api: false, gateway: false, projector: false, metering: false };
        for name in text.split(',').map(str::trim) {
            match name {
                "api" => roles.api = true,
                "gateway" => roles.gateway = true,
                "projector" => roles.projector = true,
                "metering" => roles.metering = true,
                _ => {
                    let names = Roles::ALL.named().map(|(name, _)| name).join(", ");
                    return Err(format!("{name:?} is no role; roles are {names}"));
                }
            }
        }
        Ok(roles)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = self.named().into_iter().filter(|(_, has)| *has);
        f.write_str(&has.map(|(name, _)| name).collect::<Vec<_>>().join(","))
    }
}
