//! On a terminal: lines are edited, messages that arrive leave the line alone, and nothing steers the screen.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Stdio},
    sync::mpsc,
    time::Duration,
};

use framecast::{Message, WebSocket};
use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use crate::{
    command::command,
    server::{echoing, open},
};

/// The command on a terminal of its own, and what it wrote there so far.
struct Screen {
    keys: File,
    terminal: OwnedFd,
    child: Child,
    pieces: mpsc::Receiver<Vec<u8>>,
    written: String,
    looked_at: usize,
}

impl Screen {
    fn start(arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("ours");
        let name = ptsname(&master, Vec::new()).expect("a name");
        let terminal =
            rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("a terminal");
        tcsetwinsize(&terminal, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 })
            .expect("size");
        let end = || Stdio::from(terminal.try_clone().expect("a file"));
        let child = command(arguments)
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("the command is built");
        let keys = File::from(master);
        let mut output = keys.try_clone().expect("a file");
        let (piece, pieces) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                let _ = piece.send(buffer[..read].to_vec());
            }
        });
        Self { keys, terminal, child, pieces, written: String::new(), looked_at: 0 }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
    }

    /// Waits until this is written (a prompt before keys: earlier ones are the system's), behind what was waited for before; everything up to it.
    fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.written[self.looked_at..].find(text) {
                let end = self.looked_at + at + text.len();
                let seen = self.written[self.looked_at..end].to_owned();
                self.looked_at = end;
                return seen;
            }
            let piece = self.pieces.recv_timeout(Duration::from_secs(20));
            let piece =
                piece.unwrap_or_else(|_| panic!("no {text:?} in {:?}", &self.written[self.looked_at..]));
            self.written.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    /// Waits for the end; the status, and whether the terminal echoes and edits lines by itself again.
    fn ends(mut self) -> (Option<i32>, bool) {
        let status = self.child.wait().expect("it ends").code();
        let modes = tcgetattr(&self.terminal).expect("a terminal").local_modes;
        (status, modes.contains(LocalModes::ECHO | LocalModes::ICANON))
    }
}

#[test]
fn lines_are_edited_and_come_back_by_the_arrow_keys() {
    let mut screen = Screen::start(&[&echoing()]);
    screen.until("> ");
    // Left twice, a letter, the end of the line, another.
    screen.types("helo\x1b[D\x1b[Dl\x05!\r");
    screen.until("< hello!\r\n");
    screen.types("second\r");
    screen.until("< second\r\n");
    // Up twice.
    screen.types("\x1b[A\x1b[A\r");
    screen.until("< hello!\r\n");
    screen.types("/ping me\r");
    screen.until(" ms: me\r\n");
    screen.types("/nope\r");
    screen.until("no command \"/nope\"");
    screen.types("still here\r");
    screen.until("< still here\r\n");
    screen.types("\x04");
    screen.until("framecast: closed with 1000\r\n");
    assert_eq!(screen.ends(), (Some(0), true));
}

#[test]
fn a_message_that_arrives_leaves_the_line_that_is_typed() {
    let (told, say) = tokio::sync::mpsc::unbounded_channel::<&str>();
    let say = std::sync::Arc::new(tokio::sync::Mutex::new(say));
    let url = open(move |mut ws: WebSocket| {
        let say = say.clone();
        async move {
            let mut say = say.lock().await;
            loop {
                tokio::select! {
                    Some(text) = say.recv() => { let _ = ws.send(Message::text(text)).await; }
                    message = ws.recv() => match message {
                        Some(message) => { let _ = ws.send(message).await; }
                        None => return,
                    },
                }
            }
        }
    });
    let mut screen = Screen::start(&[&url]);
    screen.until("> ");
    screen.types("half a ");
    screen.until("half a ");
    told.send("breaking news").expect("the server is there");
    screen.until("< breaking news\r\n");
    // What was typed is shown again below it.
    screen.until("> half a ");
    screen.types("line\r");
    screen.until("< half a line\r\n");
    screen.types("\x03");
    screen.until("closed with 1000\r\n");
    assert_eq!(screen.ends(), (Some(0), true));
}

#[test]
fn what_the_server_sends_cannot_steer_the_terminal() {
    let url = open(async |mut ws: WebSocket| {
        let _ = ws.send(Message::text("\x1b]0;owned\x07\u{9b}2J\ntwo")).await;
        let _ = ws.send(Message::binary(&b"\x1b[2J"[..])).await;
        while ws.recv().await.is_some() {}
    });
    let mut screen = Screen::start(&[&url]);
    screen.until("< \\u{1b}]0;owned\\u{7}\\u{9b}2J\r\n  two\r\n");
    screen.until("< 4 bytes: 1b 5b 32 4a\r\n");
    screen.until("> ");
    screen.types("\x04");
    assert_eq!(screen.ends(), (Some(0), true));
    let mut screen = Screen::start(&["--json", &url]);
    screen.until("\"data\":\"\\u001b]0;owned\\u0007\\u009b2J\\ntwo\"}\r\n");
    screen.until("\"data\":\"G1sySg==\"}\r\n");
    screen.until("> ");
    screen.types("\x04");
    assert_eq!(screen.ends(), (Some(0), true));
}

/// The line that was begun is no message, and the terminal is as it was.
#[test]
fn an_end_while_one_types_shows_all_that_came_and_gives_the_terminal_back() {
    let url = open(async |mut ws: WebSocket| {
        let _ = ws.recv().await;
        for n in 0..50 {
            let _ = ws.send(Message::text(format!("message {n}"))).await;
        }
        let _ = ws.close(framecast::CloseCode(4000), "enough").await;
    });
    let mut screen = Screen::start(&[&url]);
    screen.until("> ");
    screen.types("go\rand then");
    for n in 0..50 {
        screen.until(&format!("< message {n}\r\n"));
    }
    screen.until("framecast: closed with 4000: enough\r\n");
    assert_eq!(screen.ends(), (Some(5), true));
}
