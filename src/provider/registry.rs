//! Every provider there is: those built in, then those that the user's files add or replace.
//!
//! A broken file costs that file only: it is told with its place, and what was there before it stays.
//! A built-in manifest is read when somebody first asks for its provider: read, all of them take some 30 MiB and a start
//! twice as long, and most agents have use for two or three.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::Provider;
use super::compile::{self, Embedded};
use super::faults::Faults;
use super::reference;
use crate::domain::fault::Fault;

/// Largest manifest, in bytes.
const MANIFEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most manifests in one folder.
const MANIFESTS_MAX: usize = 512;

/// The manifests that are part of the program.
const BUILTIN: &[Embedded] = &[
    Embedded { name: "alertmanager", text: include_str!("../../providers/alertmanager.yaml") },
    Embedded { name: "basic", text: include_str!("../../providers/basic.yaml") },
    Embedded { name: "bearer", text: include_str!("../../providers/bearer.yaml") },
    Embedded { name: "cloudevents", text: include_str!("../../providers/cloudevents.yaml") },
    Embedded { name: "custom", text: include_str!("../../providers/custom.yaml") },
    Embedded { name: "discord", text: include_str!("../../providers/discord.yaml") },
    Embedded { name: "github", text: include_str!("../../providers/github.yaml") },
    Embedded { name: "gitlab", text: include_str!("../../providers/gitlab.yaml") },
    Embedded { name: "grafana", text: include_str!("../../providers/grafana.yaml") },
    Embedded { name: "linear", text: include_str!("../../providers/linear.yaml") },
    Embedded { name: "pagerduty", text: include_str!("../../providers/pagerduty.yaml") },
    Embedded { name: "sentry", text: include_str!("../../providers/sentry.yaml") },
    Embedded { name: "shopify", text: include_str!("../../providers/shopify.yaml") },
    Embedded { name: "slack", text: include_str!("../../providers/slack.yaml") },
    Embedded { name: "standard-webhooks", text: include_str!("../../providers/standard-webhooks.yaml") },
    Embedded { name: "stripe", text: include_str!("../../providers/stripe.yaml") },
    Embedded { name: "svix", text: include_str!("../../providers/svix.yaml") },
    Embedded { name: "twilio", text: include_str!("../../providers/twilio.yaml") },
];

/// Providers by name. Clones share what was read.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    providers: BTreeMap<String, Arc<Entry>>,
}

/// One provider.
#[derive(Debug)]
enum Entry {
    /// From a file of the user's.
    Own(Arc<Provider>),
    /// Built in; made when it is first asked for.
    Builtin(&'static Embedded, OnceLock<Arc<Provider>>),
}

impl Entry {
    fn provider(&self) -> &Arc<Provider> {
        match self {
            Self::Own(provider) => provider,
            Self::Builtin(manifest, made) => made.get_or_init(|| {
                let read = compile::trusted(manifest.text, &format!("providers/{}.yaml", manifest.name));
                Arc::new(read.expect("every embedded manifest is read by a test"))
            }),
        }
    }
}

impl Registry {
    /// The built-in providers.
    pub fn builtin() -> Self {
        let entry = |manifest: &'static Embedded| {
            (manifest.name.to_owned(), Arc::new(Entry::Builtin(manifest, OnceLock::new())))
        };
        Self { providers: BUILTIN.iter().map(entry).collect() }
    }

    /// The built-in providers, then those of `providers_dir/*.yaml` and `integrations_dir/*/provider.yaml`, which add to
    /// them or replace them. Folders may be absent.
    pub fn load(providers_dir: &Path, integrations_dir: &Path) -> (Self, Vec<Fault>) {
        let mut registry = Self::builtin();
        let mut faults = Vec::new();
        let mut from: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut files = yaml_files(providers_dir, &mut faults);
        files.extend(integration_files(integrations_dir, &mut faults));
        for file in files {
            match registry.read(&file) {
                Ok(provider) => match from.get(provider.name()) {
                    Some(first) => faults.push(Fault {
                        file: file.display().to_string(),
                        line: None,
                        column: None,
                        key: Some("name".into()),
                        message: format!("provider '{}' is already in {}", provider.name(), first.display()),
                        hint: Some("give it another name or remove one of the files".into()),
                    }),
                    None => {
                        let name = provider.name().to_owned();
                        from.insert(name.clone(), file);
                        registry.providers.insert(name, Arc::new(Entry::Own(Arc::new(provider))));
                    }
                },
                Err(found) => faults.extend(found),
            }
        }
        (registry, faults)
    }

