//! What a body says: JSON, or a form that carries it.
//!
//! The signature was checked over the raw bytes before this; here they are only read. Whatever the content type, an empty
//! body is `{}`. The bytes that were signed are what is kept; a payload that is not the body itself is kept beside them.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::limits::{FORM_FIELDS_MAX, PAYLOAD_VALUES_MAX};
use super::mend;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// A payload that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// The value.
    pub value: Value,
    /// Its JSON text, where that is not the body itself.
    pub text: Option<Bytes>,
}

/// A body that is not what its content type says. The text is for the sender; it quotes nothing of the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PayloadError(String);

/// Reads `body` as its `content_type` says. Types that are neither a form nor multipart are tried as JSON: many senders
/// write `text/plain` or nothing at all above perfectly good JSON.
///
/// # Errors
/// When it cannot be read so.
pub fn read(content_type: Option<&[u8]>, body: &Bytes) -> Result<Payload, PayloadError> {
    if body.trim_ascii().is_empty() {
        return Ok(Payload { value: Value::Object(Map::new()), text: Some(Bytes::from_static(b"{}")) });
    }
    let essence = essence(content_type.unwrap_or_default());
    match essence.as_str() {
        "application/x-www-form-urlencoded" => read_form(body),
        multipart if multipart.starts_with("multipart/") => {
            Err(PayloadError(format!("{multipart} is not supported: send application/json")))
        }
        _ => read_json(body, &essence),
    }
}

/// The media type without its parameters, in lower case; bounded, because it is shown.
fn essence(content_type: &[u8]) -> String {
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    essence.iter().take(100).map(|b| if b.is_ascii_graphic() { b.to_ascii_lowercase() as char } else { '?' }).collect()
}

fn read_json(body: &Bytes, essence: &str) -> Result<Payload, PayloadError> {
    let (json, unmarked) = match body.strip_prefix(BOM) {
        Some(rest) => (rest, Some(body.slice(BOM.len()..))),
        None => (body.as_ref(), None),
    };
    if json.trim_ascii().is_empty() {
        return Ok(Payload { value: Value::Object(Map::new()), text: Some(Bytes::from_static(b"{}")) });
    }
    let (value, mended) = parse(json, essence)?;
    Ok(Payload { value, text: mended.map(Bytes::from).or(unmarked) })
}

/// The value, and its text where that had to be mended.
fn parse(json: &[u8], essence: &str) -> Result<(Value, Option<String>), PayloadError> {
    let text = std::str::from_utf8(json)
        .map_err(|fault| PayloadError(format!("the body is not UTF-8 (at byte {})", fault.valid_up_to())))?;
    if has_more_values_than(json, PAYLOAD_VALUES_MAX) {
        return Err(PayloadError(format!("the JSON holds more than {PAYLOAD_VALUES_MAX} values")));
    }
    let fault = match serde_json::from_str(text) {
        Ok(value) => return Ok((value, None)),
        Err(fault) => fault,
    };
    if let Some(mended) = mend::mended(text)
        && let Ok(value) = serde_json::from_str(&mended)
    {
        return Ok((value, Some(mended)));
    }
    let place = format!("line {} column {}", fault.line(), fault.column());
    // serde_json has no kind for this one, and "recursion limit exceeded" tells a sender nothing.
    if fault.to_string().starts_with("recursion limit") {
        return Err(PayloadError(format!("the JSON is nested deeper than 127 levels ({place})")));
    }
    let sent_as = if essence.is_empty() { "no content type" } else { essence };
    Err(PayloadError(format!("the body is not JSON: {fault} (it was sent with {sent_as})")))
}

