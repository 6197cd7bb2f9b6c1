//! What a tool takes: its schema for hosts, and the check of what hosts then give.
//!
//! Models are held to the schema loosely, so what is meant without doubt is taken: a number or a
//! boolean that stands in quotes, one text where a list is wanted, `null` for what is left out.

use serde_json::{Map, Value, json};

/// One parameter.
pub struct Parameter {
    name: &'static str,
    kind: Kind,
    is_required: bool,
    description: &'static str,
}

/// What a parameter can be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A text; one that is required may not be empty.
    Text,
    /// A text that may be empty.
    AnyText,
    /// A list of texts.
    Texts,
    /// A text, or a list of texts.
    TextOrTexts,
    /// True or false.
    Flag,
    /// A whole number from 1.
    Count,
    /// Any JSON value.
    Any,
    /// A JSON object.
    Object,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of these words.
    Words(&'static [&'static str]),
}

/// A parameter that must be given.
pub const fn required(name: &'static str, kind: Kind, description: &'static str) -> Parameter {
    Parameter { name, kind, is_required: true, description }
}

/// A parameter that may be left out.
pub const fn optional(name: &'static str, kind: Kind, description: &'static str) -> Parameter {
    Parameter { name, kind, is_required: false, description }
}

/// Which mesh is meant, for tools that work on one: [`Call::mesh`](super::Call::mesh) reads it.
pub const MESH: Parameter =
    optional("mesh_slug", Kind::Text, "Which mesh, where several are joined");

/// The JSON schema of these parameters.
pub fn schema(parameters: &[Parameter]) -> Map<String, Value> {
    let property = |parameter: &Parameter| {
        let mut schema = parameter.kind.schema();
        schema["description"] = json!(parameter.description);
        (parameter.name.to_owned(), schema)
    };
    let properties: Map<_, _> = parameters.iter().map(property).collect();
    let required = parameters.iter().filter(|one| one.is_required).map(|one| json!(one.name));
    let required: Vec<_> = required.collect();
    let mut schema = Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), Value::Object(properties)),
    ]);
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

/// Checks what was given to `tool`, and puts it into the forms that the getters read.
pub fn check(
    tool: &str,
    parameters: &[Parameter],
    given: &mut Map<String, Value>,
) -> Result<(), String> {
    // `null` is a value only where any is.
    let takes_null =
        |name: &str| parameters.iter().any(|one| one.name == name && matches!(one.kind, Kind::Any));
    given.retain(|name, value| !value.is_null() || takes_null(name));
    for parameter in parameters {
        let (name, kind) = (parameter.name, parameter.kind);
        let Some(value) = given.remove(name).filter(|value| !kind.is_missing(value)) else {
            if parameter.is_required {
                return Err(format!("{tool}: `{name}` required"));
            }
            continue;
        };
        let value = kind.read(value);
        let value = value.ok_or_else(|| format!("{tool}: `{name}` must be {}", kind.words()))?;
        given.insert(name.to_owned(), value);
    }
    Ok(())
}

impl Kind {
    fn schema(self) -> Value {
        let texts = || json!({"type": "array", "items": {"type": "string"}});
        match self {
            Self::Text | Self::AnyText => json!({"type": "string"}),
            Self::Texts => texts(),
            Self::TextOrTexts => json!({"anyOf": [{"type": "string"}, texts()]}),
            Self::Flag => json!({"type": "boolean"}),
            Self::Count => json!({"type": "integer", "minimum": 1}),
            Self::Any => json!({}),
            Self::Object => json!({"type": "object"}),
            Self::Word(words) => json!({"type": "string", "enum": words}),
            Self::Words(words) => {
                json!({"type": "array", "items": {"type": "string", "enum": words}})
            }
        }
    }

    /// Whether this is as good as nothing.
    fn is_missing(self, value: &Value) -> bool {
        match self {
            Self::Text => value.as_str().is_some_and(|text| text.trim().is_empty()),
            Self::TextOrTexts => {
                value.as_str().is_some_and(|text| text.trim().is_empty())
                    || value.as_array().is_some_and(Vec::is_empty)
            }
            _ => false,
        }
    }

