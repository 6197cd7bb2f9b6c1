//! `GET /test/clock`, `/test/flip` and `/test/html`: what the reference serves for watches to be
//! tried on. Only where the deployment asks for it, as `skein up` does.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use poem::{IntoResponse, Response, http::header, web};
use serde_json::json;

/// How often the page was asked for, so that it always differs.
static N_PAGES: AtomicU64 = AtomicU64::new(0);

/// The answer at one of the three.
pub fn answer(path: &str) -> Response {
    let now = Timestamp::now();
    let ms = now.as_millisecond();
    let mut response = match path {
        "/test/clock" => {
            web::Json(json!({"time": skein_sql::iso(now), "epoch": ms})).into_response()
        }
        "/test/flip" => {
            let [coin] = skein_crypto::random::<1>();
            let side = if coin < 128 { "heads" } else { "tails" };
            web::Json(json!({"value": side, "at": ms})).into_response()
        }
        _ => {
            let n = N_PAGES.fetch_add(1, Ordering::Relaxed) + 1;
            let page = format!(
                "<!doctype html>\n<title>Skein</title>\n<p>This page was asked for {n} times.</p>\n"
            );
            web::Html(page).into_response()
        }
    };
    let no_store = header::HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}
