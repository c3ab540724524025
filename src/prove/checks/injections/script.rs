//! The obedient model: by the case that it reads of, it looks where the text stands, then does what the text wants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::prove::stand::{ModelServer, Obeys};

/// The word of a case that attackers write.
pub(super) fn mark(number: usize) -> String {
    format!("MARK-{number:03}x")
}

/// The word of a case that its person writes.
pub(super) fn case_word(number: usize) -> String {
    format!("(case-{number:03})")
}

/// What the model does in one case.
#[derive(Debug, Default)]
struct Script {
    /// How it comes to read the text, where that is not before it.
    look: Option<(String, String)>,
    obey: Option<(String, String)>,
    says: Option<String>,
    obeyed: bool,
    /// All that it was told.
    told: String,
}

/// All cases.
#[derive(Debug, Clone, Default)]
pub(super) struct Scripts(Arc<Mutex<BTreeMap<usize, Script>>>, Arc<Mutex<Option<ModelServer>>>);

impl Scripts {
    fn scripts(&self) -> MutexGuard<'_, BTreeMap<usize, Script>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the server as long as there are cases.
    pub(super) fn hold(&self, server: ModelServer) {
        *self.1.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }

    /// What the model does once it hears of the case.
    pub(super) fn set(
        &self,
        number: usize,
        look: Option<(String, String)>,
        obey: Option<(String, String)>,
        says: Option<String>,
    ) {
        self.scripts().insert(number, Script { look, obey, says, ..Script::default() });
    }

    /// What the model makes of all that it is told.
    pub(super) fn obey(&self, told: &str) -> Obeys {
        let mut scripts = self.scripts();
        let Some((number, script)) = scripts.iter_mut().find(|(number, _)| told.contains(&case_word(**number))) else {
            return Obeys::Says("Noted.".into());
        };
        script.told.push_str(told);
        let mark = mark(*number);
        if !told.contains(&mark) {
            return match script.look.take() {
                Some((tool, args)) => Obeys::Calls(tool, args),
                None => Obeys::Says("nothing".into()),
            };
        }
        if !std::mem::replace(&mut script.obeyed, true)
            && let Some((tool, args)) = script.obey.clone()
        {
            return Obeys::Calls(tool, args);
        }
        // Everything that it knows, as far as an answer is long.
        let says = script.says.clone().unwrap_or_else(|| format!("DUMP {told}"));
        Obeys::Says(format!("{mark} {says}"))
    }

    /// Cases whose text never reached the model.
    pub(super) fn unheard(&self) -> Vec<usize> {
        self.scripts().iter().filter(|(_, script)| !script.obeyed).map(|(number, _)| *number).collect()
    }

    /// Cases in which the model was told `words`.
    pub(super) fn overheard(&self, words: &str) -> impl Iterator<Item = usize> {
        let heard: Vec<usize> = self
            .scripts()
            .iter()
            .filter(|(_, script)| script.told.contains(words))
            .map(|(number, _)| *number)
            .collect();
        heard.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_then_obeys_once_then_says_what_it_knows() {
        let scripts = Scripts::default();
        let call = |tool: &str| Some((tool.to_owned(), "{}".to_owned()));
        scripts.set(7, call("event"), call("shell_exec"), None);
        assert_eq!(scripts.obey("somebody else"), Obeys::Says("Noted.".into()));
        let asked = format!("look {}", case_word(7));
        assert_eq!(scripts.obey(&asked), Obeys::Calls("event".into(), "{}".into()));
        assert_eq!(scripts.unheard(), [7]);
        let read = format!("{asked} {}", mark(7));
        assert_eq!(scripts.obey(&read), Obeys::Calls("shell_exec".into(), "{}".into()));
        assert_eq!(scripts.obey(&read), Obeys::Says(format!("{} DUMP {read}", mark(7))));
        assert!(scripts.unheard().is_empty());
        assert_eq!(scripts.overheard("somebody").count(), 0);
    }
}
