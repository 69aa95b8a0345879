//! What is taken back, and what comes in between, wherever a write has stopped.

use super::*;

/// A frame, and how it comes into the outbox.
#[derive(Clone, Copy, Debug)]
enum How {
    /// Encoded before, and shared.
    Encoded,
    /// A header of our own, and a payload that is shared if it is large.
    Owned,
    Borrowed,
}

/// Small and large, so that all ways of holding a frame are next to each other.
const FRAMES: [(How, usize); 9] = [
    (How::Encoded, 10),
    (How::Owned, SPLICE_MIN),
    (How::Encoded, SPLICE_MIN),
    (How::Encoded, SPLICE_MIN + 7),
    (How::Borrowed, SPLICE_MIN + 100),
    (How::Owned, 3),
    (How::Encoded, 0),
    (How::Owned, SPLICE_MIN + 1),
    (How::Borrowed, 126),
];

/// A frame that no other one is like.
struct Sample {
    how: How,
    payload: Bytes,
    wire: Bytes,
}

impl Sample {
    fn new(at: usize, (how, len): (How, usize)) -> Self {
        let payload: Vec<u8> = (0..len).map(|byte| (at * 31 + byte * 7 + byte / 256) as u8).collect();
        let wire = [&header(OpCode::Binary, false, len, None).encode()[..], &payload].concat();
        Self { how, payload: payload.into(), wire: wire.into() }
    }

    fn push(&self, outbox: &mut Outbox) {
        match self.how {
            How::Encoded => outbox.push_encoded(&self.wire),
            How::Owned => outbox.push(OpCode::Binary, Body::Owned(self.payload.clone()), None),
            How::Borrowed => outbox.push(OpCode::Binary, Body::Borrowed(&self.payload), None),
        }
    }
}

fn samples() -> Vec<Sample> {
    FRAMES.iter().enumerate().map(|(at, frame)| Sample::new(at, *frame)).collect()
}

fn full(samples: &[Sample]) -> Outbox {
    let mut outbox = Outbox::default();
    samples.iter().for_each(|sample| sample.push(&mut outbox));
    outbox
}

/// Whether the wire has these frames, and nothing else.
fn is<'f>(mut wire: &[u8], frames: impl IntoIterator<Item = &'f [u8]>) -> bool {
    frames.into_iter().all(|frame| {
        let rest = wire.strip_prefix(frame);
        wire = rest.unwrap_or(wire);
        rest.is_some()
    }) && wire.is_empty()
}

/// Writes up to so many bytes.
fn write(outbox: &mut Outbox, mut bytes: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    while bytes > 0 {
        outbox.stage(|| None);
        let slices = outbox.slices();
        let from = wire.len();
        for slice in slices.iter() {
            wire.extend_from_slice(&slice[..slice.len().min(bytes - (wire.len() - from))]);
        }
        let written = wire.len() - from;
        if written == 0 {
            break;
        }
        outbox.wrote(written);
        bytes -= written;
    }
    wire
}

/// Of those that have not begun any number can be taken back, but one stays; the others leave untouched, and what comes next behind them.
///
/// catalogue: ZC-14
#[test]
fn what_is_taken_back_leaves_the_stream_whole_wherever_the_write_has_stopped() {
    let samples = samples();
    let next = [Sample::new(20, (How::Encoded, SPLICE_MIN + 9)), Sample::new(21, (How::Owned, 5))];
    let ends: Vec<usize> = samples
        .iter()
        .scan(0, |end, sample| {
            *end += sample.wire.len();
            Some(*end)
        })
        .collect();
    let total = ends[ends.len() - 1];
    for written in 0..=total {
        for retracted in [written % 10, usize::MAX] {
            let mut outbox = full(&samples);
            let mut wire = write(&mut outbox, written);
            let left = ends.iter().filter(|end| **end > written).count();
            let expected = retracted.min(left.saturating_sub(1));
            assert_eq!(outbox.retract(retracted), expected, "{left} left after {written} bytes");
            let kept = samples.len() - expected;
            assert_eq!(outbox.queued_messages(), left - expected);
            assert_eq!(outbox.queued_bytes(), ends[kept - 1] - written);
            next.iter().for_each(|sample| sample.push(&mut outbox));
            wire.extend(write(&mut outbox, usize::MAX));
            let frames = samples[..kept].iter().chain(&next).map(|sample| &*sample.wire);
            assert!(is(&wire, frames), "{retracted} taken back after {written} bytes");
            assert!(outbox.is_empty());
        }
    }
}

/// RFC 6455 §5.5 · catalogue: ZC-16
#[test]
fn a_pong_that_is_due_inside_a_frame_leaves_at_its_end() {
    let samples = samples();
    let total: usize = samples.iter().map(|sample| sample.wire.len()).sum();
    for written in 0..=total {
        let mut outbox = full(&samples);
        let mut wire = write(&mut outbox, written);
        outbox.push_pong(Control::new(b"hi").expect("it is short"), 16);
        // Taking back has nothing to do with it.
        let kept = samples.len() - outbox.retract(written % 3);
        wire.extend(write(&mut outbox, usize::MAX));
        let mut frames: Vec<&[u8]> = samples[..kept].iter().map(|sample| &*sample.wire).collect();
        let mut end = 0;
        let begun = frames.iter().take_while(|frame| {
            let begins = end;
            end += frame.len();
            begins < written
        });
        frames.insert(begun.count(), &[0x8a, 2, b'h', b'i']);
        assert!(is(&wire, frames), "after {written} bytes");
    }
}

/// More than one write takes, of which the kernel's own limit is 1,024.
///
/// catalogue: ZC-15
#[test]
fn more_frames_than_one_write_takes_leave_in_order() {
    let samples: Vec<_> = (0..3000).map(|at| Sample::new(at, (How::Encoded, SPLICE_MIN + at % 3))).collect();
    for retracted in [0, 1000, 2999] {
        let mut outbox = full(&samples);
        outbox.stage(|| None);
        assert_eq!(outbox.slices().len(), SLICES_MAX);
        assert_eq!(outbox.retract(retracted), retracted);
        let wire = write(&mut outbox, usize::MAX);
        assert!(is(&wire, samples[..3000 - retracted].iter().map(|sample| &*sample.wire)));
        assert!(outbox.is_empty());
    }
}

/// What is shared is not copied, and let go of once it is written.
///
/// catalogue: ZC-13
#[test]
fn a_shared_frame_is_the_same_memory_and_is_let_go_of() {
    let frame: Bytes = vec![0x82; 5000].into();
    let mut outboxes: Vec<Outbox> = (0..4).map(|_| Outbox::default()).collect();
    for outbox in &mut outboxes {
        outbox.push_encoded(&frame);
        outbox.push_encoded(&frame);
        assert!(outbox.slices().iter().all(|slice| slice.as_ptr() == frame.as_ptr()));
    }
    assert!(!frame.is_unique());
    assert_eq!(write(&mut outboxes[0], usize::MAX).len(), 10_000);
    write(&mut outboxes[1], 7000);
    drop(outboxes.remove(1));
    assert_eq!(outboxes[1].retract(1), 1);
    write(&mut outboxes[1], usize::MAX);
    drop(outboxes.pop());
    assert!(frame.is_unique(), "written, dropped in the middle, taken back, dropped");
}
