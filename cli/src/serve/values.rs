//! What the values of options are: one function for each kind, whether it comes from the command line, the environment or a file.

use framecast::{Deflate, handshake::OriginPolicy, proto::DeflateTermsError};
use framecast_hub::Proxies;

use crate::server;

/// Whether messages are compressed, and on which terms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compression(pub(super) Option<Deflate>);

pub(super) fn origin(text: &str) -> Result<String, String> {
    server::origin(text)
}

/// A lone `/` at its end is how browsers show it.
pub(super) fn public_url(text: &str) -> Result<String, String> {
    let origin = text.strip_suffix('/').unwrap_or(text);
    // The error quotes what was written, its `/` too.
    let policy = OriginPolicy::same_origin_as(origin).or_else(|_| OriginPolicy::same_origin_as(text));
    let _ = policy.map_err(|error| error.to_string())?;
    Ok(origin.to_owned())
}

pub(super) fn network(text: &str) -> Result<String, String> {
    let _ = Proxies::new([text]).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// `true` and `false` are what a file and the environment can say without parameters.
pub(super) fn deflate(text: &str) -> Result<Compression, DeflateTermsError> {
    match text {
        "false" => Ok(Compression(None)),
        "true" => Ok(Compression(Some(Deflate::default()))),
        params => server::deflate(params, Deflate::default()).map(|deflate| Compression(Some(deflate))),
    }
}

pub(super) fn whole(text: &str) -> Result<u32, String> {
    match text.parse::<u64>() {
        Ok(number) => u32::try_from(number).map_err(|_| format!("must be at most {}", u32::MAX)),
        Err(_) => Err("not a whole number".to_owned()),
    }
}

/// What may be more than 4 GiB.
pub(super) fn large(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "not a whole number".to_owned())
}

pub(super) fn one_or_more(text: &str) -> Result<u32, String> {
    match whole(text)? {
        0 => Err("must be at least 1".to_owned()),
        number => Ok(number),
    }
}

pub(super) fn threads(text: &str) -> Result<u16, String> {
    match u16::try_from(one_or_more(text)?) {
        Ok(threads) if threads <= THREADS_MAX => Ok(threads),
        _ => Err(format!("must be at most {THREADS_MAX}")),
    }
}

const THREADS_MAX: u16 = 1024;
