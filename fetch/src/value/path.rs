//! Paths into JSON.
//!
//! A path of a peer is run over a document of a stranger, so it must not cost more than a walk over
//! the document: one descent (`..`), few alternatives (`,`) and few filters (`?`), none of which
//! looks at the whole document again, or compares two parts of it.

use serde_json::Value as Json;
use serde_json_path::JsonPath;
use skein_wire::limit::FETCH_PATH_BYTES_MAX;

/// How many alternatives a path may have: each bracket multiplies what was found by its own.
const ALTERNATIVES_MAX: usize = 3;
/// How many filters: each within another walks over everything once more.
const FILTERS_MAX: usize = 2;
/// How often a filter may say `&&` or `||`: each has one more thing compared, for every value.
const TERMS_MAX: usize = 3;
/// How many `*` a filter may have: each looks one level deeper, from every value.
const WILDCARDS_MAX: usize = 2;

/// A path that leads nowhere in any document, or too far.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path cannot be used: {0}")]
pub struct InvalidPath(String);

/// A path.
pub(super) enum Path<'a> {
    /// Names, and numbers in lists.
    Dotted(&'a str),
    /// RFC 9535, without functions.
    Query(Box<JsonPath>),
}

impl<'a> Path<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, InvalidPath> {
        let refuse = |why: &str| Err(InvalidPath(why.into()));
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text.len() > FETCH_PATH_BYTES_MAX {
            return refuse("it is too long");
        }
        let Some(rest) = text.strip_prefix('$') else { return Ok(Self::Dotted(text)) };
        if !rest.is_empty() && !rest.contains(['[', '*']) && !rest.contains("..") {
            return Ok(Self::Dotted(rest.strip_prefix('.').unwrap_or(rest)));
        }
        if let Some(why) = too_costly(rest) {
            return refuse(why);
        }
        match JsonPath::parse(text) {
            Ok(query) => Ok(Self::Query(Box::new(query))),
            Err(error) => refuse(&error.to_string()),
        }
    }

    /// What is there.
    pub(super) fn look_up<'b>(&self, document: &'b Json) -> Vec<&'b Json> {
        match self {
            Self::Dotted(names) => {
                let mut steps = names.split('.');
                steps.try_fold(document, step).into_iter().collect()
            }
            Self::Query(query) => query.query(document).all(),
        }
    }
}

/// One name down.
fn step<'a>(value: &'a Json, name: &str) -> Option<&'a Json> {
    match value {
        Json::Object(members) => members.get(name),
        Json::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    }
}

/// What makes a query cost more than a walk; `rest` is what follows its `$`.
fn too_costly(rest: &str) -> Option<&'static str> {
    let bare = without_strings(rest);
    let filter = bare.find('?').unwrap_or(bare.len());
    match () {
        () if bare.contains('$') => Some("`$` stands at the beginning only"),
        () if bare.matches("..").count() > 1 => Some("it may descend with `..` only once"),
        () if bare[filter..].contains("..") => Some("`..` cannot follow a filter"),
        () if bare.matches(',').count() > ALTERNATIVES_MAX => Some("it has too many alternatives"),
        () if bare.matches('?').count() > FILTERS_MAX => Some("it has too many filters"),
        () if bare[filter..].matches("&&").count() + bare[filter..].matches("||").count()
            > TERMS_MAX =>
        {
            Some("its filter compares too much")
        }
        () if bare[filter..].matches('*').count() > WILDCARDS_MAX => {
            Some("its filter looks too deep")
        }
        () if compares_with_found(&bare[filter..]) => {
            Some("a filter compares `@…` with a value, which stands on the right")
        }
        () => None,
    }
}

/// Whether `@…` stands on the right of a comparison: two parts of a document are compared whole, at
/// every level of it.
fn compares_with_found(filter: &str) -> bool {
    let is_sign = |c: char| matches!(c, '=' | '<' | '>');
    filter.match_indices(is_sign).any(|(at, _)| {
        filter[at..]
            .trim_start_matches(is_sign)
            .trim_start()
            .trim_start_matches('(')
            .starts_with('@')
    })
}

/// The query with its quoted strings left out.
fn without_strings(query: &str) -> String {
    let mut bare = String::new();
    let mut chars = query.chars();
    while let Some(c) = chars.next() {
        bare.push(c);
        if matches!(c, '\'' | '"') {
            while let Some(inner) = chars.next() {
                match inner {
                    '\\' => drop(chars.next()),
                    _ if inner == c => break,
                    _ => (),
                }
            }
        }
    }
    bare
}