/// Whether there are more values than `limit`: a body of `{},{},…` within the byte limit takes a hundred times its size
/// in memory once it is parsed.
fn has_more_values_than(json: &[u8], limit: usize) -> bool {
    // A value takes at least two bytes: itself and what separates it.
    if json.len() / 2 < limit {
        return false;
    }
    let (mut values, mut in_string, mut escaped, mut opened) = (1, false, false, false);
    for byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        // An opening bracket brings a value unless it is closed at once, a comma always does.
        if opened && !byte.is_ascii_whitespace() {
            opened = false;
            values += usize::from(!matches!(byte, b']' | b'}'));
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => opened = true,
            b',' => values += 1,
            _ => {}
        }
    }
    values > limit
}

/// `payload=` holds the JSON (GitHub and Slack send it so); without it the fields are the payload. `curl -d '{…}'` labels
/// JSON as a form: a body that is a whole JSON object or array is taken as what it is.
fn read_form(body: &Bytes) -> Result<Payload, PayloadError> {
    if matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
        && let Ok((value, mended)) = parse(body, "")
    {
        return Ok(Payload { value, text: mended.map(Bytes::from) });
    }
    let mut fields = Map::new();
    for (count, pair) in body.trim_ascii().split(|b| *b == b'&').filter(|pair| !pair.is_empty()).enumerate() {
        if count == FORM_FIELDS_MAX {
            return Err(PayloadError(format!("the form has more than {FORM_FIELDS_MAX} fields")));
        }
        let mut halves = pair.splitn(2, |b| *b == b'=');
        let name = decode(halves.next().unwrap_or_default())?;
        let value = decode(halves.next().unwrap_or_default())?;
        if name == "payload" {
            let inner = Bytes::from(value);
            let payload = read_json(&inner, "a form's payload field")?;
            return Ok(Payload { text: Some(payload.text.unwrap_or(inner)), value: payload.value });
        }
        add_field(&mut fields, name, value);
    }
    let value = Value::Object(fields);
    let text = Bytes::from(value.to_string());
    Ok(Payload { value, text: Some(text) })
}

/// A field that comes more than once is an array.
fn add_field(fields: &mut Map<String, Value>, name: String, value: String) {
    match fields.get_mut(&name) {
        None => {
            fields.insert(name, Value::String(value));
        }
        Some(Value::Array(values)) => values.push(Value::String(value)),
        Some(first) => *first = Value::Array(vec![first.take(), Value::String(value)]),
    }
}

