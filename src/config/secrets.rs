//! Secrets: written, from a variable, or from a file beside them. Nothing here shows a value, in faults or in `config show`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::Secret;
use super::effective::Origin;
use super::files::{self, SECRET_FILE_BYTES_MAX};
use super::keys;
use super::reader::{Reader, Scalar, Section};
use super::values;
use crate::domain::tree::{Node, Value};

/// A secret and where it came from.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) secret: Secret,
    pub(super) origin: Origin,
}

impl Reader<'_> {
    /// The secret at `key` or `<key>_file`, not recorded yet. Both given is a fault.
    pub(super) fn secret_of(&mut self, s: &Section, key: &str, file_key: &str) -> Option<Known> {
        let inline = s.written(key).cloned().and_then(|entry| {
            let scalar = self.expanded(&entry.value, &s.path_of(key), true)?;
            known(scalar)
        });
        let file = self.value(s, file_key, values::text);
        let Some(file) = file else { return inline };
        let path = s.path_of(file_key);
        let site = self.site_of(s, file_key);
        if inline.is_some() {
            let other = s.path_of(key);
            self.fault(&site, &path, format!("{other} is given too"), Some("keep one of the two".to_owned()));
            return inline;
        }
        let secret = self.secret_from_file(&file, &site, &path)?;
        let line = s.written(file_key).map_or(0, |entry| entry.value.at.line);
        let origin = Origin::File { file: self.file.clone(), line, through: vec![format!("file {file}")] };
        Some(Known { secret, origin })
    }

    /// Notes a secret as set or not.
    pub(super) fn record_secret(&mut self, path: String, known: Option<&Known>) {
        match known {
            Some(known) => self.record(path, json!("***"), known.origin.clone()),
            None => self.record(path, Json::Null, Origin::Default),
        }
    }

    /// The secret at `key`, `<key>_file`, or from the variables that the table names for `key`.
    pub(super) fn secret(&mut self, s: &Section, key: &str, file_key: &str) -> Option<Secret> {
        let own = self.secret_of(s, key, file_key);
        let names = keys::find(&s.path_of(key)).map_or(&[] as &[&str], |key| key.env);
        let known = own.or_else(|| self.secret_variable(names.iter().copied()));
        self.record_secret(s.path_of(key), known.as_ref());
        known.map(|known| known.secret)
    }

    /// The first of the variables that is set to something.
    pub(super) fn secret_variable<'n>(&self, mut names: impl Iterator<Item = &'n str>) -> Option<Known> {
        names.find_map(|name| known(self.variable(name)?))
    }

    /// A list of secrets, each a text or `{file: path}`; empty ones are left out.
    pub(super) fn secret_list(&mut self, s: &Section, key: &str) -> Vec<Known> {
        let Some(entry) = s.written(key).cloned() else { return Vec::new() };
        let path = s.path_of(key);
        let Value::List(items) = &entry.value.value else {
            let site = self.site(entry.value.at);
            let hint = Some("write it in brackets: [\"${NEW}\", \"${OLD}\"]".to_owned());
            self.fault(&site, &path, "expected a list of secrets", hint);
            return Vec::new();
        };
        let items = items.iter().enumerate();
        items.filter_map(|(index, item)| self.secret_item(item, &format!("{path}[{index}]"))).collect()
    }

    /// Names with secret values (`headers`, `env`); empty ones are left out.
    pub(super) fn secret_map(
        &mut self,
        s: &Section,
        key: &str,
        fits: impl Fn(&str) -> bool,
    ) -> BTreeMap<String, Secret> {
        let mut map = BTreeMap::new();
        let Some(parts) = self.named(s, key) else {
            self.record(s.path_of(key), Json::Null, Origin::Default);
            return map;
        };
        for (entry, part) in parts {
            if !fits(&entry.key) {
                let site = self.site(entry.at);
                self.fault(&site, &s.path_of(key), "this cannot be a name here", None);
                continue;
            }
            let secret = match entry.value.value {
                Value::Null => None,
                Value::Scalar(_) | Value::List(_) | Value::Map(_) => {
                    self.expanded(&entry.value, &part.path, true).and_then(known)
                }
            };
            self.record_secret(part.path, secret.as_ref());
            map.extend(secret.map(|known| (entry.key, known.secret)));
        }
        map
    }

    fn secret_item(&mut self, item: &Node, path: &str) -> Option<Known> {
        let site = self.site(item.at);
        match &item.value {
            Value::Null => None,
            Value::Scalar(_) => known(self.expanded(item, path, true)?),
            Value::Map(entries) if entries.len() == 1 && entries[0].key == "file" => {
                let path = format!("{path}.file");
                let file = self.expanded(&entries[0].value, &path, false)?.text?;
                let secret = self.secret_from_file(&file, &site, &path)?;
                let through = vec![format!("file {file}")];
                let origin = Origin::File { file: self.file.clone(), line: item.at.line, through };
                Some(Known { secret, origin })
            }
            Value::Map(_) | Value::List(_) => {
                self.fault(&site, path, "expected a secret or { file: path }", None);
                None
            }
        }
    }

    /// The content of a file without its last line break. An empty file is no secret, which is told: a file was meant to hold one.
    fn secret_from_file(&mut self, file: &str, site: &super::reader::Site, path: &str) -> Option<Secret> {
        let resolved: PathBuf = files::resolve(&self.folder, file);
        match files::read_text(&resolved, SECRET_FILE_BYTES_MAX) {
            Ok(text) => {
                let line =
                    text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
                let secret = Secret::new(line);
                if secret.is_none() {
                    self.fault(site, path, format!("the file {} is empty", resolved.display()), None);
                }
                secret
            }
            Err(error) => {
                self.fault(site, path, format!("the file {} {}", resolved.display(), error.message), None);
                None
            }
        }
    }
}

fn known(scalar: Scalar) -> Option<Known> {
    Some(Known { secret: Secret::new(scalar.text?)?, origin: scalar.origin })
}
