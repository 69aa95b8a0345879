//! Reading the head of an opening handshake, in either role.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Poll, ready},
};

use ::tokio::io::{AsyncRead, ReadBuf};

use super::lent::{COMPRESSED_READ_BYTES, with_lent};

/// Reads until `receive` has what it wants or an error; returns that, and the bytes read behind it. It holds no buffer
/// while it waits, so that a silent peer costs none.
///
/// # Errors
/// The stream's; `UnexpectedEof` at its end.
pub(super) async fn read_head<S, T, E>(
    stream: &mut S,
    mut receive: impl FnMut(&[u8]) -> Result<Option<(T, usize)>, E>,
) -> io::Result<Result<(T, Vec<u8>), E>>
where
    S: AsyncRead + Unpin,
{
    poll_fn(|cx| {
        loop {
            let head = with_lent(|lent| {
                // What follows the head may be compressed.
                let mut buffer = ReadBuf::new(lent.for_read(COMPRESSED_READ_BYTES).0);
                ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
                let input = buffer.filled();
                if input.is_empty() {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof)));
                }
                let head = receive(input).transpose();
                Poll::Ready(Ok(head.map(|head| head.map(|(head, used)| (head, input[used..].to_vec())))))
            });
            if let Some(head) = ready!(head)? {
                return Poll::Ready(Ok(head));
            }
        }
    })
    .await
}
