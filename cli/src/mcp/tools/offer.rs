//! Which tools a session offers: `--tools`.
//!
//! Each tool costs its host's model some of its attention, in every request. So a host may take
//! few. What is not offered is not listed, not spoken of, and cannot be called.

use std::str::FromStr;

use super::{Tool, every};

/// The few that talking with peers takes.
pub const CORE: [&str; 8] = [
    "send_message",
    "message_status",
    "check_messages",
    "list_peers",
    "set_summary",
    "set_status",
    "join_group",
    "leave_group",
];

/// The tools of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer(Vec<&'static str>);

impl Offer {
    /// Every tool.
    pub fn all() -> Self {
        Self(every().map(|tool| tool.name).collect())
    }

    /// The few of [`CORE`].
    pub fn core() -> Self {
        Self::of(|name| CORE.contains(&name))
    }

    /// Whether this tool is offered.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(&name)
    }

    /// The names, in the order that hosts list them in.
    pub fn names(&self) -> &[&'static str] {
        &self.0
    }

    /// Those whose names are chosen, whatever the order of choosing.
    fn of(is_chosen: impl Fn(&str) -> bool) -> Self {
        Self(every().map(|tool| tool.name).filter(|name| is_chosen(name)).collect())
    }

    pub(super) fn tools(&self) -> impl Iterator<Item = &'static Tool> {
        every().filter(|tool| self.has(tool.name))
    }
}

impl Default for Offer {
    fn default() -> Self {
        Self::all()
    }
}

impl FromStr for Offer {
    type Err = String;

    fn from_str(words: &str) -> Result<Self, String> {
        let words: Vec<_> =
            words.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        let is_known =
            |word: &&str| ["all", "core"].contains(word) || every().any(|tool| tool.name == *word);
        let unknown: Vec<_> = words.iter().copied().filter(|word| !is_known(word)).collect();
        if !unknown.is_empty() || words.is_empty() {
            let all: Vec<_> = every().map(|tool| tool.name).collect();
            let what = if words.is_empty() { "a name".into() } else { unknown.join(", ") };
            return Err(format!(
                "there is no tool {what}; there are all, core, or any of: {}",
                all.join(", ")
            ));
        }
        let has = |word: &str| words.contains(&word);
        Ok(Self::of(|name| has("all") || has(name) || (has("core") && CORE.contains(&name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_names_add_up_in_the_order_of_the_table() {
        let parse = |words: &str| words.parse::<Offer>().unwrap();

        assert_eq!(parse("all"), Offer::all());
        assert_eq!(parse("core"), Offer::core());
        assert_eq!(Offer::core().names(), CORE);
        assert_eq!(parse("mesh_stats, send_message").names(), ["send_message", "mesh_stats"]);
        let more = parse("core,ping_mesh");
        assert_eq!(more.names().len(), CORE.len() + 1);
        assert!(more.has("ping_mesh") && !more.has("mesh_stats"));
    }

    #[test]
    fn what_is_no_tool_is_refused_by_name_with_those_that_are() {
        for (words, named) in [("core,fly", "no tool fly;"), ("Core", "no tool Core;")] {
            let problem = words.parse::<Offer>().unwrap_err();
            assert!(problem.contains(named) && problem.contains("send_message"), "{problem}");
        }
        assert!("".parse::<Offer>().is_err() && ",".parse::<Offer>().is_err());
    }
}
