//! Messages that wait for the application.
//!
//! They change hands in batches: whoever receives takes all that there are under one lock, and tells when they are used up.
//! Until then they count, so that the limits hold however slowly they are looked at.
//!
//! Small messages wait one behind the other in a buffer, and become messages of their own when they are received: thousands
//! of them cost their bytes, and the allocator is asked for one just after it got one back.

use std::collections::VecDeque;

use super::lent::with_lent;
use crate::proto::{Config, Message, Payload, Text, Utf8Bytes};

#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// None: nothing waits.
    queue: Option<Box<Queue>>,
    /// What the reader has, and has not used up. A count that does not fit is as large as it can be.
    handed_messages: u32,
    handed_bytes: u32,
}

/// What a reader has taken of an [`Inbox`].
#[derive(Debug, Default)]
pub(super) struct Batch(Option<Box<Queue>>);

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    messages: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The small messages' payloads, and how far they were received.
    texts: String,
    texts_taken: usize,
    binaries: Vec<u8>,
    binaries_taken: usize,
}

#[derive(Debug)]
enum Entry {
    /// The next so many bytes of `texts`,
    Text(usize),
    /// of `binaries`.
    Binary(usize),
    Own(Message),
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_none()
    }

    /// Whether another read may be asked for.
    pub(super) fn has_room(&self, config: &Config) -> bool {
        let Size { messages, bytes } = self.queue.as_ref().map_or_else(Size::default, |queue| queue.size());
        messages + (self.handed_messages as usize) < config.inbound_messages_max
            && bytes + (self.handed_bytes as usize) < config.inbound_bytes_max
    }

    #[inline]
    pub(super) fn push_text(&mut self, text: Text<'_>, spare: &mut Queues) {
        let queue = self.queue.get_or_insert_with(|| spare.borrow());
        queue.bytes += text.as_str().len();
        queue.entries.push_back(match text {
            Text::Borrowed(text) if text.len() <= SMALL_MAX => {
                queue.texts.push_str(text);
                Entry::Text(text.len())
            }
            text => Entry::Own(Message::Text(text.into_bytes())),
        });
    }

    #[inline]
    pub(super) fn push_binary(&mut self, payload: Payload<'_>, spare: &mut Queues) {
        let queue = self.queue.get_or_insert_with(|| spare.borrow());
        queue.bytes += payload.len();
        queue.entries.push_back(match payload {
            Payload::Borrowed(payload) if payload.len() <= SMALL_MAX => {
                queue.binaries.extend_from_slice(payload);
                Entry::Binary(payload.len())
            }
            payload => Entry::Own(Message::Binary(payload.into_bytes())),
        });
    }

    /// Hands over all that there is, in exchange for a batch that is used up.
    pub(super) fn hand_over(&mut self, batch: &mut Batch) {
        batch.give_back();
        batch.0 = self.queue.take();
        let size = batch.0.as_ref().map_or_else(Size::default, |queue| queue.size());
        self.handed_messages = u32::try_from(size.messages).unwrap_or(u32::MAX);
        self.handed_bytes = u32::try_from(size.bytes).unwrap_or(u32::MAX);
    }

    /// The batch that was handed over is used up.
    pub(super) fn used_up(&mut self) {
        self.handed_messages = 0;
        self.handed_bytes = 0;
    }
}

impl Batch {
    /// The next message, and whether it was the last.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<(Message, bool)> {
        let queue = self.0.as_mut()?;
        let message = queue.pop()?;
        Some((message, queue.entries.is_empty()))
    }

    /// Gives its room back to the thread: an idle connection has none.
    pub(super) fn give_back(&mut self) {
        if let Some(queue) = self.0.take() {
            with_lent(|lent| lent.queues.give_back(queue));
        }
    }
}

impl Queue {
    fn size(&self) -> Size {
        Size { messages: self.entries.len(), bytes: self.bytes }
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<Message> {
        Some(match self.entries.pop_front()? {
            Entry::Text(len) => {
                let start = self.texts_taken;
                self.texts_taken += len;
                Message::Text(Utf8Bytes::from(&self.texts[start..start + len]))
            }
            Entry::Binary(len) => {
                let start = self.binaries_taken;
                self.binaries_taken += len;
                Message::Binary(bytes::Bytes::copy_from_slice(&self.binaries[start..start + len]))
            }
            Entry::Own(message) => message,
        })
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
        self.texts.clear();
        self.texts_taken = 0;
        self.binaries.clear();
        self.binaries_taken = 0;
    }

    /// Whether its room is worth keeping.
    fn is_modest(&self) -> bool {
        self.entries.capacity() <= KEPT_ENTRIES_MAX
            && self.texts.capacity() <= KEPT_BYTES_MAX
            && self.binaries.capacity() <= KEPT_BYTES_MAX
    }
}

/// Spare queues of a thread, with the room they had: a connection that is not idle for long would allocate it again.
#[derive(Debug, Default)]
pub(super) struct Queues(#[expect(clippy::vec_box, reason = "the boxes are what is lent")] Vec<Box<Queue>>);

impl Queues {
    fn borrow(&mut self) -> Box<Queue> {
        self.0.pop().unwrap_or_default()
    }

    fn give_back(&mut self, mut queue: Box<Queue>) {
        if self.0.len() < SPARE_MAX && queue.is_modest() {
            queue.clear();
            self.0.push(queue);
        }
    }
}

/// Payloads up to here wait in a queue's buffer: above, a second copy costs more than the allocator's longer way.
const SMALL_MAX: usize = 256;
/// Spare queues a thread keeps,
const SPARE_MAX: usize = 32;
/// each with room for this many messages at most,
const KEPT_ENTRIES_MAX: usize = 4 << 10;
/// and for so many bytes of small ones, of either kind.
const KEPT_BYTES_MAX: usize = 64 << 10;
