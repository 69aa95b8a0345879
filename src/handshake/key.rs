//! `Sec-WebSocket-Key` and the `Sec-WebSocket-Accept` that answers it (RFC 6455 §1.3, §4.2.2 item 5.4).

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// Draws a key for one attempt to connect: 16 bytes from the operating system's generator (RFC 6455 §4.1 item 7).
///
/// # Errors
/// The operating system has no randomness to give.
pub fn random_key() -> io::Result<[u8; 16]> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(key)
}

/// A key as it stands in the field.
pub(super) fn encode_key(key: [u8; 16]) -> String {
    STANDARD.encode(key)
}

/// Whether `value` is the base64 of 16 bytes: the standard alphabet, padded, no bits set beyond the last byte.
///
/// RFC 6455 wants it only of that length; a key with stray bits has come through something that did not understand it.
pub(super) fn is_key(value: &[u8]) -> bool {
    // 24 characters are 16, 17 or 18 bytes.
    let mut bytes = [0; 18];
    value.len() == 24 && STANDARD.decode_slice(value, &mut bytes) == Ok(16)
}

/// The value of `Sec-WebSocket-Accept` for a key as it stands in the field.
pub(super) fn accept_value(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// RFC 6455 §1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 §1.3.
    #[test]
    fn the_sample_nonce_has_its_accept_value() {
        let key = encode_key(*b"the sample nonce");
        assert_eq!(key, "dGhlIHNhbXBsZSBub25jZQ==");
        assert!(is_key(key.as_bytes()));
        assert_eq!(accept_value(key.as_bytes()), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
