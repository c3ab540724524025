//! The configuration as a user meets it: files, variables and flags in; typed values, faults and `config show` out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hookhand::config::{self, ForwardedHeader, LoadOptions, Loaded, Notify, ResponseType, Summarize};
use hookhand::domain::notice::ChatKey;
use hookhand::provider::Registry;
use proptest::prelude::*;
use serde_json::{Value, json};

const BUILT_IN: &[&str] = &["custom", "github", "standard-webhooks", "stripe"];

/// A folder with files, and the environment.
struct Place {
    folder: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), variables: BTreeMap::new() }
    }

    fn with(yaml: &str) -> Self {
        Self::new().file("config.yaml", yaml)
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("in the folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
        self
    }

    fn var(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn options(&self) -> LoadOptions<'static> {
        LoadOptions { cwd: self.folder.path().to_path_buf(), default_handlers: BUILT_IN, ..LoadOptions::default() }
    }

    fn load(&self) -> Loaded {
        self.load_as(|_| ())
    }

    fn load_as(&self, change: impl FnOnce(&mut LoadOptions<'static>)) -> Loaded {
        let mut options = self.options();
        change(&mut options);
        config::load(&options, &self.variables)
    }

    /// The configuration, which must have no faults.
    fn config(&self) -> config::Config {
        good(self.load())
    }

    /// Every fault, a line each, the temporary folder written as `DIR`.
    fn faults(&self) -> String {
        let loaded = self.load();
        assert_eq!(loaded.config.is_some(), loaded.faults.is_empty());
        self.lines(&loaded.faults)
    }

    fn notes(&self) -> String {
        self.lines(&self.load().notes)
    }

    fn lines(&self, faults: &[hookhand::domain::fault::Fault]) -> String {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        lines.join("\n").replace(&self.folder.path().display().to_string(), "DIR")
    }
}

fn good(loaded: Loaded) -> config::Config {
    let faults = loaded.faults;
    loaded.config.unwrap_or_else(|| panic!("{faults:#?}"))
}

fn origin(loaded: &Loaded, key: &str) -> String {
    loaded.effective.get(key).unwrap_or_else(|| panic!("{key} is not in effect")).origin.to_string()
}

fn shown(loaded: &Loaded, key: &str) -> Value {
    loaded.effective.get(key).unwrap_or_else(|| panic!("{key} is not in effect")).value.clone()
}

fn secrets(config: &config::Config, handler: &str) -> Vec<String> {
    let name = handler.parse().expect("a name");
    config.webhooks.handlers[&name].secrets.iter().map(|secret| secret.expose().to_owned()).collect()
}

#[test]
fn without_any_file_every_built_in_provider_is_served_on_loopback() {
    let place = Place::new().var("STANDARD_WEBHOOKS_WEBHOOK_SECRET", "s1").var("WEBHOOK_SECRET", "common");
    let loaded = place.load_as(|options| options.webhooks = true);
    assert_eq!(
        (origin(&loaded, "webhooks.enabled"), origin(&loaded, "webhooks.port")),
        ("flag --webhooks".into(), "default".into())
    );
    assert_eq!(origin(&loaded, "webhooks.handlers.github.secret"), "env WEBHOOK_SECRET");
    let config = good(loaded);
    assert_eq!(config.file, None);
    assert_eq!(config.data_dir, place.path("data"));
    assert!(
        config.webhooks.enabled && config.webhooks.tls.is_none() && config.telegram.is_none() && config.model.is_none()
    );
    assert_eq!((config.webhooks.host.to_string(), config.webhooks.port), ("127.0.0.1".into(), 8080));
    assert_eq!(config.webhooks.max_body_bytes, 26_214_400);
    assert_eq!(config.dashboard.address.to_string(), "127.0.0.1:51430");
    assert_eq!((config.retention.events_days, config.retention.rejected_max), (90, 10_000));
    let limit = config.webhooks.rate_limit.expect("a limit");
    assert_eq!((limit.max_requests.get(), limit.window), (100, Duration::from_secs(60)));
    assert_eq!(config.webhooks.handlers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), BUILT_IN);
    assert_eq!(
        (secrets(&config, "standard-webhooks"), secrets(&config, "github")),
        (vec!["s1".into()], vec!["common".into()])
    );
    assert_eq!(config.webhooks.common_secret.map(|secret| secret.expose().to_owned()).as_deref(), Some("common"));
}

#[test]
fn every_key_arrives() {
    let place = Place::with(
        r#"
data_dir: /var/lib/hookhand
webhooks:
  enabled: true
  host: "::"
  port: 8443
  public_url: https://hooks.example.com/
  max_body_bytes: 1000
  allowed_ips: [192.0.2.0/24, "2001:db8::1"]
  trusted_proxies: [10.0.0.1]
  forwarded_header: forwarded
  rate_limit: { enabled: false }
  ssl: { cert: tls/cert.pem, key: tls/key.pem }
  logging: { enabled: false, level: warning, include_headers: true, include_payload: true }
  handlers:
    github: { secret: "${GITHUB_WEBHOOK_SECRET}", events: [push, pull_request] }
    my_service:
      enabled: false
      provider: custom
      path: /webhook/myservice/
      secrets: ["${NEW}", {file: old.txt}, "${GONE:-}"]
      response_type: text
      allowed_ips: [127.0.0.1]
      rate_limit: { max_requests: 5, window_seconds: 10 }
      notify: ops
      summarize: none
    open: { allow_unsigned: true, notify: none, rate_limit: { enabled: false } }
telegram:
  token_file: token
  chats: { default: 123456789, ops: { id: "${OPS}", thread: 7 } }
  allowed_users: [123456789, "${ME}"]
  groups: { oncall: [123456789] }
  api_url: http://127.0.0.1:8081
model: { provider: acme, name: m1, base_url: "https://m.example", api_key: k, timeout_seconds: 5, daily_budget_usd: 0.5 }
dashboard: { enabled: false, host: "::1", port: 0 }
network: { allow: [127.0.0.1/32, Internal.example.com, "${GONE:-}", "fd00::/8"] }
retention: { events_days: 0, rejected_max: 5 }
"#,
    );
    let place =
        place.file("tls/cert.pem", "c").file("tls/key.pem", "k").file("old.txt", "old\r\n").file("token", "1:t\n");
    let place = place.var("GITHUB_WEBHOOK_SECRET", "$ecret").var("NEW", "new").var("OPS", "-100123").var("ME", "42");
    let config = place.config();
    assert_eq!(config.data_dir, Path::new("/var/lib/hookhand"));
    let webhooks = &config.webhooks;
    assert_eq!(webhooks.public_url.as_deref(), Some("https://hooks.example.com"));
    assert_eq!(
        webhooks.allowed_ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.0/24", "2001:db8::1"]
    );
    assert_eq!((webhooks.forwarded_header, webhooks.rate_limit), (ForwardedHeader::Forwarded, None));
    let tls = webhooks.tls.as_ref().expect("cert and key turn TLS on");
    assert_eq!((&tls.cert, &tls.key), (&place.path("tls/cert.pem"), &place.path("tls/key.pem")));
    assert_eq!(webhooks.logging.level, tracing::Level::WARN);
    assert_eq!(secrets(&config, "github"), ["$ecret"]);
    assert_eq!(secrets(&config, "my_service"), ["new", "old"]);
    let mine = &webhooks.handlers[&"my_service".parse().expect("a name")];
    assert_eq!((mine.enabled, mine.path.as_deref()), (false, Some("/webhook/myservice")));
    assert_eq!((mine.response_type, mine.summarize), (ResponseType::Text, Summarize::Nothing));
    assert_eq!(mine.notify, Notify::Chat("ops".into()));
    assert_eq!(mine.rate_limit.flatten().expect("its own").window, Duration::from_secs(10));
    let open = &webhooks.handlers[&"open".parse().expect("a name")];
    assert_eq!((open.allow_unsigned, &open.notify, open.rate_limit), (true, &Notify::Nobody, Some(None)));
    let telegram = config.telegram.as_ref().expect("a token");
    assert_eq!(telegram.token.expose(), "1:t");
    assert_eq!(telegram.chats["ops"].as_telegram(), Some((-100_123, Some(7))));
    assert_eq!(telegram.allowed_users, [123_456_789, 42]);
    assert_eq!(config.model.as_ref().map(|model| model.first.timeout), Some(Duration::from_secs(5)));
    assert_eq!((config.dashboard.enabled, config.retention.events_days), (false, 0));
    let allow: Vec<String> = config.network.allow.iter().map(ToString::to_string).collect();
    assert_eq!(allow, ["127.0.0.1", "internal.example.com", "fd00::/8"]);
}

