//! From flags, environment and files to a [`Config`]: finds the file, reads `.env` beside it, reads every section, and reports every fault at once.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::effective::{Effective, Origin};
use super::environment::{Environment, Vars};
use super::files::{self, CONFIG_BYTES_MAX};
use super::keys::KEYS;
use super::reader::{Reader, Section};
use super::{
    Config, Dashboard, Files, Network, Personas, Retention, agents, around, dotenv, mcp, model, rules, telegram,
    values, webhooks,
};
use crate::domain::fault::Fault;
use crate::domain::tree::{self, Node, Value};

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions<'a> {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--webhooks`.
    pub webhooks: bool,
    /// `--webhook-port`.
    pub webhook_port: Option<u16>,
    /// The folder that the command was started in.
    pub cwd: PathBuf,
    /// The handlers that exist when no `handlers` are written: the names of the built-in providers.
    pub default_handlers: &'a [&'a str],
    /// Tells in which variables manifests say that secrets are; without it none says so.
    pub secret_variables: Option<SecretVariables>,
}

/// Variables that hold secrets, by the name of the provider whose manifest says so; of the manifests in `data/providers` (the
/// first folder) and `integrations` (the second). The configuration itself knows no providers.
pub type SecretVariables = fn(&Path, &Path) -> BTreeMap<String, String>;

/// What came of it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration; there only when there are no faults.
    pub config: Option<Config>,
    /// The same as far as it could be read, with defaults for the rest; to look for more faults in, and for nothing else.
    pub as_read: Config,
    /// Everything that is wrong, in the order of the file.
    pub faults: Vec<Fault>,
    /// What is odd but no reason to stop.
    pub notes: Vec<Fault>,
    /// What is in effect, as far as it could be read.
    pub effective: Effective,
}

/// Loads the configuration. Reads files and `environment`, changes nothing.
pub fn load(options: &LoadOptions<'_>, environment: &dyn Environment) -> Loaded {
    let (mut faults, mut notes) = (Vec::new(), Vec::new());
    let place = Place::find(options, environment);
    let dotenv = dotenv::read(&place.folder.join(".env"), &place.dotenv_shown, &mut faults, &mut notes);
    let vars = Vars::new(environment, dotenv);
    let root = read_file(&place, &mut faults);
    let shown = place.shown.clone().unwrap_or_else(|| "defaults".to_owned());
    let mut reader = Reader {
        vars: &vars,
        file: shown.clone(),
        folder: place.folder.clone(),
        flags: flags(options),
        faults,
        notes,
        effective: Vec::new(),
    };
    let config = read_all(&mut reader, root, &place, options);
    let Reader { mut faults, notes, mut effective, .. } = reader;
    sort(&mut faults, &shown);
    effective.sort_by_cached_key(|entry| rank(&entry.key));
    let effective = Effective { file: place.shown, keys: effective };
    let as_read = Config { effective: Arc::new(effective.clone()), ..config };
    let config = faults.is_empty().then(|| as_read.clone());
    Loaded { config, as_read, faults, notes, effective }
}

/// Where the configuration is.
struct Place {
    file: Option<PathBuf>,
    /// As the user named it.
    shown: Option<String>,
    folder: PathBuf,
    dotenv_shown: String,
}

impl Place {
    fn find(options: &LoadOptions<'_>, environment: &dyn Environment) -> Self {
        let variable = |name| environment.var(name).filter(|value| !value.is_empty());
        if let Some(named) = options.config.clone().or_else(|| variable("AGENT_CONFIG").map(PathBuf::from)) {
            return Self::at(&options.cwd, &named);
        }
        let here = Path::new("config.yaml");
        if options.cwd.join(here).is_file() {
            return Self::at(&options.cwd, here);
        }
        let absolute = |path: String| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
        let home = || variable("HOME").and_then(absolute).map(|home| home.join(".config"));
        if let Some(base) = variable("XDG_CONFIG_HOME").and_then(absolute).or_else(home) {
            let user = base.join("hookhand").join("config.yaml");
            if user.is_file() {
                return Self::at(&options.cwd, &user);
            }
        }
        Self { file: None, shown: None, folder: options.cwd.clone(), dotenv_shown: ".env".to_owned() }
    }

    fn at(cwd: &Path, named: &Path) -> Self {
        let file = cwd.join(named);
        let folder = file.parent().unwrap_or(cwd).to_path_buf();
        let dotenv_shown = named.with_file_name(".env").display().to_string();
        Self { file: Some(file), shown: Some(named.display().to_string()), folder, dotenv_shown }
    }
}

fn read_file(place: &Place, faults: &mut Vec<Fault>) -> Option<Rc<Node>> {
    let (file, shown) = (place.file.as_ref()?, place.shown.as_ref()?);
    let fault = |line: Option<u64>, message: String| Fault {
        file: shown.clone(),
        line,
        column: line.map(|_| 1),
        key: None,
        message,
        hint: None,
    };
    let text = match files::read_text(file, CONFIG_BYTES_MAX) {
        Ok(text) => text,
        Err(error) => {
            faults.push(fault(None, error.message));
            return None;
        }
    };
    let root = tree::parse(shown, &text, faults)?;
    match root.value {
        Value::Map(_) => Some(root),
        Value::Null => None,
        Value::Scalar(_) | Value::List(_) => {
            faults
                .push(fault(Some(root.at.line), "the file is keys and values, such as 'data_dir: ./data'".to_owned()));
            None
        }
    }
}

