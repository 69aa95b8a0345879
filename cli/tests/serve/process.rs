//! The command as a process, with nothing in its environment but what a test puts there, and a deadline on all of it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// What the environment says.
pub(crate) type Environment<'e> = &'e [(&'e str, &'e str)];

pub(crate) fn command(arguments: &[&str], environment: Environment<'_>) -> Command {
    watchdog();
    let mut command = Command::new(env!("CARGO_BIN_EXE_framecast"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A run to its end: status, stdout, stderr.
pub(crate) fn run(arguments: &[&str], environment: Environment<'_>) -> (i32, String, String) {
    outcome(command(arguments, environment).output().expect("the command starts"))
}

/// The same with this on its standard input.
pub(crate) fn run_with_input(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = command(arguments, &[]).stdin(Stdio::piped()).spawn().expect("the command starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    outcome(child.wait_with_output().expect("it ends"))
}

fn outcome(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}

/// A run that must fail with 2: its one line on stderr.
pub(crate) fn refused(arguments: &[&str], environment: Environment<'_>) -> String {
    let (status, stdout, stderr) = run(arguments, environment);
    assert_eq!((status, stdout.as_str(), stderr.lines().count()), (2, "", 1), "{stderr}");
    stderr.strip_prefix("framecast: ").expect("it says who").trim_end().to_owned()
}

/// `framecast serve` on a free port, which ends with us.
pub(crate) struct Serve {
    process: Child,
    /// With a `/` at its end.
    pub(crate) url: String,
    log: Receiver<String>,
}

impl Serve {
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::with(options, &[])
    }

    pub(crate) fn with(options: &[&str], environment: Environment<'_>) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], options].concat();
        Self::of(command(&arguments, environment))
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let mut process = command.spawn().expect("the command starts");
        let (said, log) = mpsc::channel();
        if let Some(stderr) = process.stderr.take() {
            thread::spawn(move || {
                BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| said.send(line))
            });
        }
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("a first line");
        let Some(url) = line.strip_prefix("listening on ").and_then(|line| line.strip_suffix('\n')) else {
            panic!("{line:?}: {:?}", log.iter().collect::<Vec<_>>());
        };
        Self { url: url.to_owned(), process, log }
    }

    pub(crate) fn address(&self) -> &str {
        self.url.split_once("://").expect("a URL").1.trim_end_matches('/')
    }

    /// `framecast publish` to it.
    pub(crate) fn publish(&self, arguments: &[&str]) -> (i32, String, String) {
        run(&[&["publish", "--server", &self.url], arguments].concat(), &[])
    }

    /// Waits for a line of its log with this in it, and gives it.
    pub(crate) fn logs(&self, text: &str) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.log.recv_timeout(DEADLINE) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line with {text:?} among {seen:#?}");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("it runs");
    }

    /// Its status, and the lines on stderr that nobody has taken yet.
    pub(crate) fn over(mut self) -> (Option<i32>, Vec<String>) {
        let status = self.process.wait().expect("it ends").code();
        (status, self.log.iter().collect())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A file with this in it.
pub(crate) fn file(name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!(
        "serve-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    ));
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(name);
    fs::write(&path, text).expect("a file");
    path
}

/// A test that hangs ends.
fn watchdog() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        thread::spawn(|| {
            thread::sleep(Duration::from_secs(180));
            eprintln!("a test hangs");
            std::process::abort();
        });
    });
}

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
