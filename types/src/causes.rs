use std::error::Error;

/// An error with what is below it, which its own words leave out: the first alone names what was tried.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let (mut told, mut below) = (error.to_string(), error.source());
    while let Some(cause) = below {
        told = format!("{told}: {cause}");
        below = cause.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not read a")]
    struct Tried(#[source] io::Error);

    #[test]
    fn what_was_tried_and_why_it_failed_are_told() {
        assert_eq!(with_causes(&Tried(io::Error::other("no power"))), "could not read a: no power");
    }
}
