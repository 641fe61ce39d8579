//! CEL (Common Expression Language) as the API server compiles it: literals of JSON, and JSON Patch operations.
//!
//! Lists and maps are of one type there, so every element of a mixed one is a `dyn`.

use serde_json::Value;

use super::quote::escaped;

/// A string that stands for itself.
pub(super) fn string(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// A list of strings.
pub(super) fn strings<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let all: Vec<String> = texts.into_iter().map(string).collect();
    format!("[{}]", all.join(", "))
}

/// A JSON value as a `dyn`.
pub(super) fn value(json: &Value) -> String {
    match json {
        Value::String(text) => string(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => json.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(dynamic).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, field)| format!("{}: {}", string(key), dynamic(field))).collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

fn dynamic(json: &Value) -> String {
    format!("dyn({})", value(json))
}

/// The field that a JSON pointer leads to, below `object`: `/spec/containers/0/env` is `object.spec.containers[0].env`.
pub(super) fn field(pointer: &str) -> String {
    let mut out = "object".to_owned();
    for step in pointer.split('/').skip(1) {
        if step.bytes().all(|byte| byte.is_ascii_digit()) {
            out.push_str(&format!("[{step}]"));
        } else {
            out.push_str(&format!(".{step}"));
        }
    }
    out
}

/// A patch of one operation.
pub(super) fn add(path: &str, cel_value: &str) -> String {
    format!("[JSONPatch{{op: \"add\", path: {}, value: {cel_value}}}]", string(path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(string("a\"b\\c\nd\te\u{7}"), r#""a\"b\\c\nd\te\u0007""#);
        assert_eq!(strings(["a", "b"]), r#"["a", "b"]"#);
    }

    #[test]
    fn elements_of_different_types_are_dynamic() {
        let json = json!({"name": "x", "defaultMode": 256, "items": [{"path": "a"}], "optional": true});
        let expected = r#"{"name": dyn("x"), "defaultMode": dyn(256), "items": dyn([dyn({"path": dyn("a")})]), "optional": dyn(true)}"#;
        assert_eq!(value(&json), expected);
    }

    #[test]
    fn a_pointer_is_a_chain_of_fields() {
        assert_eq!(field("/spec/containers/0/env"), "object.spec.containers[0].env");
    }
}
