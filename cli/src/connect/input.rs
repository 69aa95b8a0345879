//! Lines of input: from the editor on a terminal, plain ones elsewhere, one in memory at a time.

use std::{future::pending, io};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Stdin},
    sync::mpsc,
};

pub(super) enum Input {
    /// What is typed. Its end is a person's: nothing more is waited for.
    Editor(mpsc::UnboundedReceiver<String>),
    Plain(Plain),
}

/// Standard input, in lines of at most so many bytes.
pub(super) struct Plain {
    stdin: BufReader<Stdin>,
    line: Vec<u8>,
    bytes_max: usize,
}

impl Input {
    pub(super) fn plain(bytes_max: u32) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Self::Plain(Plain { stdin: BufReader::new(tokio::io::stdin()), line: Vec::new(), bytes_max })
    }

    /// Whether a person can mend what was wrong with a line.
    pub(super) fn is_editor(&self) -> bool {
        matches!(self, Self::Editor(_))
    }

    /// The next line without its line feed; `None` at the end. The last one need not have one.
    ///
    /// # Errors
    /// What standard input says; [`io::ErrorKind::FileTooLarge`] for a line that is too long.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Editor(typed) => Ok(typed.recv().await.map(String::into_bytes)),
            Self::Plain(plain) => plain.next().await,
        }
    }
}

impl Plain {
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let read = self.stdin.fill_buf().await?;
            let end = read.iter().position(|&byte| byte == b'\n');
            let taken = end.unwrap_or(read.len());
            if self.line.len() + taken > self.bytes_max {
                let why = format!("a line is above --max-message, {} bytes", self.bytes_max);
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
            }
            self.line.extend_from_slice(&read[..taken]);
            let at_eof = read.is_empty();
            self.stdin.consume(taken + usize::from(end.is_some()));
            if end.is_some() || (at_eof && !self.line.is_empty()) {
                return Ok(Some(std::mem::take(&mut self.line)));
            }
            if at_eof {
                return Ok(None);
            }
        }
    }
}

/// Never: for what has nothing more to say, while something else goes on.
pub(super) async fn never<T>() -> T {
    pending().await
}
