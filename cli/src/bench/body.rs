//! The text of a message: of which flow it is, which one, when it was due, and a known filling.

/// Where the filling begins: flow (8), number (16) and moment (16), in hex.
pub const HEAD_BYTES: usize = 40;

/// The filling begins anew at each of these, so that two messages in a row differ.
const PATTERN: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

/// Makes and checks texts of one length.
#[derive(Debug)]
pub struct Body {
    filling: String,
    bytes: usize,
}

/// What a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// From whom to whom.
    pub flow: u32,
    /// Which one of the flow, from 0 on.
    pub number: u64,
    /// When it was due, in nanoseconds of the course.
    pub due_ns: u64,
}

impl Body {
    /// Texts of this many bytes, at least [`HEAD_BYTES`].
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.max(HEAD_BYTES);
        let filling = PATTERN.repeat((bytes - HEAD_BYTES) / PATTERN.len() + 2);
        Self { filling, bytes }
    }

    /// The text.
    pub fn text(&self, head: Head) -> String {
        use std::fmt::Write;
        let mut text = String::with_capacity(self.bytes);
        let Head { flow, number, due_ns } = head;
        write!(text, "{flow:08x}{number:016x}{due_ns:016x}").expect("a string takes everything");
        text.push_str(self.filling(number));
        text
    }

    /// Reads a text; nothing when it is not one that [`Body::text`] made.
    pub fn read(&self, text: &str) -> Option<Head> {
        let number = |from, to| u64::from_str_radix(text.get(from..to)?, 16).ok();
        let flow = u32::try_from(number(0, 8)?).ok()?;
        let head = Head { flow, number: number(8, 24)?, due_ns: number(24, HEAD_BYTES)? };
        (text[HEAD_BYTES..] == *self.filling(head.number)).then_some(head)
    }

    fn filling(&self, number: u64) -> &str {
        let from = usize::try_from(number % PATTERN.len() as u64).expect("it is below 64");
        &self.filling[from..from + self.bytes - HEAD_BYTES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was_made_and_a_changed_one_is_not() {
        for bytes in [HEAD_BYTES, 41, 250, 10_000] {
            let body = Body::new(bytes);
            for number in [0, 1, 63, 64, u64::MAX] {
                let head = Head { flow: 7, number, due_ns: 12_345 };
                let text = body.text(head);
                assert_eq!((text.len(), body.read(&text)), (bytes, Some(head)));
                assert_eq!(body.read(&text[1..]), None);
                assert_eq!(body.read(&format!("{text}x")), None);
            }
        }
        let text = Body::new(50).text(Head { flow: 0, number: 0, due_ns: 0 });
        assert_eq!(Body::new(50).read(&text.replace('9', "8")), None);
    }
}