#[test]
fn every_fault_is_told_at_once_with_its_place_and_what_to_do() {
    let place = Place::with(
        r#"data_dir: [a]
webhoks: {}
network: { allow: ["*.internal", 2130706433, 10.0.0.0/33, "http://a.example"], alow: [] }
webhooks:
  prot: 1
  port: abc
  host: example.com
  max_body_bytes: 0
  allowed_ips: [10.0.0.0/33, 10.0.0.1, ""]
  rate_limit: { enabled: maybe, window_seconds: 0 }
  ssl: { cert: nowhere.pem }
  logging: { level: LOUD }
  public_url: hooks.example.com
  port: 8081
  rate_limit.enabled: false
  handlers:
    git hub: {}
    github: { secrte: x, secret: [a, b], events: push, allowed_ips: 10.0.0.1 }
    stripe: { secret: "${UNSET_ONE}", path: "/a?b", events: ["invoice.*", "*", "a b"], notify: pos }
    gitlab: hunter2
    other: { response_type: xml, summarize: modle, secret_file: nowhere.txt, enabled: 2 }
telegram:
  token: { is: hunter2 }
  chats: { default: "@mychannel", none: 1, ops: { thread: 0 } }
  allowed_users: [alice, -5]
  groups: [1]
  api_url: https://user:hunter2@telegram.example
model: { provider: acme, timeout_seconds: 1.5 }
dashboard: 51430
retention: { events_days: -1 }
"#,
    );
    assert_eq!(
        place.faults(),
        r#"config.yaml:1:11: data_dir: expected a single value, found a list
config.yaml:2:1: webhoks: there is no such key (did you mean 'webhooks'?)
config.yaml:3:20: network.allow[0]: expected an address, a range or a host name such as 127.0.0.1, 10.0.0.0/8 or internal.example.com, found '*.internal' (a host name is matched exactly: write each host, or a range of addresses)
config.yaml:3:34: network.allow[1]: expected an address, a range or a host name such as 127.0.0.1, 10.0.0.0/8 or internal.example.com, found '2130706433' (write the address as four numbers, such as 127.0.0.1)
config.yaml:3:46: network.allow[2]: expected an address, a range or a host name such as 127.0.0.1, 10.0.0.0/8 or internal.example.com, found '10.0.0.0/33' (write the host name alone, without scheme and path, or a range such as 10.0.0.0/8)
config.yaml:3:59: network.allow[3]: expected an address, a range or a host name such as 127.0.0.1, 10.0.0.0/8 or internal.example.com, found 'http://a.example' (write the host name alone, without scheme and path, or a range such as 10.0.0.0/8)
config.yaml:3:80: network.alow: there is no such key (did you mean 'allow'?)
config.yaml:5:3: webhooks.prot: there is no such key (did you mean 'port'?)
config.yaml:6:9: webhooks.port: expected a number from 0 to 65535, found 'abc'
config.yaml:7:9: webhooks.host: expected an IP address such as 127.0.0.1, 0.0.0.0 or ::1, found 'example.com' (names are not looked up)
config.yaml:8:19: webhooks.max_body_bytes: expected a number from 1 to 1073741824, found '0'
config.yaml:9:17: webhooks.allowed_ips[0]: expected an address or a range such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32, found '10.0.0.0/33'
config.yaml:9:40: webhooks.allowed_ips[2]: expected an address or a range such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32, found nothing
config.yaml:10:26: webhooks.rate_limit.enabled: expected true or false, found 'maybe'
config.yaml:10:49: webhooks.rate_limit.window_seconds: expected a number from 1 to 86400, found '0'
config.yaml:11:8: webhooks.ssl.key: is missing, and the other half of the pair is given
config.yaml:11:16: webhooks.ssl.cert: the file DIR/nowhere.pem cannot be read: no such file or directory
config.yaml:12:21: webhooks.logging.level: expected one of TRACE, DEBUG, INFO, WARN, ERROR, WARNING, CRITICAL, found 'LOUD'
config.yaml:13:15: webhooks.public_url: expected a URL that begins with http:// or https://, found 'hooks.example.com'
config.yaml:14:3: webhooks.port: this key is here a second time; the first is on line 6
config.yaml:15:3: webhooks.rate_limit.enabled: there is no such key (write one key beneath the other instead of a dot)
config.yaml:17:5: webhooks.handlers: 'git hub' cannot name a handler: use 1 to 64 letters, digits, '_', '-' or '.', beginning with a letter or digit
config.yaml:18:15: webhooks.handlers.github.secrte: there is no such key (did you mean 'secret'?)
config.yaml:18:34: webhooks.handlers.github.secret: expected a single value, found a list (several secrets go into 'secrets')
config.yaml:18:50: webhooks.handlers.github.events: expected a list, found a single value (write it in brackets: [a, b])
config.yaml:18:69: webhooks.handlers.github.allowed_ips: expected a list, found a single value (write it in brackets: [a, b])
config.yaml:19:23: webhooks.handlers.stripe.secret: the variable UNSET_ONE is not set (set it, or write ${UNSET_ONE:-} to go without)
config.yaml:19:45: webhooks.handlers.stripe.path: a path has no '?' or '#' part
config.yaml:19:62: webhooks.handlers.stripe.events[0]: '*' is not used in event types ('invoice' covers all that begin with 'invoice.')
config.yaml:19:75: webhooks.handlers.stripe.events[1]: '*' is not used in event types (an empty list accepts all)
config.yaml:19:80: webhooks.handlers.stripe.events[2]: expected the name of an event type, such as pull_request or invoice.paid, found 'a b'
config.yaml:20:13: webhooks.handlers.gitlab: expected keys beneath it, found a single value (keys here: enabled, provider, path, secret, secret_file, secrets, events, response_type, allowed_ips, rate_limit, allow_unsigned, notify, summarize)
config.yaml:21:29: webhooks.handlers.other.response_type: expected one of json, text, found 'xml'
config.yaml:21:45: webhooks.handlers.other.summarize: expected one of auto, template, model, none, found 'modle' (did you mean 'model'?)
config.yaml:21:65: webhooks.handlers.other.secret_file: the file DIR/nowhere.txt cannot be read: no such file or directory
config.yaml:21:87: webhooks.handlers.other.enabled: expected true or false, found '2'
config.yaml:23:10: telegram.token: expected a single value, found keys
config.yaml:24:21: telegram.chats.default: expected a chat's numeric id, found '@mychannel' (a group's id is negative, such as -1001234567890)
config.yaml:24:35: telegram.chats.none: no chat can be named 'none': 'notify: none' means nobody
config.yaml:24:49: telegram.chats.ops.id: is missing (The chat's numeric id; a group's is negative)
config.yaml:24:59: telegram.chats.ops.thread: expected a number from 1 to 2147483647, found '0'
config.yaml:25:19: telegram.allowed_users[0]: expected a user's numeric id, found 'alice' (names can change hands; write to the bot and it tells your id)
config.yaml:25:26: telegram.allowed_users[1]: expected a user's numeric id, found '-5' (a negative id is a group's)
config.yaml:26:11: telegram.groups: expected keys beneath it, found a list
config.yaml:27:12: telegram.api_url: a URL here has no user or password in it
config.yaml:28:8: model.name: is missing (The model's name, such as `gpt-4o-mini`)
config.yaml:28:43: model.timeout_seconds: expected a number from 1 to 600, found '1.5'
config.yaml:29:12: dashboard: expected keys beneath it, found a single value (keys here: enabled, host, port, names, insecure)
config.yaml:30:27: retention.events_days: expected a number from 0 to 36500, found '-1'"#
    );
}

