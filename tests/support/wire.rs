//! The peer's side of the wire, with no code of the engine's: a builder of frames right and wrong, and a decoder that
//! judges what we send (catalogue: SN-04, SN-07).

use framecast::proto::{OpCode, Role};

/// The key of RFC 6455 §5.7, which a peer that masks uses unless told otherwise.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Something that a peer of a role puts on the wire.
pub(crate) trait Wire {
    fn wire(&self, from: Role) -> Vec<u8>;
}

/// A frame, legal until told otherwise: FIN, empty, masked if a client sends it, its length in the shortest form.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    first: u8,
    payload: Vec<u8>,
    mask: Mask,
    form: Form,
    announced: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Mask {
    ByRole,
    Key([u8; 4]),
    None,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Shortest,
    TwoBytes,
    EightBytes,
}

pub(crate) fn frame(opcode: OpCode) -> Frame {
    raw_frame(opcode as u8)
}

/// A frame with any four bits for an opcode.
pub(crate) fn raw_frame(opcode: u8) -> Frame {
    Frame {
        first: 0x80 | opcode,
        payload: Vec::new(),
        mask: Mask::ByRole,
        form: Form::Shortest,
        announced: None,
    }
}

/// A Close with a code and no reason.
pub(crate) fn close_frame(code: u16) -> Frame {
    frame(OpCode::Close).payload(code.to_be_bytes())
}

impl Frame {
    pub(crate) fn fin(mut self, fin: bool) -> Self {
        self.first = self.first & 0x7f | u8::from(fin) << 7;
        self
    }

    /// RSV1 is 4, RSV2 is 2, RSV3 is 1.
    pub(crate) fn rsv(mut self, bits: u8) -> Self {
        self.first = self.first & 0x8f | bits << 4;
        self
    }

    pub(crate) fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = payload.as_ref().to_vec();
        self
    }

    pub(crate) fn masked(mut self, key: [u8; 4]) -> Self {
        self.mask = Mask::Key(key);
        self
    }

    pub(crate) fn unmasked(mut self) -> Self {
        self.mask = Mask::None;
        self
    }

    /// The length in the form of 126, whatever it is.
    pub(crate) fn in_two_bytes(mut self) -> Self {
        self.form = Form::TwoBytes;
        self
    }

    /// The length in the form of 127, whatever it is.
    pub(crate) fn in_eight_bytes(mut self) -> Self {
        self.form = Form::EightBytes;
        self
    }

    /// A header that promises `len` bytes, whatever follows.
    pub(crate) fn announcing(mut self, len: u64) -> Self {
        self.announced = Some(len);
        self
    }
}

impl Wire for Frame {
    fn wire(&self, from: Role) -> Vec<u8> {
        let key = match self.mask {
            Mask::ByRole => (from == Role::Client).then_some(KEY),
            Mask::Key(key) => Some(key),
            Mask::None => None,
        };
        let bit = if key.is_some() { 0x80 } else { 0 };
        let len = self.announced.unwrap_or(self.payload.len() as u64);
        let mut wire = vec![self.first];
        match (self.form, len) {
            (Form::Shortest, 0..=125) => wire.push(bit | len as u8),
            (Form::TwoBytes, _) | (Form::Shortest, 126..=0xffff) => {
                wire.push(bit | 126);
                wire.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                wire.push(bit | 127);
                wire.extend_from_slice(&len.to_be_bytes());
            }
        }
        wire.extend_from_slice(key.as_ref().map_or(&[][..], |key| key));
        let key = key.unwrap_or_default();
        wire.extend(self.payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
        wire
    }
}

impl Wire for &[u8] {
    fn wire(&self, _: Role) -> Vec<u8> {
        self.to_vec()
    }
}

impl Wire for Vec<u8> {
    fn wire(&self, _: Role) -> Vec<u8> {
        self.clone()
    }
}

impl Wire for &Vec<u8> {
    fn wire(&self, _: Role) -> Vec<u8> {
        (*self).clone()
    }
}

impl Wire for Vec<Frame> {
    fn wire(&self, from: Role) -> Vec<u8> {
        self.iter().flat_map(|frame| frame.wire(from)).collect()
    }
}

impl Wire for &Frame {
    fn wire(&self, from: Role) -> Vec<u8> {
        (*self).wire(from)
    }
}

impl Wire for &[Frame] {
    fn wire(&self, from: Role) -> Vec<u8> {
        self.iter().flat_map(|frame| frame.wire(from)).collect()
    }
}

impl<const N: usize> Wire for [Frame; N] {
    fn wire(&self, from: Role) -> Vec<u8> {
        self.as_slice().wire(from)
    }
}

/// A frame that we wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A whole message with RSV1 set, and its payload as it is on the wire.
    Compressed(OpCode, Vec<u8>),
    /// The code; none if the payload was empty. The reason is [`Strict::close_reason`].
    Close(Option<u16>),
}

