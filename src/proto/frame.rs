//! Frame headers: 2 to 14 bytes, parsed and written (RFC 6455 §5.2).
//!
//! What one header can get wrong is found here. What depends on the frames before it (fragmentation, the meaning of RSV1,
//! limits) is the receiver's.

use super::error::ProtocolError;

/// Which end of the connection we are: it decides who masks (RFC 6455 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We connected: we mask, the peer does not.
    Client,
    /// We accepted: the peer masks, we do not.
    Server,
}

impl Role {
    /// The other end.
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What a frame is (RFC 6455 §5.2, §11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// The next frame of a message in fragments.
    Continuation = 0,
    /// The first frame of a text message.
    Text = 1,
    /// The first frame of a binary message.
    Binary = 2,
    /// The closing handshake.
    Close = 8,
    /// Asks for a pong with the same payload.
    Ping = 9,
    /// Answers a ping, or says that the peer is there.
    Pong = 10,
}

impl OpCode {
    /// The opcode of these four bits; `None` for a reserved one.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Close, ping and pong: at most 125 bytes, never in fragments (RFC 6455 §5.5).
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// A frame's header.
///
/// ```
/// use framecast::proto::{FrameHeader, OpCode, Role};
///
/// let (header, length) = FrameHeader::parse(&[0x81, 0x05, b'h'], Role::Client)?.expect("the header is whole");
/// assert_eq!((header.opcode, header.fin, header.payload_len, length), (OpCode::Text, true, 5, 2));
/// # Ok::<(), framecast::proto::ProtocolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The last frame of its message.
    pub fin: bool,
    /// RSV1, which permessage-deflate gives a meaning (RFC 7692 §6). Without it the receiver refuses the bit.
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: OpCode,
    /// The masking key, if the frame is masked.
    pub mask: Option<[u8; 4]>,
    /// The payload's length in bytes, up to 2^63 − 1.
    pub payload_len: u64,
    /// Whether the length is in its shortest form, as the RFC asks; a lenient receiver may look away.
    pub minimal: bool,
}

/// The longest header, in bytes.
pub const HEADER_BYTES_MAX: usize = 14;

impl FrameHeader {
    /// Parses the header at the front of `input`, sent by the peer of `role`; returns it and its own length in bytes, 2 to
    /// 14.
    ///
    /// `Ok(None)`: `input` ends inside the header; call again with the same bytes and more. The payload need not be there.
    /// A length that is not in its shortest form is no error here, as a lenient receiver may take it: see
    /// [`minimal`](Self::minimal).
    ///
    /// # Errors
    /// At the first byte that proves it: RSV2, RSV3 or a reserved opcode, a length with its top bit set (RFC 6455 §5.2), a
    /// control frame fragmented or longer than 125 bytes (§5.5), a mask bit that does not fit `role` (§5.1).
    #[inline]
    pub fn parse(input: &[u8], role: Role) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((&first, rest)) = input.split_first() else { return Ok(None) };
        let (fin, rsv1, opcode) = parse_first(first)?;
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        let masked = second & MASKED != 0;
        match role {
            Role::Server if !masked => return Err(ProtocolError::NotMasked),
            Role::Client if masked => return Err(ProtocolError::Masked),
            _ => {}
        }
        let short = second & !MASKED;
        if opcode.is_control() && short > 125 {
            return Err(ProtocolError::LongControl(opcode as u8));
        }
        let (payload_len, minimal, rest) = match short {
            126 => {
                let Some((bytes, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
                let len = u64::from(u16::from_be_bytes(*bytes));
                (len, len > 125, rest)
            }
            127 => {
                if rest.first().is_some_and(|byte| byte & 0x80 != 0) {
                    return Err(ProtocolError::LengthTopBit);
                }
                let Some((bytes, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
                let len = u64::from_be_bytes(*bytes);
                (len, len > 0xffff, rest)
            }
            len => (u64::from(len), true, rest),
        };
        let (mask, rest) = if masked {
            let Some((key, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            (Some(*key), rest)
        } else {
            (None, rest)
        };
        let header = Self { fin, rsv1, opcode, mask, payload_len, minimal };
        Ok(Some((header, input.len() - rest.len())))
    }

    pub(super) const fn first_byte(&self) -> u8 {
        self.opcode as u8 | if self.fin { FIN } else { 0 } | if self.rsv1 { RSV1 } else { 0 }
    }

    /// The header's bytes, its length in the shortest form whatever [`minimal`](Self::minimal) says.
    #[inline]
    pub fn encode(&self) -> HeaderBytes {
        let mut bytes = [0; HEADER_BYTES_MAX];
        bytes[0] = self.first_byte();
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        let mut len = match self.payload_len {
            short @ 0..=125 => {
                bytes[1] = masked | short as u8;
                2
            }
            medium @ 126..=0xffff => {
                bytes[1] = masked | 126;
                bytes[2..4].copy_from_slice(&(medium as u16).to_be_bytes());
                4
            }
            long => {
                bytes[1] = masked | 127;
                bytes[2..10].copy_from_slice(&long.to_be_bytes());
                10
            }
        };
        if let Some(key) = self.mask {
            bytes[len..len + 4].copy_from_slice(&key);
            len += 4;
        }
        HeaderBytes { bytes, len: len as u8 }
    }
}

/// A header as bytes; dereferences to them.
#[derive(Clone, Copy, Debug)]
pub struct HeaderBytes {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl std::ops::Deref for HeaderBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The three parts of a frame's first byte: FIN, RSV1, opcode.
#[inline]
pub(super) fn parse_first(first: u8) -> Result<(bool, bool, OpCode), ProtocolError> {
    if first & (RSV2 | RSV3) != 0 {
        return Err(ProtocolError::ReservedBits(first));
    }
    let opcode = OpCode::from_bits(first & 0x0f).ok_or(ProtocolError::ReservedOpCode(first & 0x0f))?;
    let fin = first & FIN != 0;
    if opcode.is_control() && !fin {
        return Err(ProtocolError::FragmentedControl(opcode as u8));
    }
    Ok((fin, first & RSV1 != 0, opcode))
}

pub(super) const FIN: u8 = 0x80;
pub(super) const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;
pub(super) const MASKED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opcodes() -> impl Strategy<Value = OpCode> {
        use OpCode::*;
        prop::sample::select(vec![Continuation, Text, Binary, Close, Ping, Pong])
    }

    proptest! {
        /// RFC 6455 §5.2
        #[test]
        fn what_is_encoded_is_parsed_back(
            opcode in opcodes(), fin: bool, rsv1: bool, key: [u8; 4], client: bool, len in 0..(1u64 << 63), shift in 0u32..63,
        ) {
            let payload_len = if opcode.is_control() { len % 126 } else { len >> shift };
            let role = if client { Role::Client } else { Role::Server };
            let header = FrameHeader {
                fin: fin || opcode.is_control(), rsv1, opcode, payload_len, minimal: true,
                mask: (role == Role::Server).then_some(key),
            };
            let bytes = header.encode();
            prop_assert_eq!(FrameHeader::parse(&bytes, role), Ok(Some((header, bytes.len()))));
            for cut in 0..bytes.len() {
                prop_assert_eq!(FrameHeader::parse(&bytes[..cut], role), Ok(None));
            }
        }
    }

    /// RFC 6455 §5.2 · catalogue: FR-26
    #[test]
    fn lengths_at_the_edges_have_their_exact_form() {
        let head = |payload_len| {
            let header = FrameHeader {
                fin: true,
                rsv1: false,
                opcode: OpCode::Binary,
                mask: None,
                payload_len,
                minimal: true,
            };
            header.encode().to_vec()
        };
        assert_eq!(head(0), [0x82, 0]);
        assert_eq!(head(125), [0x82, 125]);
        assert_eq!(head(126), [0x82, 126, 0, 126]);
        assert_eq!(head(65_535), [0x82, 126, 0xff, 0xff]);
        assert_eq!(head(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
