//! What the messages say: every one different, so that an echo that is late, early or somebody else's is noticed.
//!
//! A message is a head that names the connection and its number there, then a piece of filler that begins elsewhere each
//! time. Nothing is kept of it: both ends of the comparison are made anew from the two numbers.

/// Makes the payloads, and holds echoes against them.
pub(super) struct Payloads {
    size: usize,
    text: bool,
    /// As long as a payload and [`FILLER_STARTS`] more, to begin at any of those.
    filler: Vec<u8>,
}

/// The head of one message, in a buffer that is long enough for either kind.
struct Head {
    bytes: [u8; HEAD_MAX],
    len: usize,
}

impl Payloads {
    pub(super) fn new(size: usize, text: bool) -> Self {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut noise = || {
            // xorshift: any noise does.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as usize
        };
        let mut filler = Vec::new();
        while filler.len() < size + FILLER_STARTS {
            if text {
                let (id, name, side) = (noise() % 100_000, NAMES[noise() % NAMES.len()], SIDES[noise() % 2]);
                let (euros, cents) = (noise() % 100, noise() % 100);
                let record =
                    format!("{{'id':{id},'symbol':'{name}','side':'{side}','price':{euros}.{cents:02}}},");
                filler.extend_from_slice(record.as_bytes());
            } else {
                filler.push(noise() as u8);
            }
        }
        filler.truncate(size + FILLER_STARTS);
        Self { size, text, filler }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn is_text(&self) -> bool {
        self.text
    }

    /// Replaces what is in `into` by message `number` of `connection`.
    #[inline]
    pub(super) fn write(&self, connection: u32, number: u64, into: &mut Vec<u8>) {
        let (head, filler, tail) = self.parts(connection, number);
        into.clear();
        into.extend_from_slice(&head.bytes[..head.len]);
        into.extend_from_slice(filler);
        into.extend_from_slice(tail);
    }

    /// Of text of 20 bytes and more: which connection it says that it is from, and which message there, both as far as 24 bits
    /// tell.
    #[inline]
    pub(super) fn stamp(&self, payload: &[u8]) -> Option<(u32, u64)> {
        let mut stamp = 0;
        for (at, digit) in payload.get(6..18)?.iter().enumerate() {
            stamp |= u64::from(char::from(*digit).to_digit(16)?) << (4 * at);
        }
        Some(((stamp >> 24) as u32, stamp & 0xff_ffff))
    }

    /// Whether `piece` is what message `number` of `connection` has from byte `at` on; the caller sees to the length.
    #[inline]
    pub(super) fn matches(&self, connection: u32, number: u64, at: usize, piece: &[u8]) -> bool {
        let (head, filler, tail) = self.parts(connection, number);
        let (mut at, mut piece) = (at, piece);
        for part in [&head.bytes[..head.len], filler, tail] {
            if at >= part.len() {
                at -= part.len();
                continue;
            }
            let len = piece.len().min(part.len() - at);
            if piece[..len] != part[at..at + len] {
                return false;
            }
            piece = &piece[len..];
            at = 0;
        }
        piece.is_empty()
    }

    /// The first byte of `piece` that is wrong: its place in the message, what it is, what it should be.
    pub(super) fn difference(
        &self,
        connection: u32,
        number: u64,
        at: usize,
        piece: &[u8],
    ) -> Option<(usize, u8, u8)> {
        let mut expected = Vec::new();
        self.write(connection, number, &mut expected);
        let pairs = piece.iter().zip(expected.get(at..)?);
        let first = pairs.enumerate().find(|(_, (got, wanted))| got != wanted);
        first.map(|(offset, (got, wanted))| (at + offset, *got, *wanted))
    }

    #[inline]
    fn parts(&self, connection: u32, number: u64) -> (Head, &[u8], &'static [u8]) {
        let (mut head, tail) = if self.text {
            text_head(connection, number, self.size)
        } else {
            (binary_head(connection, number), &b""[..])
        };
        head.len = head.len.min(self.size);
        let start = (number as usize).wrapping_mul(7).wrapping_add(connection as usize) % FILLER_STARTS;
        let len = self.size - head.len - tail.len();
        (head, &self.filler[start..start + len], tail)
    }
}

/// The low bytes first, and by turns, so that a payload of 2 bytes still tells both numbers.
#[inline]
fn binary_head(connection: u32, number: u64) -> Head {
    let (number, connection) = (number.to_le_bytes(), connection.to_le_bytes());
    let mut bytes = [0; HEAD_MAX];
    for at in 0..4 {
        bytes[2 * at] = number[at];
        bytes[2 * at + 1] = connection[at];
    }
    Head { bytes, len: 8 }
}

/// `{"n":"0123456789ab"}` in 20 bytes, with `,"t":"filler"` where there is room for it; only digits where there is none.
#[inline]
fn text_head(connection: u32, number: u64, size: usize) -> (Head, &'static [u8]) {
    let mut digits = [0; 12];
    let stamp = number & 0xff_ffff | u64::from(connection & 0xff_ffff) << 24;
    for (at, digit) in digits.iter_mut().enumerate() {
        // The low digits first, for the payloads that are cut.
        *digit = b"0123456789abcdef"[(stamp >> (4 * at)) as usize & 15];
    }
    let mut head = Head { bytes: [b' '; HEAD_MAX], len: HEAD_MAX };
    match size {
        0..20 => head.bytes[..12].copy_from_slice(&digits),
        _ => {
            head.bytes[..6].copy_from_slice(b"{\"n\":\"");
            head.bytes[6..18].copy_from_slice(&digits);
            head.bytes[18..20].copy_from_slice(b"\"}");
        }
    }
    if size <= HEAD_MAX {
        // What is longer than the object ends in blanks.
        return (head, b"");
    }
    head.bytes[18..26].copy_from_slice(b"\",\"t\":\"x");
    head.len = 26;
    (head, b"\"}")
}

/// The longest head: text that has no room for filler and its end.
const HEAD_MAX: usize = 27;
/// Where a message's filler may begin.
const FILLER_STARTS: usize = 1021;
/// Text is records of one kind, as an application's JSON is, so that it compresses as that does; with quotes that need no escape.
const NAMES: [&str; 4] = ["ALV", "BMW", "SAP", "SIE"];
const SIDES: [&str; 2] = ["buy", "sell"];

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(payloads: &Payloads, connection: u32, number: u64) -> Vec<u8> {
        let mut payload = Vec::new();
        payloads.write(connection, number, &mut payload);
        payload
    }

