//! The architecture's arrows, read from the sources: who may import whom, and who may be `unsafe`.
//!
//! It reads text and not syntax: comments and literals are cut out, and what is left is searched for paths.

use std::{fs, path::Path};

/// Room and what of ours it may name by `crate::`, besides itself.
const ARROWS: [(&str, &[&str]); 4] = [
    ("proto", &[]),
    ("handshake", &["proto"]),
    ("broadcast", &["proto"]),
    ("driver", &["proto", "handshake", "broadcast"]),
];
/// Those in `driver/` that must not know of each other.
const DRIVERS: [&str; 2] = ["tokio", "reactor"];
/// The only files with `unsafe`.
const UNSAFE: [&str; 2] = ["proto/mask.rs", "proto/utf8.rs"];
/// What a core without I/O, clock and tasks may name of `std::io`.
const IO: [&str; 2] = ["ErrorKind", "IoSlice"];
const LINES_MAX: usize = 1000;

/// What a file of `src/` breaks; `path` is relative to it.
fn breaches(path: &str, source: &str) -> Vec<String> {
    let code = without_comments_and_literals(source);
    let room = path.split('/').next().unwrap_or_default();
    let mut breaches = Vec::new();
    for name in names_after(&code, "crate::") {
        let allowed = ARROWS.iter().find(|(of, _)| *of == room).map(|(_, to)| *to);
        if name.starts_with(char::is_uppercase) {
            breaches.push(format!("names a root re-export, crate::{name}"));
        } else if let Some(allowed) = allowed
            && name != room
            && !allowed.contains(&name.as_str())
        {
            breaches.push(format!("imports crate::{name}"));
        }
    }
    // Tests have a clock, and sockets that they make up.
    let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
    if room == "proto" && !is_test {
        let io = names_after(&code, "io::").into_iter().filter(|name| !IO.contains(&name.as_str()));
        breaches.extend(io.map(|name| format!("uses io::{name}")));
        for word in
            ["net", "tokio", "mio", "async", "SystemTime", "framecast", "handshake", "driver", "broadcast"]
        {
            if has_word(&code, word) {
                breaches.push(format!("names {word}"));
            }
        }
        if code.contains("Instant::now") {
            breaches.push("looks at the clock".to_owned());
        }
    }
    if room == "broadcast" && !is_test {
        // Its clock is the application's, and a broker's answers are its own.
        for word in ["io", "net", "tokio", "mio", "SystemTime", "framecast", "handshake", "driver"] {
            if has_word(&code, word) {
                breaches.push(format!("names {word}"));
            }
        }
    }
    if path.matches('/').count() == 1 && room != "driver" && code.contains("super::super::") {
        breaches.push("climbs out of its room".to_owned());
    }
    if let Some(driver) = path.strip_prefix("driver/").and_then(|rest| rest.split(['/', '.']).next())
        && driver != "mod"
    {
        let named = names_after(&code, "driver::").into_iter();
        let others = named.filter(|name| name != driver && DRIVERS.contains(&name.as_str()));
        breaches.extend(others.map(|name| format!("imports another driver, {name}")));
    }
    if has_word(&code, "unsafe") && !UNSAFE.contains(&path) {
        breaches.push("is unsafe".to_owned());
    }
    breaches
}

/// The first names behind each `prefix`: one, or those of a list in braces.
fn names_after(code: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(is_of_a_word) {
            continue;
        }
        let rest = code[at + prefix.len()..].trim_start();
        let Some(list) = rest.strip_prefix('{') else {
            names.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut starts = true;
        for (at, character) in list.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => starts = true,
                _ if starts && is_of_a_word(character) => {
                    names.push(word(&list[at..]));
                    starts = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|character| is_of_a_word(*character)).collect()
}

fn is_of_a_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        !code[..at].ends_with(is_of_a_word) && !code[at + word.len()..].starts_with(is_of_a_word)
    })
}

fn without_comments_and_literals(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(character) = rest.chars().next() {
        let raw = rest.strip_prefix('r').filter(|_| !code.ends_with(is_of_a_word));
        let hashes = raw.map_or(0, |raw| raw.len() - raw.trim_start_matches('#').len());
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if raw.is_some_and(|raw| raw[hashes..].starts_with('"')) {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = hashes + 2;
            rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
        } else if character == '"' {
            quoted(rest)
        } else if character == '\'' && (rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'')) {
            // A character, and not a lifetime.
            let start = if rest[1..].starts_with('\\') { 3 } else { 2 };
            rest.char_indices()
                .skip(start)
                .find(|(_, quote)| *quote == '\'')
                .map_or(rest.len(), |(at, _)| at + 1)
        } else {
            0
        };
        if skipped == 0 {
            code.push(character);
            rest = &rest[character.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

/// The length of the string literal at the front.
fn quoted(text: &str) -> usize {
    let mut escaped = true;
    for (at, character) in text.char_indices() {
        match character {
            '"' if !escaped => return at + 1,
            '\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    text.len()
}

/// Every Rust file under `root`, by its path from there.
fn sources(root: &Path) -> Vec<(String, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name =
                    path.strip_prefix(root).expect("it lies there").to_string_lossy().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).expect("the file can be read")));
            }
        }
    }
    found
}

