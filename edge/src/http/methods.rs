//! Which methods each route takes, as the document has it: said with every 405.

use poem::http::HeaderValue;
use serde_json::{Map, Value};

/// The routes of the document.
#[derive(Debug)]
pub struct Methods(Vec<Route>);

#[derive(Debug)]
struct Route {
    /// The parts of its path; `None` where any text stands.
    parts: Vec<Option<String>>,
    methods: HeaderValue,
}

impl Methods {
    /// Reads the document.
    pub fn of(document: &str) -> Self {
        let document: Value = serde_json::from_str(document).expect("it was written as JSON");
        let paths = document["paths"].as_object().into_iter().flat_map(Map::iter);
        let mut routes: Vec<Route> = paths.filter_map(|(path, it)| Route::of(path, it)).collect();
        // Where two suit a path, the one with fewer gaps is meant.
        routes.sort_by_key(|route| route.parts.iter().filter(|part| part.is_none()).count());
        Self(routes)
    }

    /// The methods of the route that a path is of.
    pub fn at(&self, path: &str) -> Option<&HeaderValue> {
        let is_it = |route: &&Route| {
            let mut parts = path.split('/');
            let suits = route.parts.iter().all(|part| match (part, parts.next()) {
                (Some(wanted), Some(part)) => wanted == part,
                (None, part) => part.is_some(),
                (Some(_), None) => false,
            });
            suits && parts.next().is_none()
        };
        self.0.iter().find(is_it).map(|route| &route.methods)
    }
}

impl Route {
    fn of(path: &str, methods: &Value) -> Option<Self> {
        let parts = path.split('/').map(|part| (!part.starts_with('{')).then(|| part.to_owned()));
        let methods: Vec<String> =
            methods.as_object()?.keys().map(|method| method.to_ascii_uppercase()).collect();
        let methods = HeaderValue::try_from(methods.join(", ")).ok()?;
        Some(Self { parts: parts.collect(), methods })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_methods_of_the_route_that_suits_it_best() {
        let document = r#"{"paths": {"/a/{b}": {"get": {}, "delete": {}},
                                     "/a/next": {"post": {}}, "/a": {"get": {}}}}"#;
        let methods = Methods::of(document);
        let at = |path| methods.at(path).map(|it| it.to_str().unwrap());

        assert_eq!((at("/a"), at("/a/next")), (Some("GET"), Some("POST")));
        assert_eq!(at("/a/x"), Some("DELETE, GET"));
        assert_eq!((at("/b"), at("/a/x/y"), at("/")), (None, None, None));
    }
}