/// Our Close with this code.
pub(crate) fn close(code: u16) -> Sent {
    Sent::Close(Some(code))
}

impl Sent {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(crate) fn binary(bytes: impl AsRef<[u8]>) -> Self {
        Self::Binary(bytes.as_ref().to_vec())
    }

    pub(crate) fn ping(bytes: impl AsRef<[u8]>) -> Self {
        Self::Ping(bytes.as_ref().to_vec())
    }

    pub(crate) fn pong(bytes: impl AsRef<[u8]>) -> Self {
        Self::Pong(bytes.as_ref().to_vec())
    }
}

/// Decodes what an endpoint of `role` writes, and panics at whatever it must never write.
pub(crate) struct Strict {
    role: Role,
    /// permessage-deflate was agreed on.
    pub(crate) compresses: bool,
    bytes: Vec<u8>,
    /// How much of `bytes` is decoded.
    seen: usize,
    frames: Vec<Sent>,
    closed: bool,
    reason: String,
}

impl Strict {
    pub(crate) fn new(role: Role) -> Self {
        let (bytes, frames, reason) = (Vec::new(), Vec::new(), String::new());
        Self { role, compresses: false, bytes, seen: 0, frames, closed: false, reason }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        assert!(bytes.is_empty() || !self.closed, "bytes after our Close: {bytes:02x?}");
        self.bytes.extend_from_slice(bytes);
        while let Some(len) = self.decode() {
            self.seen += len;
            assert!(!self.closed || self.seen == self.bytes.len(), "bytes after our Close");
        }
        if self.seen > self.bytes.len() / 2 {
            self.bytes.drain(..self.seen);
            self.seen = 0;
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.frames)
    }

    pub(crate) fn close_reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn is_inside_a_frame(&self) -> bool {
        self.bytes.len() > self.seen
    }

    /// One frame, if it is whole; its length on the wire.
    fn decode(&mut self) -> Option<usize> {
        let wire = &self.bytes[self.seen..];
        let (&[first, second], rest) = wire.split_first_chunk::<2>()?;
        let opcode = first & 0x0f;
        let compressed = self.compresses && matches!(opcode, 1 | 2) && first & 0x40 != 0;
        let expected = if compressed { 0xc0 } else { 0x80 };
        assert_eq!(first & 0xf0, expected, "FIN is set and no reserved bit: {first:#04x}");
        let masked = second & 0x80 != 0;
        assert_eq!(masked, self.role == Role::Client, "a client masks, a server never does");
        let (len, header) = match second & 0x7f {
            126 => {
                let len = u64::from(u16::from_be_bytes(*rest.first_chunk()?));
                assert!(len > 125, "{len} in two bytes");
                (len, 4)
            }
            127 => {
                let len = u64::from_be_bytes(*rest.first_chunk()?);
                assert!(len > 0xffff, "{len} in eight bytes");
                (len, 10)
            }
            len => (u64::from(len), 2),
        };
        assert!(opcode < 8 || len <= 125, "a control frame of {len} bytes");
        let (key, header) =
            if masked { (*wire.get(header..)?.first_chunk::<4>()?, header + 4) } else { ([0; 4], header) };
        let len = header + usize::try_from(len).expect("we hold what we send");
        let payload = wire.get(header..len)?;
        let payload: Vec<u8> = payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
        let sent = match opcode {
            1 if compressed => Sent::Compressed(OpCode::Text, payload),
            2 if compressed => Sent::Compressed(OpCode::Binary, payload),
            1 => Sent::Text(String::from_utf8(payload).expect("text is UTF-8")),
            2 => Sent::Binary(payload),
            8 => self.close(&payload),
            9 => Sent::Ping(payload),
            10 => Sent::Pong(payload),
            _ => panic!("opcode {opcode}"),
        };
        self.frames.push(sent);
        Some(len)
    }

    fn close(&mut self, payload: &[u8]) -> Sent {
        assert!(!self.closed, "a second Close");
        self.closed = true;
        let Some((code, reason)) = payload.split_first_chunk() else {
            assert!(payload.is_empty(), "a Close with half a code");
            return Sent::Close(None);
        };
        let code = u16::from_be_bytes(*code);
        assert!(may_be_on_the_wire(code), "close code {code}");
        self.reason = std::str::from_utf8(reason).expect("a reason is UTF-8").to_owned();
        Sent::Close(Some(code))
    }
}

/// RFC 6455 §7.4 and IANA's registry, written down once more.
pub(crate) fn may_be_on_the_wire(code: u16) -> bool {
    match code {
        1004..=1006 => false,
        1000..=1014 => true,
        3000..=4999 => true,
        _ => false,
    }
}
