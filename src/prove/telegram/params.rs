//! The parameters of a call, from JSON, forms, multipart bodies and queries.

use serde_json::Value;

/// The parameters of a call in any of the encodings that Telegram takes.
pub(super) fn params(kind: &str, query: &str, body: &[u8]) -> Result<Value, String> {
    if kind.starts_with("application/json") {
        return serde_json::from_slice(body).map_err(|_| "can't parse JSON object".to_owned());
    }
    let mut found = serde_json::Map::new();
    if let Some((_, boundary)) = kind.split_once("boundary=") {
        let text = String::from_utf8_lossy(body).into_owned();
        for part in text.split(&format!("--{}", boundary.trim_matches('"'))) {
            let Some((head, value)) = part.split_once("\r\n\r\n") else { continue };
            let Some(name) = head.split_once("name=\"").and_then(|(_, rest)| rest.split_once('"')) else { continue };
            found.insert(name.0.to_owned(), field(value.strip_suffix("\r\n").unwrap_or(value)));
        }
    } else {
        let form = if kind.starts_with("application/x-www-form-urlencoded") {
            String::from_utf8_lossy(body)
        } else {
            "".into()
        };
        for pair in form.split('&').chain(query.split('&')).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            found.insert(percent_decode(name), field(&percent_decode(value)));
        }
    }
    Ok(Value::Object(found))
}

/// Objects and lists travel as JSON text in forms.
fn field(value: &str) -> Value {
    let structured = value.starts_with(['{', '[']);
    serde_json::from_str(value).ok().filter(|_| structured).unwrap_or_else(|| value.into())
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        let hex =
            (bytes[i] == b'%').then(|| bytes.get(i + 1..i + 3)).flatten().and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(if bytes[i] == b'+' { b' ' } else { bytes[i] });
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}