fn decode(encoded: &[u8]) -> Result<String, PayloadError> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut at = 0;
    while at < encoded.len() {
        match encoded[at] {
            b'+' => decoded.push(b' '),
            b'%' => {
                let pair = encoded.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
                let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
                decoded.push(byte.ok_or_else(|| PayloadError("the form has a broken percent-escape".into()))?);
                at += 2;
            }
            byte => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8(decoded).map_err(|_| PayloadError("the form is not UTF-8".into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn json_is_read_under_every_label_that_senders_put_on_it() {
        for label in
            ["application/json", "application/JSON; charset=utf-8", "application/cloudevents+json", "text/plain", ""]
        {
            let payload = read(Some(label.as_bytes()), &body("{\"a\":1}")).expect(label);
            assert_eq!((payload.value, payload.text), (json!({"a": 1}), None), "{label}");
        }
        let curl = read(Some(b"application/x-www-form-urlencoded"), &body("{\"a\":\"b&c=%d\"}")).expect("curl -d");
        assert_eq!(curl.value, json!({"a": "b&c=%d"}));
        assert_eq!(read(None, &body("[1]")).expect("any value").value, json!([1]));
        assert_eq!(read(None, &body("null")).expect("any value").value, json!(null));
    }

    #[test]
    fn an_empty_body_is_an_empty_object_and_a_byte_order_mark_is_no_fault() {
        for (label, text) in [("application/json", ""), ("multipart/form-data", ""), ("", " \r\n"), ("", "\u{feff}")] {
            let payload = read(Some(label.as_bytes()), &body(text)).expect("empty");
            assert_eq!((payload.value, payload.text), (json!({}), Some(Bytes::from_static(b"{}"))));
        }
        let marked = read(None, &body("\u{feff}{}")).expect("a mark");
        assert_eq!((marked.value, marked.text), (json!({}), Some(Bytes::from_static(b"{}"))));
    }

    #[test]
    fn a_form_carries_json_in_its_payload_field_or_is_itself_the_payload() {
        let form = Some(b"application/x-www-form-urlencoded; charset=utf-8".as_slice());
        let payload = read(form, &body("x=1&payload=%7B%22a%22%3A%22b+c%22%7D")).expect("a payload field");
        assert_eq!((payload.value, payload.text), (json!({"a": "b c"}), Some(body("{\"a\":\"b c\"}"))));
        let fields = read(form, &body("a=1&b=x%20y&a=2&a=3&c&")).expect("fields");
        assert_eq!(fields.value, json!({"a": ["1", "2", "3"], "b": "x y", "c": ""}));
        assert_eq!(read(form, &body("payload=")).expect("empty").value, json!({}));
        for bad in ["payload=%7B", "a=%zz", "a=%f", "a=%ff"] {
            assert!(read(form, &body(bad)).is_err(), "{bad}");
        }
        assert!(read(form, &body(&"a=1&".repeat(FORM_FIELDS_MAX))).is_ok());
        assert!(read(form, &body(&"a=1&".repeat(FORM_FIELDS_MAX + 1))).is_err());
    }

    #[test]
    fn what_is_not_json_is_refused_with_a_place_and_without_a_quote() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        let says = |bytes: &[u8]| {
            read(Some(b"application/json"), &Bytes::copy_from_slice(bytes)).expect_err("bad").to_string()
        };
        assert!(says(b"{\"secret\": hunter2}").contains("line 1"), "{}", says(b"{\"secret\": hunter2}"));
        assert!(!says(b"{\"secret\": hunter2}").contains("hunter2"));
        assert!(says(b"{\"a\":\"\xff\"}").contains("not UTF-8 (at byte 6)"));
        assert!(says(deep.as_bytes()).contains("nested deeper"), "{}", says(deep.as_bytes()));
        assert!(says(b"{} {}").contains("trailing"));
        assert!(read(Some(b"multipart/form-data; boundary=x"), &body("--x")).is_err());
        assert!(read(Some(b"application/xml"), &body("<a/>")).is_err());
    }

    #[test]
    fn small_values_without_end_are_refused_before_they_are_parsed() {
        let list = |n: usize| body(&format!("[{}1]", "{},".repeat(n)));
        assert!(read(None, &list(PAYLOAD_VALUES_MAX - 2)).is_ok());
        let fault = read(None, &list(PAYLOAD_VALUES_MAX)).expect_err("too many").to_string();
        assert!(fault.contains("more than 1000000 values"), "{fault}");
        let text = body(&format!("[\"{}\\\"\"]", ",[{".repeat(PAYLOAD_VALUES_MAX)));
        assert!(read(None, &text).is_ok(), "what stands in a text is no value");
    }

    #[test]
    fn the_last_of_equal_keys_wins_and_integers_beyond_64_bits_are_no_fault() {
        assert_eq!(read(None, &body("{\"a\":1,\"a\":2}")).expect("json").value, json!({"a": 2}));
        assert!(read(None, &body("{\"a\":123456789012345678901234567890}")).is_ok());
    }

    #[test]
    fn what_json_allows_and_rust_cannot_hold_is_taken_all_the_same() {
        let payload = read(None, &body(r#"{"event":"big","f":1e999,"s":"\ud83d"}"#)).expect("JSON by its grammar");
        assert_eq!(payload.value, json!({"event": "big", "f": "1e999", "s": "\u{fffd}"}));
        assert_eq!(serde_json::from_slice::<Value>(&payload.text.expect("not the body")).expect("JSON"), payload.value);
        for bad in [r#"{"f":1e999"#, r#"{"f":1e999x}"#, r#"{"f":1e+}"#, r#"{"f":01e999}"#, r#"{1e999:1}"#] {
            assert!(read(None, &body(bad)).is_err(), "{bad}");
        }
    }
}
