//! The document as the framework writes it, made exact: what it cannot say, and what readers of
//! documents trip over.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Makes the framework's document exact.
pub fn exact(document: &str) -> String {
    let mut document: Value = serde_json::from_str(document).expect("the framework writes JSON");
    let bodies = bodies(&document);
    let schemas = document["components"]["schemas"].take();
    let written = schemas.as_object().into_iter().flatten().map(|(name, schema)| {
        let mut schema = inlined(schema, &schemas);
        if bodies.contains(name) {
            close(&mut schema);
        }
        (name.clone(), schema)
    });
    let written: Map<String, Value> = written.collect();
    document["components"]["schemas"] = Value::Object(written);
    document.to_string()
}

/// The names of the schemas of our routes' bodies. The reference's are plain `application/json`,
/// and take what they are given.
fn bodies(document: &Value) -> BTreeSet<String> {
    let routes = document["paths"].as_object().into_iter().flat_map(Map::values);
    routes
        .filter_map(Value::as_object)
        .flat_map(Map::values)
        .filter_map(|route| route["requestBody"]["content"].as_object())
        .flatten()
        .filter(|(kind, _)| kind.contains("charset"))
        .filter_map(|(_, body)| Some(name(&body["schema"])?.to_owned()))
        .collect()
}

/// Says that a body takes no other fields, and `null` for what may be left out.
fn close(schema: &mut Value) {
    schema["additionalProperties"] = Value::Bool(false);
    let required = schema["required"].clone();
    let required = required.as_array().map(Vec::as_slice).unwrap_or_default();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        if !required.contains(&json!(name)) && property.get("default").is_none() {
            property["nullable"] = Value::Bool(true);
            // Words are all that is taken, so this one has to be among them.
            if let Some(words) = property.get_mut("enum").and_then(Value::as_array_mut) {
                words.push(Value::Null);
            }
        }
    }
}

/// A schema whose words stand where they are used: with a description the framework wraps a
/// reference, and generators take what is wrapped for an object.
fn inlined(schema: &Value, schemas: &Value) -> Value {
    let mut schema = schema.clone();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (_, property) in properties.into_iter().flatten() {
        let Some([wrapped, more @ ..]) = property["allOf"].as_array().map(Vec::as_slice) else {
            continue;
        };
        let Some(words) = name(wrapped).map(|name| &schemas[name]) else { continue };
        if !words["enum"].is_array() {
            continue;
        }
        let more = more.iter().filter_map(Value::as_object).flatten();
        let mut whole: Map<String, Value> =
            more.map(|(field, value)| (field.clone(), value.clone())).collect();
        for field in ["type", "enum"] {
            whole.insert(field.to_owned(), words[field].clone());
        }
        if let Some(description) = property.get("description") {
            whole.insert("description".to_owned(), description.clone());
        }
        *property = Value::Object(whole);
    }
    schema
}

/// The name that a reference ends with.
fn name(reference: &Value) -> Option<&str> {
    reference["$ref"].as_str()?.rsplit('/').next()
}
