//! Text that a database cannot keep: U+0000 and halves of surrogate pairs.
//!
//! JSON can spell both with escapes, PostgreSQL's `text` can hold neither, and values that pass
//! through unread would carry them to a peer's parser. So a frame that has one is refused whole.

/// Whether `frame`, which is JSON, spells U+0000 or a lone surrogate somewhere.
pub fn has_unstorable(frame: &str) -> bool {
    let bytes = frame.as_bytes();
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|&b| b == b'\\') {
        at += found + 1;
        match unit(bytes, at) {
            Some(0) => return true,
            Some(0xD800..=0xDBFF) => {
                let low = (bytes.get(at + 5) == Some(&b'\\')).then(|| unit(bytes, at + 6));
                if !matches!(low.flatten(), Some(0xDC00..=0xDFFF)) {
                    return true;
                }
                at += 11;
            }
            Some(0xDC00..=0xDFFF) => return true,
            Some(_) => at += 5,
            None => at += 1,
        }
        if at >= bytes.len() {
            break;
        }
    }
    false
}

/// The code unit that `uXXXX` at `at` spells.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 5)?.strip_prefix(b"u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::has_unstorable;

    #[test]
    fn finds_zero_and_lone_surrogates_only() {
        for bad in [r#""\u0000""#, r#""a\\\u0000""#, r#""\ud800""#, r#""\uD83D\n""#, r#""\udc00x""#]
        {
            assert!(has_unstorable(bad), "{bad}");
        }
        for good in [r#""\\u0000""#, r#""\ud83d\ude00""#, r#""\n\"""#, r#""\u00e9""#, "{}", r#""\"#]
        {
            assert!(!has_unstorable(good), "{good}");
        }
    }
}
