//! `framecast connect`: a client for people and scripts. Lines of input are messages; messages are lines of output.
//!
//! `options` become a request; the `session` moves lines from the `input` (the line `editor` on a terminal, plain lines
//! elsewhere) to the connection, and `event`s from the connection to the `output`.

mod editor;
mod event;
mod gate;
mod input;
mod insecure;
mod line;
mod options;
mod output;
mod session;

use std::io::{self, IsTerminal};

use framecast::{Cause, CloseCode, CloseInfo, Connector, Error, ErrorKind, proto::CloseFrame};

pub(crate) use options::Options;

use self::{
    editor::Editor,
    event::Event,
    input::Input,
    output::Output,
    session::{Session, told_to_stop},
};
use crate::{
    failure::{Failure, say},
    show,
};

/// Cannot connect: the look-up, TCP, TLS, the time, an answer that breaks a rule.
const CANNOT_CONNECT: u8 = 3;
/// The server answered with an HTTP status other than 101.
const REFUSED: u8 = 4;
/// The connection was closed with another code than 1000.
const CLOSED: u8 = 5;

pub(crate) fn run(options: Options) -> Result<(), Failure> {
    // The connection's own task needs a thread beside ours, which may wait for a slow reader of our output.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(1, error))?;
    let done = runtime.block_on(connect(&options));
    // A read of stdin that goes on must not hold us up.
    runtime.shutdown_background();
    done
}

async fn connect(options: &Options) -> Result<(), Failure> {
    let (connector, request) = (options.connector()?, options.request()?);
    let on_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let editor = if on_terminal { Editor::open() } else { None };
    let (editor, printer, terminal) = match editor {
        Some((editor, printer, terminal)) => (Some(editor), Some(printer), Some(terminal)),
        None => (None, None, None),
    };
    let output = Output::start(options.json, printer);
    let ended = talk(options, &connector, request, &output, editor).await;
    let written = output.finish().await;
    if let Some(terminal) = terminal {
        terminal.restore();
    }
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(1, format_args!("cannot write to stdout: {error}")))
        }
        _ => ended,
    }
}

/// From the opening handshake to the end.
async fn talk(
    options: &Options,
    connector: &Connector,
    request: framecast::ClientRequest,
    output: &Output,
    editor: Option<Editor>,
) -> Result<(), Failure> {
    let ws = match connector.connect(request).await {
        Ok(ws) => ws,
        Err(error) => {
            let failure = not_connected(options, &error);
            let status = error.response().map(|response| response.status.as_u16());
            output.tell(Event::Error { message: failure.to_string(), status }).await;
            return Err(failure);
        }
    };
    // From here on signals close; whoever reads that it is open may send one.
    let told_to_stop = told_to_stop();
    let compressed = ws.deflate().is_some();
    output.tell(Event::Open { subprotocol: ws.subprotocol().map(Into::into), compressed }).await;
    let input = match editor {
        Some(editor) => {
            output.notice("connected; /ping [PAYLOAD], /close [CODE] [REASON], Ctrl-D to close").await;
            Input::Editor(editor.start())
        }
        None => Input::plain(options.max_message),
    };
    let Some((end, mistake)) = Session::new(options, output).run(ws, input, told_to_stop).await else {
        return Ok(());
    };
    output
        .tell(Event::Close { code: end.code.0, reason: end.reason.as_str().into(), clean: end.clean })
        .await;
    match mistake {
        Some(mistake) => Err(mistake),
        None => judge(&end, output.is_terminal()),
    }
}

/// What an end means to a script.
fn judge(end: &CloseInfo, on_terminal: bool) -> Result<(), Failure> {
    let line = closed(end);
    match &end.cause {
        // An answer without a code agrees.
        Cause::Local { sent: CloseFrame { code: CloseCode::NORMAL, .. }, answer: None } => {}
        Cause::Local { .. } if end.code == CloseCode::NORMAL => {}
        _ if end.code == CloseCode::NORMAL => {
            say(&line);
            return Ok(());
        }
        _ => return Err(Failure::new(CLOSED, line)),
    }
    // We closed, and that went well: of interest to a person, and noise in a pipe.
    if on_terminal {
        say(&line);
    }
    Ok(())
}

/// Code and reason: the peer's words if it said any, ours if it did not.
fn closed(end: &CloseInfo) -> String {
    let why = match &end.cause {
        Cause::Peer(_) | Cause::Local { .. } => show::short_line(&end.reason),
        cause => cause.to_string(),
    };
    match why.as_str() {
        "" => format!("closed with {}", end.code),
        why => format!("closed with {}: {why}", end.code),
    }
}

fn not_connected(options: &Options, error: &Error) -> Failure {
    let url = &options.url;
    if let Some(response) = error.response() {
        return Failure::new(REFUSED, show::refusal(response));
    }
    match error.kind() {
        ErrorKind::Invalid => Failure::usage(error),
        ErrorKind::InvalidResponse => Failure::new(
            CANNOT_CONNECT,
            format_args!("{} is no WebSocket server: {error}", url.host_header()),
        ),
        ErrorKind::Io(io::ErrorKind::InvalidData) if url.is_secure() && !options.insecure => Failure::new(
            CANNOT_CONNECT,
            format_args!(
                "cannot connect to {}: {error}; --insecure takes any certificate",
                url.host_header()
            ),
        ),
        _ => Failure::new(CANNOT_CONNECT, format_args!("cannot connect to {}: {error}", url.host_header())),
    }
}
