//! Why a request failed, dug out of the many layers of an HTTP client's error.

use std::error::Error;
use std::io;

/// An error and its causes.
fn chain<'e>(first: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(first), |error| {
        let error: &'e (dyn Error + 'static) = *error;
        // The source of an io error is the source of what it wraps, and would pass that over.
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// The chain of causes from the first one that tells something.
pub(super) fn reason(error: &(dyn Error + 'static)) -> String {
    const EMPTY: [&str; 6] = [
        "builder error",
        "error sending request",
        "error decoding response body",
        "request or response body error",
        "error following redirect",
        "client error",
    ];
    let mut texts: Vec<String> = Vec::new();
    for text in chain(error).map(ToString::to_string) {
        let empty = EMPTY.iter().any(|empty| text.starts_with(empty));
        if !empty && !texts.iter().any(|before| before.contains(&text)) {
            texts.push(text);
        }
    }
    if texts.is_empty() {
        return error.to_string();
    }
    texts.join(": ")
}

/// Whether the server's certificate was refused, which no retry can help.
pub(super) fn is_certificate_problem(error: &reqwest::Error) -> bool {
    chain(error).any(|error| {
        matches!(
            error.downcast_ref(),
            Some(rustls::Error::InvalidCertificate(_))
        )
    })
}
