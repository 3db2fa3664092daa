//! The numbers that order things. Each has one meaning and its own type.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// The number before the first.
            pub const ZERO: Self = Self(0);

            /// The number `count` places on.
            ///
            /// # Panics
            /// Panics past `u64::MAX`, which no log reaches.
            #[must_use]
            pub const fn plus(self, count: u64) -> Self {
                match self.0.checked_add(count) {
                    Some(sum) => Self(sum),
                    None => panic!("number past u64::MAX"),
                }
            }

            /// The next number.
            #[must_use]
            pub const fn next(self) -> Self {
                self.plus(1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// An event's place in its stream: 1, 2, 3, no holes. 0 is a stream without events.
    StreamVersion
);
number!(
    /// An event's place in its namespace: 1, 2, 3, no holes, equal on every replica.
    Position
);
number!(
    /// A log entry's place in its Raft log.
    LogIndex
);
number!(
    /// A Raft term.
    Term
);