    fn words(self) -> String {
        match self {
            Self::Text | Self::AnyText => "a string".into(),
            Self::Texts => "a list of strings".into(),
            Self::TextOrTexts => "a string or a list of strings".into(),
            Self::Flag => "true or false".into(),
            Self::Count => "a whole number from 1".into(),
            Self::Any => "a value".into(),
            Self::Object => "an object".into(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("a list of {}", words.join(", ")),
        }
    }

    /// The value in its own form, if it is one.
    fn read(self, value: Value) -> Option<Value> {
        let texts = |value: Value| match value {
            Value::String(text) => Some(json!([text])),
            Value::Array(items) if items.iter().all(Value::is_string) => Some(Value::Array(items)),
            _ => None,
        };
        match self {
            Self::Text | Self::AnyText => value.is_string().then_some(value),
            Self::Texts | Self::TextOrTexts => texts(value),
            Self::Flag => match value.as_str() {
                Some(word) => word.parse::<bool>().ok().map(Value::Bool),
                None => value.is_boolean().then_some(value),
            },
            Self::Count => {
                let number = match value.as_str() {
                    Some(digits) => digits.parse().ok(),
                    None => value.as_u64(),
                };
                number.filter(|&number| number > 0).map(|number: u64| json!(number))
            }
            Self::Any => Some(value),
            // Some models write an object as its text.
            Self::Object => match value.as_str() {
                Some(text) => serde_json::from_str(text).ok().filter(Value::is_object),
                None => value.is_object().then_some(value),
            },
            Self::Word(words) => words.contains(&value.as_str()?).then_some(value),
            Self::Words(words) => {
                let value = texts(value)?;
                let is_one = |item: &Value| item.as_str().is_some_and(|item| words.contains(&item));
                value.as_array()?.iter().all(is_one).then_some(value)
            }
        }
    }
}

/// A text that was given.
pub fn text<'a>(given: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    given.get(name)?.as_str()
}

/// A list of texts that was given.
pub fn texts(given: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    let items = given.get(name)?.as_array()?;
    Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Any value that was given; `null` is one.
pub fn value<'a>(given: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    given.get(name)
}

/// An object that was given.
pub fn object<'a>(given: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    given.get(name)?.as_object()
}

/// A number that was given.
pub fn count(given: &Map<String, Value>, name: &str) -> Option<usize> {
    usize::try_from(given.get(name)?.as_u64()?).ok()
}

/// The one of these ids that begins as `id` does, or `id` itself where none does: what is long past,
/// and what is another member's, is not listed. `more` are not among them, as they did not fit.
pub fn whole_id(id: &str, all: impl Iterator<Item = String>, more: u32) -> Result<String, String> {
    let mut found: Vec<String> = all.filter(|one| one.starts_with(id)).collect();
    if id.is_empty() || found.iter().any(|one| one == id) {
        return Ok(id.to_owned());
    }
    match found.len() {
        0 => Ok(id.to_owned()),
        1 if more == 0 => Ok(found.remove(0)),
        1 => Err(format!("{more} are not listed, and one of them may begin so; give the whole id")),
        _ => Err("several ids begin so; give more of it".into()),
    }
}

/// What a list ends with that did not fit: nothing, or how many are left out.
pub fn and_more(more: u32) -> String {
    if more == 0 { String::new() } else { format!("\nand {more} more, which did not fit") }
}

/// A yes or no that was given.
pub fn flag(given: &Map<String, Value>, name: &str) -> Option<bool> {
    given.get(name)?.as_bool()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMETERS: &[Parameter] = &[
        required("to", Kind::TextOrTexts, "whom"),
        optional("visible", Kind::Flag, "whether"),
        optional("priority", Kind::Word(&["now", "next"]), "how"),
        optional("recent", Kind::Count, "how many"),
    ];

    fn checked(given: Value) -> Result<Value, String> {
        let mut given = given.as_object().unwrap().clone();
        check("tool", PARAMETERS, &mut given).map(|()| Value::Object(given))
    }

    #[test]
    fn what_is_missing_is_named_as_the_reference_names_it() {
        for given in [json!({}), json!({"to": ""}), json!({"to": []}), json!({"to": null})] {
            assert_eq!(checked(given), Err("tool: `to` required".into()));
        }
    }

    #[test]
    fn what_is_meant_without_doubt_is_taken() {
        let given = json!({"to": "a", "visible": "true", "recent": "3", "priority": null, "x": 1});

        let wanted = json!({"to": ["a"], "visible": true, "recent": 3, "x": 1});
        assert_eq!(checked(given), Ok(wanted));
    }

    #[test]
    fn what_is_wrong_is_refused_with_what_would_be_right() {
        for (given, wanted) in [
            (json!({"to": 7}), "`to` must be a string or a list of strings"),
            (json!({"to": ["a", 7]}), "`to` must be a string or a list of strings"),
            (json!({"to": "a", "priority": "soon"}), "`priority` must be one of now, next"),
            (json!({"to": "a", "visible": "maybe"}), "`visible` must be true or false"),
            (json!({"to": "a", "recent": 0}), "`recent` must be a whole number from 1"),
        ] {
            assert_eq!(checked(given), Err(format!("tool: {wanted}")));
        }
    }
}
