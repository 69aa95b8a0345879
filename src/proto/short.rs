//! The frame that most frames are: a whole message of at most 125 bytes that lies whole in the input.
//!
//! It breaks no rule that its first two bytes do not show, so one look at them does for all. Whatever is anything else, if
//! only by a bit, is the [`receiver`](super::receiver)'s; both say the same of what both can read, as a test holds.

use super::{
    config::Config,
    frame::{FIN, MASKED, OpCode, Role},
    mask::mask,
};

/// Where such a message lies in the input.
#[derive(Clone, Copy)]
pub(super) struct Short {
    pub(super) opcode: OpCode,
    header_len: usize,
    pub(super) frame_len: usize,
}

impl Short {
    /// The short message at the front of `input`.
    #[inline]
    pub(super) fn find(input: &[u8], role: Role, config: &Config) -> Option<Self> {
        let [first, second, ..] = *input else { return None };
        let (opcode, is_taken) = match first {
            FIN_TEXT => (OpCode::Text, config.text),
            FIN_BINARY => (OpCode::Binary, config.binary),
            _ => return None,
        };
        // A mask bit that does not fit the role makes a length that is none.
        let (len, header_len) = match role {
            Role::Server => (second.wrapping_sub(MASKED), 2 + KEY_LEN),
            Role::Client => (second, 2),
        };
        let frame_len = header_len + usize::from(len);
        let fits = len <= 125
            && frame_len <= input.len()
            && u64::from(len) <= config.message_bytes_max.min(config.frame_bytes_max);
        (fits && is_taken && !config.parts).then_some(Self { opcode, header_len, frame_len })
    }

    /// The payload, unmasked where it lies, of the frame that was found.
    #[inline]
    pub(super) fn payload(self, frame: &mut [u8]) -> &mut [u8] {
        let (header, payload) = frame.split_at_mut(self.header_len);
        if let [_, _, key @ ..] = header
            && let Ok(key) = <[u8; KEY_LEN]>::try_from(&*key)
        {
            mask(payload, key);
        }
        payload
    }
}

const FIN_TEXT: u8 = FIN | OpCode::Text as u8;
const FIN_BINARY: u8 = FIN | OpCode::Binary as u8;
const KEY_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::FrameHeader;

    proptest! {
        /// RFC 6455 §5.2 · catalogue: G-12
        #[test]
        fn what_is_found_is_what_the_parser_reads(
            first: u8, second: u8, key: [u8; 4], tail in 0usize..140, client: bool, limit in 0u64..200,
        ) {
            let role = if client { Role::Client } else { Role::Server };
            let config = Config::builder().message_bytes_max(limit).build().expect("any size is a size");
            let plain: Vec<u8> = (0..tail as u8).collect();
            let mut input = [&[first, second], &key[..if client { 0 } else { 4 }], &plain].concat();
            let Some(short) = Short::find(&input, role, &config) else { return Ok(()) };
            let (header, len) = FrameHeader::parse(&input, role).expect("breaks no rule").expect("is whole");
            prop_assert!(header.fin && !header.rsv1 && !header.opcode.is_control());
            prop_assert_eq!((short.opcode, short.frame_len), (header.opcode, len + header.payload_len as usize));
            prop_assert!(header.payload_len <= limit.min(125));
            let mut expected = plain[..header.payload_len as usize].to_vec();
            mask(&mut expected, header.mask.unwrap_or_default());
            prop_assert_eq!(short.payload(&mut input[..short.frame_len]), &expected[..]);
        }
    }
}