/// DESIGN, "The one idea": an arrow down is an import
#[test]
fn the_sources_keep_the_arrows() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.iter().any(|(path, _)| path == "proto/connection.rs"), "the sources were found");
    let breaches: Vec<String> = sources
        .iter()
        .flat_map(|(path, source)| {
            breaches(path, source).into_iter().map(move |breach| format!("{path} {breach}"))
        })
        .collect();
    assert_eq!(breaches, [] as [String; 0]);
    for path in UNSAFE {
        assert!(sources.iter().any(|(of, _)| of == path), "{path} is gone: shorten the list");
    }
}

/// DESIGN, "How quality is held"
#[test]
fn no_file_is_above_a_thousand_lines() {
    for (path, source) in sources(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        let lines = source.lines().count();
        assert!(lines <= LINES_MAX, "{path}: {lines} lines");
    }
}

/// The scanner itself: what it must see
#[test]
fn bad_samples_are_seen() {
    for (path, source, breach) in [
        ("proto/frame.rs", "use crate::handshake::Request;", "imports crate::handshake"),
        ("proto/frame.rs", "use crate::{proto::Role, driver::tokio};", "imports crate::driver"),
        ("proto/frame.rs", "fn f() { crate::broadcast::x() }", "imports crate::broadcast"),
        ("proto/frame.rs", "use super::super::handshake;", "climbs out of its room"),
        ("proto/frame.rs", "use std::{fmt, net::TcpStream};", "names net"),
        ("proto/frame.rs", "use std::io::Read;", "uses io::Read"),
        ("proto/frame.rs", "use std::{io::{ErrorKind, Write}};", "uses io::Write"),
        ("proto/frame.rs", "fn f() -> io::Result<()> {}", "uses io::Result"),
        ("proto/frame.rs", "let now = std::time::Instant::now();", "looks at the clock"),
        ("proto/frame.rs", "use std::time::SystemTime;", "names SystemTime"),
        ("proto/frame.rs", "async fn f() {}", "names async"),
        ("proto/frame.rs", "unsafe { f() }", "is unsafe"),
        ("broadcast/shard.rs", "use crate::driver::tokio;", "imports crate::driver"),
        ("broadcast/shard.rs", "use std::net::TcpStream;", "names net"),
        ("handshake/head.rs", "use crate::driver::tokio;", "imports crate::driver"),
        ("handshake/head.rs", "use crate::Config;", "names a root re-export, crate::Config"),
        ("driver/tokio/pump.rs", "use crate::driver::reactor::Wheel;", "imports another driver, reactor"),
        ("driver/tokio/pump.rs", "use crate::{Message, proto};", "names a root re-export, crate::Message"),
        ("lib.rs", "let c = 'u'; let d = '\"'; unsafe {} // \"", "is unsafe"),
    ] {
        assert!(
            breaches(path, source).contains(&breach.to_owned()),
            "{source}: {:?}",
            breaches(path, source)
        );
    }
}

/// The scanner itself: what it must not mind
#[test]
fn good_samples_pass() {
    for (path, source) in [
        (
            "proto/frame.rs",
            "use std::{io, net_is_not_net}; io::ErrorKind::Other; use std::io::{IoSlice, ErrorKind};",
        ),
        (
            "proto/frame.rs",
            "//! use framecast::proto; let now = Instant::now(); unsafe\nuse crate::proto::Role;",
        ),
        (
            "proto/frame.rs",
            "const TEXT: &str = \"\\\" unsafe tokio crate::Config\"; #[expect(unsafe_code)] fn f<'a>() {}",
        ),
        ("proto/frame.rs", "const RAW: &str = r#\"unsafe \"tokio\" \"#; /* unsafe */"),
        ("proto/mask.rs", "unsafe { f() }"),
        ("handshake/head.rs", "use crate::proto::{Config, Role}; use super::fields;"),
        (
            "broadcast/topics.rs",
            "let clock = Instant::now; use crate::proto::Message; Box::pin(async move {})",
        ),
        ("driver/tokio/pump.rs", "use crate::{driver::tokio::x, handshake, proto::Connection};"),
    ] {
        assert_eq!(breaches(path, source), [] as [String; 0], "{source}");
    }
}