    /// The variables in which manifests of those folders say that their secrets are, by provider. Cheap where no file has the
    /// shape that can say so.
    pub fn secret_variables(providers_dir: &Path, integrations_dir: &Path) -> BTreeMap<String, String> {
        // What is wrong with the folders is told by `load`.
        let mut told = Vec::new();
        let mut files = yaml_files(providers_dir, &mut told);
        files.extend(integration_files(integrations_dir, &mut told));
        if !files.iter().any(|file| text_of(file).is_ok_and(|text| reference::is_reference(&text))) {
            return BTreeMap::new();
        }
        let (registry, _faults) = Self::load(providers_dir, integrations_dir);
        let named = registry.iter().filter_map(|p| Some((p.name().to_owned(), p.secret_env()?.to_owned())));
        named.collect()
    }

    /// The names of the built-in providers, sorted; nothing is read for them.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|manifest| manifest.name)
    }

    /// Whether a file of the user's is there to be loaded, readable or not.
    pub fn has_own(providers_dir: &Path, integrations_dir: &Path) -> bool {
        let mut ignored = Vec::new();
        !yaml_files(providers_dir, &mut ignored).is_empty()
            || !integration_files(integrations_dir, &mut ignored).is_empty()
    }

    /// The provider of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.get(name).map(|entry| entry.provider())
    }

    /// Every name, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.providers.keys().map(String::as_str).collect()
    }

    /// Every provider, sorted by name; reads the built-in ones that nobody has asked for.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values().map(|entry| entry.provider())
    }

    fn read(&self, path: &Path) -> Result<Provider, Vec<Fault>> {
        let shown = path.display().to_string();
        let mut faults = Faults::of(&shown);
        let text = match text_of(path) {
            Ok(text) => text,
            Err(error) => {
                faults.whole(format!("cannot be read: {error}"));
                return Err(faults.into_list());
            }
        };
        if reference::is_reference(&text) {
            reference::parse(&text, &shown, BUILTIN)
        } else {
            compile::parse(&text, &shown, path.parent())
        }
    }
}

fn text_of(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > MANIFEST_BYTES_MAX {
        return Err(std::io::Error::other(format!("larger than {MANIFEST_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path)
}

fn yaml_files(folder: &Path, faults: &mut Vec<Fault>) -> Vec<PathBuf> {
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|e| e == "yaml" || e == "yml") && path.is_file();
    entries(folder, faults).into_iter().filter(is_yaml).collect()
}

fn integration_files(folder: &Path, faults: &mut Vec<Fault>) -> Vec<PathBuf> {
    let manifest = |path: PathBuf| ["provider.yaml", "provider.yml"].iter().map(|n| path.join(n)).find(|p| p.is_file());
    entries(folder, faults).into_iter().filter_map(manifest).collect()
}

/// What is in a folder, sorted; nothing when there is no such folder.
fn entries(folder: &Path, faults: &mut Vec<Fault>) -> Vec<PathBuf> {
    let shown = folder.display().to_string();
    let mut told = Faults::of(&shown);
    let mut paths = Vec::new();
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                match entry {
                    Ok(entry) => paths.push(entry.path()),
                    Err(error) => told.whole(format!("cannot be read: {error}")),
                }
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => told.whole(format!("cannot be read: {error}")),
    }
    paths.sort();
    if paths.len() > MANIFESTS_MAX {
        told.whole(format!("holds more than {MANIFESTS_MAX} entries; the rest is left out"));
        paths.truncate(MANIFESTS_MAX);
    }
    faults.extend(told.into_list());
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(faults: &[Fault]) -> String {
        faults.iter().map(|fault| format!("{fault}\n")).collect()
    }

    #[test]
    fn every_builtin_manifest_loads_without_a_fault_and_its_examples_read_well() {
        let registry = Registry::builtin();
        assert_eq!(registry.names().len(), BUILTIN.len());
        for manifest in BUILTIN {
            let checked = compile::parse(manifest.text, manifest.name, None);
            assert_eq!(checked.err().map_or_else(String::new, |faults| shown(&faults)), "");
            let provider = registry.get(manifest.name).expect("built in");
            assert_eq!(provider.name(), manifest.name);
            for info in provider.events() {
                let Some(example) = &info.example else { continue };
                let headers: Vec<(String, String)> = info
                    .headers
                    .iter()
                    .map(|(name, value)| (name.as_str().to_owned(), value.to_str().expect("text").to_owned()))
                    .collect();
                let message = provider.summarize(&info.name, example, &headers).message;
                let all = format!("{}\n{}", message.title, message.lines.join("\n"));
                for spoilt in ["undefined", "none", "null", "None", "{\"", "{{", "}}", "()", " ,", "  "] {
                    assert!(!all.contains(spoilt), "{} {}: {all}", provider.name(), info.name);
                }
            }
        }
    }
}
