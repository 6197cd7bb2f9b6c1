//! What it answers peers that ask for files (2.7): whatever is below its working directory.

use std::{fs, io::ErrorKind, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

const FILE_BYTES_MAX: u64 = 1_048_576;
const ENTRIES_MAX: usize = 500;
const DEPTH_MAX: usize = 2;

/// The answer to a peer's question; `None` when the frame is none.
pub fn answer(folder: &Path, asked: &Value) -> Option<Value> {
    let is_file = match asked["type"].as_str()? {
        "peer_file_request_forward" => true,
        "peer_dir_request_forward" => false,
        _ => return None,
    };
    let (kind, field, found) = match is_file {
        true => ("peer_file_response", "filePath", "content"),
        false => ("peer_dir_response", "dirPath", "entries"),
    };
    let path = asked[field].as_str().unwrap_or_default();
    let said = match is_file {
        true => read(folder, path).map(Value::from),
        false => list(folder, path, asked["pattern"].as_str()).map(Value::from),
    };
    let mut answer = json!({"type": kind, "requesterPubkey": asked["requesterPubkey"]});
    answer[field] = json!(path);
    match said {
        Ok(value) => answer[found] = value,
        Err(error) => answer["error"] = json!(error),
    }
    if let Some(req_id) = asked.get("_reqId") {
        answer["_reqId"] = req_id.clone();
    }
    Some(answer)
}

fn read(folder: &Path, path: &str) -> Result<String, String> {
    if path.contains("..") {
        return Err("path traversal not allowed".to_owned());
    }
    let path = folder.join(path);
    if !path.starts_with(folder) {
        return Err("file outside shared directories".to_owned());
    }
    let about = fs::metadata(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "file not found".to_owned(),
        _ => format!("read error: {error}"),
    })?;
    match about.len() {
        _ if !about.is_file() => Err("not a file".to_owned()),
        n if n > FILE_BYTES_MAX => Err(format!("file too large ({n} bytes, max {FILE_BYTES_MAX})")),
        _ => fs::read(&path).map(|it| STANDARD.encode(it)).map_err(|e| format!("read error: {e}")),
    }
}

fn list(folder: &Path, path: &str, pattern: Option<&str>) -> Result<Vec<String>, String> {
    if path.contains("..") {
        return Err("path traversal not allowed".to_owned());
    }
    let path = folder.join(path);
    if !path.starts_with(folder) {
        return Err("directory outside shared directories".to_owned());
    }
    match fs::metadata(&path) {
        Ok(about) if about.is_dir() => (),
        Ok(_) => return Err("not a directory".to_owned()),
        Err(_) => return Err("directory not found".to_owned()),
    }
    let mut found = Vec::new();
    walk(&path, "", 0, pattern, &mut found);
    found.sort();
    found.truncate(ENTRIES_MAX);
    Ok(found)
}

fn walk(at: &Path, above: &str, depth: usize, pattern: Option<&str>, found: &mut Vec<String>) {
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let is_dir = entry.path().is_dir();
        let shown = format!("{above}{name}{}", if is_dir { "/" } else { "" });
        if pattern.is_none_or(|pattern| is_like(&name.to_lowercase(), &pattern.to_lowercase())) {
            found.push(shown.clone());
        }
        if is_dir && depth < DEPTH_MAX {
            walk(&entry.path(), &shown, depth + 1, pattern, found);
        }
    }
}

/// Whether the pattern, of letters, `*` and `?`, is anywhere in the name.
fn is_like(name: &str, pattern: &str) -> bool {
    fn begins(name: &[char], pattern: &[char]) -> bool {
        match pattern {
            [] => true,
            ['*', rest @ ..] => (0..=name.len()).any(|n| begins(&name[n..], rest)),
            [one, rest @ ..] => {
                name.first().is_some_and(|c| *one == '?' || c == one) && begins(&name[1..], rest)
            }
        }
    }
    let (name, pattern): (Vec<char>, Vec<char>) =
        (name.chars().collect(), pattern.chars().collect());
    (0..=name.len()).any(|n| begins(&name[n..], &pattern))
}