fn flags(options: &LoadOptions<'_>) -> BTreeMap<&'static str, (String, &'static str)> {
    let mut flags = BTreeMap::new();
    if let Some(port) = options.webhook_port {
        flags.insert("webhooks.port", (port.to_string(), "--webhook-port"));
        flags.insert("webhooks.enabled", ("true".to_owned(), "--webhook-port"));
    }
    if options.webhooks {
        flags.insert("webhooks.enabled", ("true".to_owned(), "--webhooks"));
    }
    flags
}

fn read_all(r: &mut Reader<'_>, root: Option<Rc<Node>>, place: &Place, options: &LoadOptions<'_>) -> Config {
    let top = Section::top(root);
    r.refuse_unknown(&top);
    let data_dir = r.defaulted(&top, "data_dir", values::text);
    let section = r.section(&top, "files");
    let roots = r.list(&section, "roots", true, values::text);
    let named = |named: SecretVariables| {
        named(&files::resolve(&place.folder, &data_dir).join("providers"), &place.folder.join("integrations"))
    };
    let secret_variables = options.secret_variables.map(named).unwrap_or_default();
    let webhooks = webhooks::read(r, &top, options.default_handlers, &secret_variables);
    let telegram = telegram::read(r, &top);
    let model = model::read(r, &top);
    let dashboard = dashboard(r, &top, SocketAddr::new(webhooks.host, webhooks.port));
    let network = network(r, &top);
    let retention = retention(r, &top);
    let personas = Personas::new(agents::read(r, &top), telegram.as_ref());
    let digest = around::digest(r, &top);
    let mcp = mcp::read(r, &top);
    let otlp = around::otlp(r, &top);
    let mut config = Config {
        file: place.file.clone(),
        data_dir: files::resolve(&place.folder, &data_dir),
        files: Files { roots: roots.iter().map(|root| files::resolve(&place.folder, root)).collect() },
        webhooks,
        telegram,
        model,
        dashboard,
        network,
        retention,
        personas,
        digest,
        mcp,
        otlp,
        effective: Arc::default(),
    };
    agents::give_chats(r, &top, &mut config);
    agents::give_models(r, &top, &mut config);
    rules::check(r, &top, &config);
    config
}

fn dashboard(r: &mut Reader<'_>, top: &Section, webhooks: SocketAddr) -> Dashboard {
    let s = r.section(top, "dashboard");
    let enabled = r.defaulted(&s, "enabled", values::flag);
    let host: IpAddr = r.defaulted(&s, "host", values::address);
    let mut port: u16 = r.defaulted(&s, "port", values::integer("dashboard.port"));
    // ASSISTANT_PORT=51430 is in many files of the earlier system, whose one server is two here. Such a file goes on working.
    let from_variable = matches!(
        r.effective.iter().find(|entry| entry.key == "webhooks.port").map(|entry| &entry.origin),
        Some(Origin::Environment(_) | Origin::DotEnv(_))
    );
    if from_variable && enabled && port == webhooks.port() && port < u16::MAX && !r.said(&s, "port") {
        port += 1;
        let site = r.site_of(&s, "port");
        let message =
            format!("ASSISTANT_PORT gives {} to the webhook server; the dashboard takes {port}", webhooks.port());
        r.note(&site, "dashboard.port", message, Some("set dashboard.port to choose".to_owned()));
        r.effective.retain(|entry| entry.key != "dashboard.port");
        r.record("dashboard.port".to_owned(), port.into(), Origin::Default);
    }
    let names = r.list(&s, "names", false, values::text);
    let insecure = r.defaulted(&s, "insecure", values::flag);
    Dashboard { enabled, address: SocketAddr::new(host, port), names, insecure }
}

fn network(r: &mut Reader<'_>, top: &Section) -> Network {
    let s = r.section(top, "network");
    Network { allow: r.list(&s, "allow", true, values::reachable) }
}

fn retention(r: &mut Reader<'_>, top: &Section) -> Retention {
    let s = r.section(top, "retention");
    Retention {
        events_days: r.defaulted(&s, "events_days", values::integer("retention.events_days")),
        rejected_max: r.defaulted(&s, "rejected_max", values::integer("retention.rejected_max")),
    }
}

/// The configuration's own faults first and in the order of its lines, then the others.
fn sort(faults: &mut [Fault], file: &str) {
    faults.sort_by(|a, b| {
        let place = |fault: &Fault| (fault.file != file, fault.file.clone(), fault.line, fault.column);
        place(a).cmp(&place(b))
    });
}

/// The place of a key in the reference: the table's order, handlers together.
fn rank(key: &str) -> (usize, String, usize) {
    let names = [
        "webhooks.handlers.",
        "telegram.chats.",
        "telegram.groups.",
        "agents.",
        "mcp.servers.",
        "telemetry.otlp.headers.",
    ];
    let named = names.iter().find_map(|prefix| Some((*prefix, key.strip_prefix(prefix)?)));
    let position = |path: &str| KEYS.iter().position(|key| key.path == path).unwrap_or(KEYS.len());
    let Some((prefix, rest)) = named else { return (position(key), String::new(), 0) };
    // Names may hold dots, so the key's own end is matched, longest first.
    let pattern = format!("{prefix}*");
    let ends = KEYS.iter().filter_map(|key| key.path.strip_prefix(&pattern)).filter(|end| rest.ends_with(end));
    let end = ends.max_by_key(|end| end.len()).unwrap_or_default();
    let name = rest.strip_suffix(end).unwrap_or(rest);
    (position(&pattern), name.to_owned(), position(&format!("{pattern}{end}")))
}
