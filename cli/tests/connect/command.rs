//! The command, run to its end or step by step, with a deadline on all of it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Once,
    thread,
    time::Duration,
};

/// How a run ended, and what it printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// A run that went so.
pub(crate) fn ran(status: i32, stdout: impl AsRef<[u8]>, stderr: &str) -> Ran {
    Ran { status: Some(status), stdout: stdout.as_ref().to_vec(), stderr: stderr.to_owned() }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    watchdog();
    let mut command = Command::new(env!("CARGO_BIN_EXE_framecast"));
    command.arg("connect").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `framecast connect ARGUMENTS` with this standard input, to its end.
pub(crate) fn connect(arguments: &[&str], input: impl Into<Vec<u8>>) -> Ran {
    let mut child = command(arguments).spawn().expect("the command is built");
    let (mut stdin, input) = (child.stdin.take().expect("piped"), input.into());
    // It may end without reading all.
    thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("its output");
    Ran {
        status: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// A run that is talked to.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).spawn().expect("the command is built");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, stdin, stdout }
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.stdin.as_mut().expect("open").write_all(text.as_bytes()).expect("it reads");
    }

    /// Its next line, with the line feed.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("UTF-8");
        line
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Nobody reads its output any more; its input stays open.
    pub(crate) fn hang_up(self) -> (Child, ChildStdin) {
        (self.child, self.stdin.expect("open"))
    }

    /// Ends its input, and waits.
    pub(crate) fn finish(mut self) -> Ran {
        drop(self.stdin.take());
        self.wait()
    }

    /// Waits; its input stays open.
    pub(crate) fn wait(mut self) -> Ran {
        let (mut stdout, mut stderr) = (Vec::new(), String::new());
        self.stdout.read_to_end(&mut stdout).expect("its output");
        self.child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("UTF-8");
        Ran { status: self.child.wait().expect("it ends").code(), stdout, stderr }
    }
}

/// A test that hangs ends.
pub(crate) fn watchdog() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        thread::spawn(|| {
            thread::sleep(Duration::from_secs(120));
            eprintln!("a test hangs");
            std::process::abort();
        });
    });
}