#[test]
fn agents_have_chats_and_handlers_of_their_own_and_the_default_has_the_rest() {
    let yaml = "
webhooks: { handlers: { github: {}, stripe: { notify: default }, custom: {} } }
telegram: { token: t, chats: { default: 5, ops: -100, till: { id: -200, thread: 7 } }, allowed_users: [5] }
agents:
  ops: { prompt: Be brief., model: m2, tools: [search_events, mcp_files_*], chats: [ops], handlers: [github, stripe] }
  till: { chats: [till] }
";
    let config = good(Place::with(yaml).load());
    let (github, custom) = ("github".parse().expect("a name"), "custom".parse().expect("a name"));
    let personas = &config.personas;
    let ops = personas.of_handler(&github);
    assert_eq!(
        (ops.name.as_str(), ops.model.as_deref(), ops.prompt.as_deref()),
        ("ops", Some("m2"), Some("Be brief."))
    );
    assert_eq!(personas.of_handler(&custom).name, "default");
    let chats = [
        (-100, None, "ops"),
        (-100, Some(3), "ops"),
        (-200, Some(7), "till"),
        (-200, None, "default"),
        (5, None, "default"),
    ];
    for (id, thread, name) in chats {
        assert_eq!(personas.of_chat(&ChatKey::telegram(id, thread)).name, name, "{id} {thread:?}");
    }
    assert!(ops.offers("search_events") && ops.offers("mcp_files_read") && !ops.offers("shell_exec"));
    assert!(personas.fallback().offers("shell_exec"), "an empty list takes nothing away");
    // Said nothing: the agent's first chat. Said something: that.
    let notify = |name: &str| config.webhooks.handlers[&name.parse().expect("a name")].notify.clone();
    assert_eq!(notify("github"), config::Notify::Chat("ops".into()));
    assert_eq!(
        (notify("stripe"), notify("custom")),
        (config::Notify::Chat("default".into()), config::Notify::Chat("default".into()))
    );
}

#[test]
fn what_is_wrong_around_the_assistant_is_told() {
    let yaml = r#"
webhooks: { handlers: { github: {} } }
telegram: { token: t, chats: { default: 5, ops: -100 }, allowed_users: [5] }
agents:
  a b: {}
  one: { chats: [ops], handlers: [github] }
  two: { chats: [ops, opz], handlers: [githup] }
digest: { at: 25:00, timezone: Europe/Berlinn, chat: nobody }
mcp:
  servers:
    Upper: { command: [x] }
    none: { risk: harmless, env: { "a-b": hunter2 } }
telemetry: { otlp: { endpoint: "http://u:hunter2@h", headers: { "a b": hunter2 } } }
"#;
    let faults: Vec<String> = Place::with(yaml).load().faults.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(faults.join("\n"), @r#"
config.yaml:5:3: agents: this cannot name an agent (use 1 to 64 letters, digits, '_', '-' or '.')
config.yaml:7:3: agents.two.chats: 'ops' is agent one's already
config.yaml:7:3: agents.two.chats: telegram.chats has no chat named 'opz' (did you mean 'ops'?)
config.yaml:7:3: agents.two.handlers: there is no handler 'githup' (did you mean 'github'?)
config.yaml:8:9: digest.chat: telegram.chats has no chat named 'nobody' (telegram.chats names: default, ops)
config.yaml:8:15: digest.at: expected a time of day such as 18:00, found '25:00'
config.yaml:8:32: digest.timezone: expected a time zone such as Europe/Berlin, America/New_York or UTC, found 'Europe/Berlinn'
config.yaml:11:5: mcp.servers: a server's name is 1 to 24 small letters and digits (it is part of its tools' names)
config.yaml:12:11: mcp.servers.none.command: is missing: the program and its arguments (such as [npx, -y, "@modelcontextprotocol/server-everything"])
config.yaml:12:19: mcp.servers.none.risk: expected one of read, write, network, execute, found 'harmless'
config.yaml:12:36: mcp.servers.none.env: this cannot be a name here
config.yaml:13:32: telemetry.otlp.endpoint: a URL here has no user or password in it
config.yaml:13:65: telemetry.otlp.headers: this cannot be a name here
"#);
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    let files = [
        "webhooks: [1\n",
        "a: b: c\n",
        "- a\n",
        "just text\n",
        "data_dir: a\n---\ndata_dir: b\n",
        "data_dir: *nowhere\n",
        "data_dir: &a [*a]\n",
        "data_dir: !include x\n",
        "? [a]\n: b\n",
        "webhooks: { <<: 5 }\n",
        "webhooks:\n\tport: 1\n",
    ];
    let told: Vec<String> = files.iter().map(|yaml| Place::with(yaml).faults()).collect();
    assert_eq!(
        told.join("\n"),
        r#"config.yaml:1:11: this is not YAML: unclosed bracket '['
config.yaml:1:5: this is not YAML: mapping values are not allowed in this context
config.yaml:1:1: the file is keys and values, such as 'data_dir: ./data'
config.yaml:1:1: the file is keys and values, such as 'data_dir: ./data'
config.yaml:2:1: a second document begins here; a file is one document
config.yaml:1:11: this is not YAML: while parsing node, found unknown anchor
config.yaml:1:15: this alias refers to what it is part of
config.yaml:1:20: tags mean nothing here; a text that begins with '!' needs quotes
config.yaml:1:3: a key is a word, not a list or a section
config.yaml:1:13: '<<' takes a section or a list of sections
config.yaml:2:2: this is not YAML: tabs disallowed within this context (block indentation)"#
    );
}

