//! Who decides, and who may: the configuration's users and groups against an approval's approvers.

use std::collections::BTreeMap;

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decider {
    /// A Telegram user, by the numeric id that Telegram vouches for.
    Telegram(u64),
    /// Whoever holds the data folder's token or the terminal that the agent runs in.
    LocalAdmin,
}

impl std::fmt::Display for Decider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Telegram(user) => write!(f, "telegram:{user}"),
            Self::LocalAdmin => f.write_str("local admin"),
        }
    }
}

impl std::str::FromStr for Decider {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_prefix("telegram:") {
            Some(user) => user.parse().map(Self::Telegram).map_err(|_| ()),
            None if text == "local admin" => Ok(Self::LocalAdmin),
            None => Err(()),
        }
    }
}

/// People who may decide, from the configuration.
#[derive(Debug, Clone, Default)]
pub struct People {
    /// Users who may command the agent and decide gates that name nobody.
    pub allowed: Vec<u64>,
    /// Groups by name.
    pub groups: BTreeMap<String, Vec<u64>>,
}

impl People {
    /// Whether `who` may decide what `approvers` (names of groups, `telegram:ID` for one user; empty for every allowed user)
    /// decide. The local admin always may; it is recorded as such.
    pub fn may_decide(&self, who: Decider, approvers: &[String]) -> bool {
        let Decider::Telegram(user) = who else { return true };
        if approvers.is_empty() {
            return self.allowed.contains(&user);
        }
        let single = who.to_string();
        approvers
            .iter()
            .any(|name| *name == single || self.groups.get(name).is_some_and(|members| members.contains(&user)))
    }
}
