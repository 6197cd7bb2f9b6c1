//! Whether the messages of a flow come once and in the order of their numbers.

use std::collections::HashSet;

/// What has come of one flow.
#[derive(Debug, Default)]
pub struct Order {
    next: u64,
    skipped: HashSet<u64>,
}

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// When it should.
    InTurn,
    /// Before one that was sent earlier.
    Early,
    /// After one that was sent later, which was counted then.
    Late,
    /// Again.
    Again,
}

impl Order {
    /// Notes that this number has come.
    pub fn note(&mut self, number: u64) -> Came {
        if number < self.next {
            return if self.skipped.remove(&number) { Came::Late } else { Came::Again };
        }
        let came = if number == self.next { Came::InTurn } else { Came::Early };
        self.skipped.extend(self.next..number);
        self.next = number + 1;
        came
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_in_turn_early_late_or_there_again() {
        use Came::{Again, Early, InTurn, Late};
        let mut order = Order::default();

        let came = [0, 1, 4, 2, 2, 4, 5, 3].map(|number| order.note(number));

        assert_eq!(came, [InTurn, InTurn, Early, Late, Again, Again, InTurn, Late]);
    }
}