#[test]
fn a_file_that_grows_by_its_aliases_is_refused() {
    let mut yaml = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        yaml.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    let faults = Place::with(&yaml).faults();
    assert!(faults.contains("more than 50000 values, its aliases expanded"), "{faults}");
    let deep = format!("data_dir: {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(Place::with(&deep).faults().contains("not YAML"));
    let large = Place::with(&"# a comment\n".repeat(100_000));
    assert_eq!(large.faults(), "config.yaml: is larger than 1048576 bytes");
}

#[test]
fn anchors_and_merges_share_keys_between_handlers() {
    let place = Place::with(
        "webhooks:\n  handlers:\n    a: &base { secret: s, events: [push] }\n    b: { <<: *base, events: [issues] }\n    c: *base\n",
    );
    let config = place.config();
    assert_eq!((secrets(&config, "b"), secrets(&config, "c")), (vec!["s".into()], vec!["s".into()]));
    assert_eq!(config.webhooks.handlers[&"b".parse().expect("a name")].events, ["issues"]);
}

#[test]
fn the_file_is_looked_for_in_order() {
    let file = |name: &str, port: u16| (name.to_owned(), format!("webhooks: {{ port: {port} }}\n"));
    let mut place = Place::new();
    for (name, text) in [
        file("flag.yaml", 1),
        file("env/c.yaml", 2),
        file("config.yaml", 3),
        file("xdg/hookhand/config.yaml", 4),
        file("home/.config/hookhand/config.yaml", 5),
    ] {
        place = place.file(&name, &text);
    }
    let (xdg, home) = (place.path("xdg").display().to_string(), place.path("home").display().to_string());
    let place = place.var("AGENT_CONFIG", "env/c.yaml").var("XDG_CONFIG_HOME", &xdg).var("HOME", &home);
    let flag = place.load_as(|options| options.config = Some("flag.yaml".into()));
    assert_eq!(origin(&flag, "webhooks.port"), "flag.yaml:1");
    assert_eq!(good(flag).webhooks.port, 1);

    let mut place = place;
    assert_eq!(origin(&place.load(), "webhooks.port"), "env/c.yaml:1");
    assert_eq!(place.config().data_dir, place.path("env/data"), "relative to the file's folder");
    place.variables.remove("AGENT_CONFIG");
    assert_eq!(place.config().webhooks.port, 3);
    std::fs::remove_file(place.path("config.yaml")).expect("it is there");
    assert_eq!(place.config().webhooks.port, 4);
    place.variables.remove("XDG_CONFIG_HOME");
    assert_eq!(place.config().webhooks.port, 5);
    place.variables.remove("HOME");
    assert_eq!(place.config().webhooks.port, 8080);
}

#[test]
fn a_file_that_was_named_must_be_there_and_be_text() {
    let place = Place::new().file("broken.yaml", "").var("AGENT_CONFIG", "gone.yaml");
    std::fs::write(place.path("broken.yaml"), b"a: 1\nb: \xff\n").expect("a file");
    assert_eq!(place.faults(), "gone.yaml: cannot be read: no such file or directory");
    let loaded = place.load_as(|options| options.config = Some("broken.yaml".into()));
    assert_eq!(place.lines(&loaded.faults), "broken.yaml: is not UTF-8 text (line 2)");
    let loaded = place.load_as(|options| options.config = Some(".".into()));
    assert_eq!(place.lines(&loaded.faults), ".: cannot be read: is a directory");
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_defaults() {
    let place = Place::with("webhooks: { enabled: false, port: 1111, host: 127.0.0.2 }\n");
    let loaded = place.load();
    assert_eq!(
        (origin(&loaded, "webhooks.port"), shown(&loaded, "webhooks.port")),
        ("config.yaml:1".into(), json!(1111))
    );
    let place = place
        .file(".env", "# ours\nASSISTANT_PORT=2222\nASSISTANT_HOST=127.0.0.3\n")
        .var("ASSISTANT_HOST", "127.0.0.4");
    let place = place.var("ASSISTANT_WEBHOOK_ENABLED", "yes");
    let loaded = place.load();
    assert_eq!(
        (origin(&loaded, "webhooks.port"), origin(&loaded, "webhooks.host")),
        (".env ASSISTANT_PORT".into(), "env ASSISTANT_HOST".into())
    );
    let config = good(loaded);
    assert_eq!(
        (config.webhooks.enabled, config.webhooks.port, config.webhooks.host.to_string()),
        (true, 2222, "127.0.0.4".into())
    );
    let place = place.var("ASSISTANT_WEBHOOK_ENABLED", "0");
    assert!(!place.config().webhooks.enabled);
    let loaded = place.load_as(|options| options.webhook_port = Some(3333));
    assert_eq!(
        (origin(&loaded, "webhooks.port"), origin(&loaded, "webhooks.enabled")),
        ("flag --webhook-port".into(), "flag --webhook-port".into())
    );
    let config = good(loaded);
    assert_eq!((config.webhooks.enabled, config.webhooks.port), (true, 3333));
    let place = place.var("ASSISTANT_PORT", "hunter2").var("ASSISTANT_WEBHOOK_ENABLED", "hunter2");
    assert_eq!(
        place.faults(),
        "environment: webhooks.enabled: expected true or false, found the value of ASSISTANT_WEBHOOK_ENABLED\n\
         environment: webhooks.port: expected a number from 0 to 65535, found the value of ASSISTANT_PORT"
    );
}

#[test]
fn the_dashboard_does_not_listen_beyond_this_machine_unless_told_so() {
    let place = Place::with("dashboard: { host: 0.0.0.0 }\n");
    assert_eq!(
        place.faults(),
        "config.yaml:1:20: dashboard.host: the dashboard would listen beyond this machine, without TLS (reach it through a \
         tunnel or a proxy with TLS; or write dashboard.insecure: true)"
    );
    let place = Place::with("dashboard: { host: 0.0.0.0, insecure: true, names: [hooks.example.com] }\n");
    assert_eq!(place.config().dashboard.names, ["hooks.example.com"]);
}

#[test]
fn the_port_of_the_earlier_system_moves_the_dashboard_and_any_other_collision_is_a_fault() {
    let place = Place::new().var("ASSISTANT_PORT", "51430").var("ASSISTANT_WEBHOOK_ENABLED", "true");
    let config = place.config();
    assert_eq!((config.webhooks.port, config.dashboard.address.port()), (51_430, 51_431));
    assert_eq!(
        place.notes(),
        "defaults: dashboard.port: ASSISTANT_PORT gives 51430 to the webhook server; the dashboard takes 51431 (set dashboard.port to choose)"
    );
    let place = Place::with("webhooks: { enabled: true, port: 9000 }\ndashboard: { port: 9000, host: 127.0.0.1 }\n");
    assert_eq!(
        place.faults(),
        "config.yaml:2:20: dashboard.port: 127.0.0.1:9000 is where the webhook server listens (give one of the two another port)"
    );
}

#[test]
fn variables_fill_typed_keys_and_never_become_yaml() {
    let place = Place::with(
        "webhooks:\n  port: \"${PORT}\"\n  enabled: ${ON}\n  public_url: \"${URL:-}\"\n  host: \"${HOST:-127.0.0.1}\"\n  handlers: { a: { secret: \"${TRICK}\", events: [\"${EVENT}\"] } }\n",
    );
    let place =
        place.var("PORT", "9").var("ON", "true").var("TRICK", "x\nallow_unsigned: true ${PORT}").var("EVENT", "push");
    let loaded = place.load();
    assert_eq!(origin(&loaded, "webhooks.port"), "config.yaml:2, env PORT");
    let config = good(loaded);
    assert_eq!((config.webhooks.port, config.webhooks.enabled, config.webhooks.public_url.as_deref()), (9, true, None));
    assert_eq!(secrets(&config, "a"), ["x\nallow_unsigned: true ${PORT}"]);
    let handler = &config.webhooks.handlers[&"a".parse().expect("a name")];
    assert!(!handler.allow_unsigned);

    let place = Place::with("webhooks:\n  port: \"${PORT}\"\n  handlers: { a: { secret: \"${A}${B}\" } }\n  allowed_ips: [\"${IP:-}\"]\n  public_url: \"${\"\n").var("PORT", "hunter2");
    assert_eq!(
        place.faults(),
        r#"config.yaml:2:9: webhooks.port: expected a number from 0 to 65535, found the value of ${PORT}
config.yaml:3:28: webhooks.handlers.a.secret: the variable A is not set (set it, or write ${A:-} to go without)
config.yaml:3:28: webhooks.handlers.a.secret: the variable B is not set (set it, or write ${B:-} to go without)
config.yaml:4:17: webhooks.allowed_ips[0]: expected an address or a range such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32, found nothing
config.yaml:5:15: webhooks.public_url: after '${' comes a variable: ${NAME} or ${NAME:-default} (write $${ for the two characters themselves)"#
    );
}

#[test]
fn dotenv_lies_beside_the_file_and_never_overrides() {
    let place = Place::new().file("etc/c.yaml", "webhooks: { handlers: { a: {}, b: {} } }\n");
    let place = place
        .file("etc/.env", "export A_WEBHOOK_SECRET='one # $x'\nB_WEBHOOK_SECRET=two\n")
        .file(".env", "A_WEBHOOK_SECRET=other\n");
    let place = place.var("AGENT_CONFIG", "etc/c.yaml").var("B_WEBHOOK_SECRET", "real");
    let config = place.config();
    assert_eq!((secrets(&config, "a"), secrets(&config, "b")), (vec!["one # $x".into()], vec!["real".into()]));
    assert_eq!(origin(&place.load(), "webhooks.handlers.a.secret"), ".env A_WEBHOOK_SECRET");

    let place = place.file("etc/.env", "A=1\nhunter2 hunter2\nB='open\n");
    assert_eq!(
        place.faults(),
        "etc/.env:2: this line is not NAME=value (put a value with spaces, '#', '$' or quotes in single quotes)\n\
         etc/.env:3: this line is not NAME=value (put a value with spaces, '#', '$' or quotes in single quotes)"
    );
    let place = Place::new().file(".env", "WEBHOOK_SECRET=here\n");
    assert_eq!(secrets(&place.config(), "github"), ["here"]);
}

#[test]
fn where_a_secret_comes_from() {
    let yaml = "webhooks:\n  handlers:\n    own: { secret: mine }\n    my-svc.x: {}\n    empty: { secret: \"${NONE:-}\" }\n    rest: { secret: null, secrets: [] }\n";
    let place = Place::with(yaml)
        .var("OWN_WEBHOOK_SECRET", "theirs")
        .var("MY_SVC_X_WEBHOOK_SECRET", "svc")
        .var("GITLBA_WEBHOOK_SECRET", "x");
    let config = place.config();
    assert_eq!((secrets(&config, "own"), secrets(&config, "my-svc.x")), (vec!["mine".into()], vec!["svc".into()]));
    assert!(
        secrets(&config, "empty").is_empty()
            && secrets(&config, "rest").is_empty()
            && config.webhooks.common_secret.is_none()
    );
    assert_eq!(
        place.notes(),
        "config.yaml:3:20: webhooks.handlers.own.secret: OWN_WEBHOOK_SECRET is set to something else and not used: the handler has a secret of its own\n\
         environment: GITLBA_WEBHOOK_SECRET is set, and no handler of that name exists"
    );
    let place = place.var("ASSISTANT_WEBHOOK_SECRET", "old").var("EMPTY_WEBHOOK_SECRET", "");
    assert_eq!(secrets(&place.config(), "empty"), ["old"]);
    let place = place.var("WEBHOOK_SECRET", "new");
    assert_eq!(secrets(&place.config(), "rest"), ["new"]);
    assert_eq!(origin(&place.load(), "webhooks.common_secret"), "env WEBHOOK_SECRET");
    assert_eq!(shown(&place.load(), "webhooks.common_secret"), json!("***"));
}

#[test]
fn a_secret_is_given_once() {
    let yaml = "webhooks:\n  handlers:\n    a: { secret: s, secret_file: f }\n    b: { secret: s, secrets: [t] }\n    c: { secret_file: gone }\n    d: { secret_file: empty }\n    e: { secrets: [{ file: gone }, { path: x }, [y]] }\n    f: { secrets: s }\n    g: { secret_file: f, secrets: [\"\"] }\n";
    assert_eq!(
        Place::with(yaml).file("f", "s").file("empty", "\n").faults(),
        r#"config.yaml:3:34: webhooks.handlers.a.secret_file: webhooks.handlers.a.secret is given too (keep one of the two)
config.yaml:4:30: webhooks.handlers.b.secrets: a single secret is given too (list them all in 'secrets')
config.yaml:5:23: webhooks.handlers.c.secret_file: the file DIR/gone cannot be read: no such file or directory
config.yaml:6:23: webhooks.handlers.d.secret_file: the file DIR/empty is empty
config.yaml:7:20: webhooks.handlers.e.secrets[0].file: the file DIR/gone cannot be read: no such file or directory
config.yaml:7:36: webhooks.handlers.e.secrets[1]: expected a secret or { file: path }
config.yaml:7:49: webhooks.handlers.e.secrets[2]: expected a secret or { file: path }
config.yaml:8:19: webhooks.handlers.f.secrets: expected a list of secrets (write it in brackets: ["${NEW}", "${OLD}"])"#
    );
}

#[test]
fn a_handler_without_a_secret_does_not_open_to_a_network() {
    let yaml = "webhooks:\n  enabled: true\n  host: 0.0.0.0\n  handlers:\n    a: {}\n    b: { events: [push] }\n    c: { enabled: false }\n    d: { allow_unsigned: true }\n    e: { secret: s }\n";
    let place = Place::with(yaml);
    assert_eq!(
        place.faults(),
        r#"config.yaml:5:8: webhooks.handlers.a.secret: is missing, and the server listens beyond this machine (0.0.0.0) (set it or A_WEBHOOK_SECRET; or write allow_unsigned: true to accept anyone's requests)
config.yaml:6:8: webhooks.handlers.b.secret: is missing, and the server listens beyond this machine (0.0.0.0) (set it or B_WEBHOOK_SECRET; or write allow_unsigned: true to accept anyone's requests)"#
    );
    assert!(Place::with(&yaml.replace("enabled: true", "enabled: false")).load().faults.is_empty(), "nothing listens");
    assert!(Place::with(&yaml.replace("0.0.0.0", "127.9.9.9")).load().faults.is_empty(), "loopback");
    assert!(Place::with(&yaml.replace("0.0.0.0", "\"::1\"")).load().faults.is_empty(), "loopback");
    assert!(Place::with(&yaml.replace("host:", "allow_unsigned: true\n  host:")).load().faults.is_empty());
    assert!(place.var("ASSISTANT_WEBHOOK_SECRET", "s").load().faults.is_empty(), "the common secret serves them");
    let place = Place::new().var("ASSISTANT_HOST", "0.0.0.0");
    let loaded = place.load_as(|options| options.webhooks = true);
    assert_eq!(loaded.faults.len(), BUILT_IN.len());
    assert!(loaded.faults[1].to_string().contains("GITHUB_WEBHOOK_SECRET"), "{}", loaded.faults[1]);
}

#[test]
fn the_variable_that_a_providers_file_names_gives_the_secret_that_a_handler_lacks() {
    let yaml = "webhooks:\n  enabled: true\n  host: 0.0.0.0\n  handlers: { sales: { provider: crm }, crm: {}, own: { provider: crm, secret: mine }, other: {} }\n";
    let manifest =
        "name: crm\nwebhook_events: []\nmetadata: { webhook_config: { secret: \"{{env.CRM_WEBHOOK_SECRET}}\" } }\n";
    let place = Place::with(yaml)
        .file("integrations/crm/provider.yaml", manifest)
        .var("CRM_WEBHOOK_SECRET", "of the manifest")
        .var("WEBHOOK_SECRET", "common");
    let load = || place.load_as(|options| options.secret_variables = Some(Registry::secret_variables));
    assert_eq!(origin(&load(), "webhooks.handlers.sales.secret"), "env CRM_WEBHOOK_SECRET");
    assert_eq!(place.lines(&load().notes), "");
    let config = good(load());
    let of = |handler| secrets(&config, handler);
    assert_eq!((of("sales"), of("crm")), (vec!["of the manifest".to_owned()], vec!["of the manifest".to_owned()]));
    assert_eq!((of("own"), of("other")), (vec!["mine".to_owned()], vec!["common".to_owned()]));
    let without = good(place.load());
    assert_eq!(secrets(&without, "sales"), ["common"], "nobody asked the manifests");
}

#[test]
fn two_things_do_not_claim_one_path() {
    for (handlers, expected) in [
        ("a: { path: /x }, b: { path: /x/ }", "webhooks.handlers.b.path: /x already belongs to handler 'a'"),
        (
            "a: {}, b: { path: /api/webhooks/a }",
            "webhooks.handlers.b.path: /api/webhooks/a already belongs to handler 'a'",
        ),
        ("b: {}, a: { path: /webhooks/b }", "webhooks.handlers.b: /webhooks/b already belongs to handler 'a'"),
        ("a: { path: /health }", "webhooks.handlers.a.path: /health already belongs to the health check"),
        (
            "generic: {}",
            "webhooks.handlers.generic: /webhook/generic already belongs to the route that starts any workflow by name",
        ),
        (
            "a: { path: /webhooks/b/test }",
            "webhooks.handlers.a.path: /webhooks/b/test already belongs to the description of a handler",
        ),
        (
            "a: { path: /x }, b: { path: /x/test }",
            "webhooks.handlers.b.path: /x/test already belongs to the description of handler 'a'",
        ),
        ("a: { path: /x/test }, b: { path: /x }", "webhooks.handlers.b.path: /x/test already belongs to handler 'a'"),
    ] {
        let faults = Place::with(&format!("webhooks: {{ handlers: {{ {handlers} }} }}\n")).faults();
        assert!(faults.contains(expected) && faults.lines().count() == 1, "{handlers}: {faults}");
    }
    let free = "webhooks: { handlers: { a: { path: /x }, b: { path: /webhook/a }, health: {} } }\n";
    assert_eq!(Place::with(free).faults(), "", "a path replaces the aliases");
}

#[test]
fn the_section_handlers_decides_which_exist() {
    let names = |yaml: &str| Place::with(yaml).config().webhooks.handlers.len();
    assert_eq!(names("webhooks: { port: 1 }\n"), BUILT_IN.len());
    assert_eq!(names("webhooks:\n  handlers:\n"), BUILT_IN.len());
    assert_eq!(names("webhooks: { handlers: {} }\n"), 0);
    assert_eq!(names("webhooks:\n  handlers:\n    github:\n"), 1);
}

#[test]
fn chats_that_handlers_name_exist() {
    let yaml = "webhooks: { handlers: { a: { notify: oops }, b: {}, c: { notify: none }, d: {} } }\ntelegram: { token: t, chats: { ops: -5 } }\n";
    assert_eq!(
        Place::with(yaml).faults(),
        "config.yaml:1:38: webhooks.handlers.a.notify: telegram.chats has no chat of that name (did you mean 'ops'?)\n\
         config.yaml:2:30: telegram.chats.default: is missing, and these handlers write to it: b, d (write the chat's numeric id, or 'notify' at each handler)"
    );
    let off = yaml.replace("token: t", "token: \"\"");
    assert_eq!(Place::with(&off).faults(), "", "in the terminal every name is good");
    assert!(Place::with(&off).notes().contains("there is no token; Telegram is off"));
}

#[test]
fn a_bot_token_alone_turns_nothing_on_and_is_said() {
    let place = Place::new().var("TELEGRAM_BOT_TOKEN", "1:hunter2");
    assert!(place.config().telegram.is_none());
    assert!(
        place.notes().starts_with("environment: telegram: TELEGRAM_BOT_TOKEN is set, but without a section 'telegram'")
    );
    let place = place.file("config.yaml", "telegram: { chats: { default: 5 } }\n");
    assert_eq!(place.config().telegram.expect("the variable is its token").token.expose(), "1:hunter2");
}

#[test]
fn tls_is_on_when_both_files_are_given_unless_it_is_switched_off() {
    let tls = |ssl: &str| {
        let place = Place::with(&format!("webhooks: {{ ssl: {{ {ssl} }} }}\n")).file("c", "").file("k", "");
        let loaded = place.load();
        (loaded.config.map(|config| config.webhooks.tls.is_some()), place.lines(&loaded.faults))
    };
    assert_eq!(tls("cert: c, key: k"), (Some(true), String::new()));
    assert_eq!(tls("cert: c, key: k, enabled: true"), (Some(true), String::new()));
    assert_eq!(tls("cert: c, key: k, enabled: false"), (Some(false), String::new()));
    assert_eq!(tls("enabled: false"), (Some(false), String::new()));
    assert_eq!(
        tls("key: k").1,
        "config.yaml:1:18: webhooks.ssl.cert: is missing, and the other half of the pair is given"
    );
    assert_eq!(tls("enabled: true").1.lines().count(), 2);
}

#[test]
fn no_secret_is_shown_anywhere() {
    let yaml = r#"
webhooks:
  handlers:
    a: { secret: hunter2, secrets: [hunter2] }
    b: { secret: { x: hunter2 } }
    c: { secret: ["hunter2"] }
    d: { secret: "${hunter2" }
    e: { secrets: [hunter2, hunter2b] }
    f: { secret: "hunter2${NOPE}" }
    g: hunter2
telegram: { token: hunter2, token_file: f, chats: { default: 1 } }
model: { provider: openai, name: x, api_key: "${KEY}" }
"#;
    let place = Place::with(yaml)
        .file("f", "hunter2")
        .file(".env", "B_WEBHOOK_SECRET=\"hunter2\nKEY=hunter2\n")
        .var("A_WEBHOOK_SECRET", "hunter2c");
    let place = place.var("WEBHOOK_SECRET", "hunter2").var("ASSISTANT_PORT", "hunter2");
    for text in [yaml.to_owned(), yaml.lines().filter(|line| !line.contains("    b:")).collect::<Vec<_>>().join("\n")] {
        let loaded = Place { folder: tempfile::tempdir().expect("a folder"), variables: place.variables.clone() }
            .file("config.yaml", &text)
            .file("f", "hunter2")
            .load();
        let said = format!("{:?}{:?}{}{}", loaded, loaded.effective, loaded.effective, loaded.effective.to_json());
        // The name after '${' is the one place where a user wrote a word that a fault may repeat; it is malformed here and is not.
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(!place.faults().contains("hunter2"), "{}", place.faults());
}

#[test]
fn config_show_lists_every_key_with_its_origin() {
    let yaml =
        "webhooks:\n  port: 9000\n  allowed_ips: [10.0.0.0/8]\n  handlers:\n    github: { secrets: [\"${A}\", b] }\n";
    let place = Place::with(yaml).var("A", "hunter2");
    let loaded = place.load();
    let text = loaded.effective.to_string();
    assert_eq!(
        text,
        r#"data_dir = "./data"                               # default
files.roots = []                                  # default
webhooks.enabled = false                          # default
webhooks.host = "127.0.0.1"                       # default
webhooks.port = 9000                              # config.yaml:2
webhooks.public_url = null                        # default
webhooks.max_body_bytes = 26214400                # default
webhooks.allowed_ips = ["10.0.0.0/8"]             # config.yaml:3
webhooks.trusted_proxies = []                     # default
webhooks.forwarded_header = "x-forwarded-for"     # default
webhooks.rate_limit.enabled = true                # default
webhooks.rate_limit.max_requests = 100            # default
webhooks.rate_limit.window_seconds = 60           # default
webhooks.ssl.enabled = false                      # default
webhooks.ssl.cert = null                          # default
webhooks.ssl.key = null                           # default
webhooks.logging.enabled = true                   # default
webhooks.logging.level = "INFO"                   # default
webhooks.logging.include_headers = false          # default
webhooks.logging.include_payload = false          # default
webhooks.allow_unsigned = false                   # default
webhooks.handlers.github.enabled = true           # default
webhooks.handlers.github.provider = null          # default
webhooks.handlers.github.path = null              # default
webhooks.handlers.github.secret = null            # default
webhooks.handlers.github.secret_file = null       # default
webhooks.handlers.github.secrets = ["***","***"]  # config.yaml:5, env A
webhooks.handlers.github.events = []              # default
webhooks.handlers.github.response_type = "json"   # default
webhooks.handlers.github.allowed_ips = []         # default
webhooks.handlers.github.rate_limit = null        # default
webhooks.handlers.github.allow_unsigned = null    # default
webhooks.handlers.github.notify = "default"       # default
webhooks.handlers.github.summarize = "auto"       # default
telegram = null                                   # default
model = null                                      # default
dashboard.enabled = true                          # default
dashboard.host = "127.0.0.1"                      # default
dashboard.port = 51430                            # default
dashboard.names = []                              # default
dashboard.insecure = false                        # default
network.allow = []                                # default
retention.events_days = 90                        # default
retention.rejected_max = 10000                    # default
agents = null                                     # default
digest = null                                     # default
mcp.servers = null                                # default
telemetry.otlp.endpoint = null                    # default
telemetry.otlp.headers = null                     # default
telemetry.otlp.service_name = "hookhand"          # default
telemetry.otlp.timeout_seconds = 10               # default
"#
    );
    let json = loaded.effective.to_json();
    assert_eq!(json["file"], "config.yaml");
    assert_eq!(json["items"][3], json!({ "key": "webhooks.host", "value": "127.0.0.1", "origin": "default" }));
    assert_eq!(json["next"], Value::Null);
}

fn example() -> Place {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.yaml");
    Place::with(&std::fs::read_to_string(path).expect("the example"))
}

#[test]
fn the_example_has_no_faults_with_and_without_its_variables() {
    let config = example().config();
    assert!(config.telegram.is_none() && config.webhooks.handlers.len() == 5);
    let place = example().var("GITHUB_WEBHOOK_SECRET", "s").var("TELEGRAM_BOT_TOKEN", "t").var("TELEGRAM_CHAT_ID", "5");
    let place = place.var("OPENAI_API_KEY", "k").var("MY_SERVICE_SECRET", "m");
    let config = place.config();
    assert_eq!((secrets(&config, "github"), secrets(&config, "my_service")), (vec!["s".into()], vec!["m".into()]));
    assert_eq!(config.telegram.expect("a token").chats.len(), 2);
}

#[test]
fn the_example_and_the_schema_have_every_key_and_no_other() {
    let known: std::collections::BTreeSet<String> = config::key_paths().map(str::to_owned).collect();
    let mut in_schema = std::collections::BTreeSet::new();
    schema_keys(&config::schema(), "", &mut in_schema);
    assert_eq!(in_schema, known, "schema");

    let place = example().var("TELEGRAM_CHAT_ID", "5");
    let names = [
        "github",
        "stripe",
        "standard-webhooks",
        "custom",
        "my_service",
        "default",
        "ops",
        "oncall",
        "everything",
        "echo",
        "local",
        "SERVICE_TOKEN",
        "x-mlflow-experiment-id",
    ];
    let mut read = std::collections::BTreeSet::new();
    for entry in place.load().effective.keys {
        let parts: Vec<&str> =
            entry.key.split('.').map(|part| if names.contains(&part) { "*" } else { part }).collect();
        for end in 1..=parts.len() {
            read.insert(parts[..end].join("."));
        }
    }
    assert_eq!(read, known, "what is read from the example");

    let text: Value =
        serde_yaml::from_str(&std::fs::read_to_string(place.path("config.yaml")).expect("the example")).expect("YAML");
    let mut written = std::collections::BTreeSet::new();
    yaml_keys(&text, "", &names, &mut written);
    assert_eq!(written, known, "what is written in the example");
}

fn schema_keys(schema: &Value, path: &str, found: &mut std::collections::BTreeSet<String>) {
    let forms = schema["anyOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
    for form in forms {
        for (name, value) in form["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            schema_keys(value, &path, found);
            found.insert(path);
        }
        if form["additionalProperties"].is_object() {
            let path = format!("{path}.*");
            schema_keys(&form["additionalProperties"], &path, found);
            found.insert(path);
        }
    }
}

fn yaml_keys(value: &Value, path: &str, names: &[&str], found: &mut std::collections::BTreeSet<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = if names.contains(&name.as_str()) { "*" } else { name };
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        yaml_keys(value, &path, names, found);
        found.insert(path);
    }
}

#[test]
fn the_example_shows_the_defaults() {
    let plain = Place::new().load().effective;
    let example = example().load().effective;
    let shows_more = ["telegram", "model", "agents", "digest", "mcp.servers", "telemetry.otlp.headers"];
    for entry in plain.keys.iter().filter(|entry| !shows_more.contains(&entry.key.as_str())) {
        let shown = example.get(&entry.key).unwrap_or_else(|| panic!("{} is not in the example", entry.key));
        assert_eq!(shown.value, entry.value, "{}", entry.key);
    }
}

#[test]
fn the_reference_in_the_docs_is_the_table_of_keys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIG.md");
    let text = std::fs::read_to_string(&path).expect("docs/CONFIG.md");
    let start =
        text.find("<!-- keys:").and_then(|at| Some(at + text[at..].find('\n')? + 1)).expect("the mark before the keys");
    let end = text.find("<!-- end of keys -->").expect("the mark after the keys");
    let expected = format!("\n{}\n", config::reference_markdown());
    if std::env::var_os("HOOKHAND_BLESS").is_some() {
        std::fs::write(&path, format!("{}{expected}{}", &text[..start], &text[end..]))
            .expect("docs/CONFIG.md can be written");
        return;
    }
    assert_eq!(&text[start..end], expected, "run again with HOOKHAND_BLESS=1 to write it anew");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}|[-a-z:{}\\[\\]&*!|>'\"%@`,?#~<$ \\t\\n0-9.]{0,200}", env in "\\PC{0,60}") {
        let loaded = Place::with(&text).file(".env", &env).load();
        prop_assert_eq!(loaded.config.is_some(), loaded.faults.is_empty());
    }

    #[test]
    fn arbitrary_values_at_real_keys_never_panic_and_never_show_a_secret(
        key in proptest::sample::select(config::key_paths().collect::<Vec<_>>()),
        value in "[-a-z:{}\\[\\]&*!'\"%@,~$ 0-9.]{0,30}",
    ) {
        let parts: Vec<String> = key.replace('*', "name").split('.').map(str::to_owned).collect();
        let mut yaml = String::new();
        for (depth, part) in parts.iter().enumerate() {
            yaml.push_str(&format!("{}{part}:{}", "  ".repeat(depth), if depth + 1 == parts.len() { " " } else { "\n" }));
        }
        let secret = ["secret", "secrets", "token", "api_key"].contains(&parts[parts.len() - 1].as_str());
        for value in [value.clone(), format!("hunter2{value}"), format!("!hunter2{value}"), format!("\"hunter2{value}"), format!("[hunter2{value}")] {
            let loaded = Place::with(&format!("{yaml}{value}\n")).load();
            prop_assert_eq!(loaded.config.is_some(), loaded.faults.is_empty());
            let said = format!("{:?} {:?} {}", loaded.faults, loaded.notes, loaded.effective);
            prop_assert!(!secret || !said.contains("hunter2"), "{}", said);
        }
    }
}