    #[test]
    fn every_size_is_met_and_compares_equal_in_pieces() {
        for text in [false, true] {
            for size in (0..80).chain([125, 126, 1024, 65_536]) {
                let payloads = Payloads::new(size, text);
                let bytes = payload(&payloads, 70_000, 12_345);
                assert_eq!(bytes.len(), size);
                for cut in (0..=size).filter(|cut| size < 200 || cut % 997 == 0) {
                    assert!(payloads.matches(70_000, 12_345, 0, &bytes[..cut]), "{size} {cut}");
                    assert!(payloads.matches(70_000, 12_345, cut, &bytes[cut..]), "{size} {cut}");
                }
                assert!(!payloads.matches(70_000, 12_345, size, b"x"), "longer than it was");
            }
        }
    }

    #[test]
    fn any_changed_byte_is_found() {
        for text in [false, true] {
            for size in [1, 19, 20, 27, 28, 40, 300] {
                let payloads = Payloads::new(size, text);
                for at in 0..size {
                    let mut bytes = payload(&payloads, 3, 9);
                    let wanted = bytes[at];
                    bytes[at] ^= 1;
                    assert!(!payloads.matches(3, 9, 0, &bytes));
                    assert_eq!(payloads.difference(3, 9, 0, &bytes), Some((at, wanted ^ 1, wanted)));
                }
            }
        }
    }

    #[test]
    fn neighbours_differ_in_their_first_two_bytes() {
        for text in [false, true] {
            let payloads = Payloads::new(2, text);
            for number in 0..1000 {
                assert_ne!(payload(&payloads, 5, number), payload(&payloads, 5, number + 1));
            }
        }
        let payloads = Payloads::new(20, false);
        assert_ne!(payload(&payloads, 5, 1), payload(&payloads, 6, 1));
    }

    #[test]
    fn text_is_json_once_there_is_room() {
        for size in (20..60).chain([1024]) {
            let text = String::from_utf8(payload(&Payloads::new(size, true), 0xabcdef, 0x123456));
            let json: serde_json::Value = serde_json::from_str(&text.expect("ASCII")).expect("JSON");
            assert_eq!(json["n"], "654321fedcba", "{size}");
        }
    }
}
