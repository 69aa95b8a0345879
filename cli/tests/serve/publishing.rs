//! `framecast publish`: what it sends, to whom, and how it ends.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    thread,
};

use crate::{
    client::Client,
    process::{Serve, file, refused, run, run_with_input},
};

#[test]
fn a_room_gets_the_payload_byte_for_byte() {
    let serve = Serve::start(&[]);
    // All that a path could take for something else.
    let room = "a b/c?d#e%2F:é+..";
    let mut client = Client::open(&serve, "/ws");
    client.subscribe(room);
    let (status, answer, stderr) = serve.publish(&[room, r#"{ "n": 12345678901234567890.10, "a" :[] }"#]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("a line of JSON");
    assert_eq!((&answer["status"], &answer["room"]), (&"sent".into(), &room.into()));
    assert_eq!((&answer["offset"], &answer["recipients"]), (&1.into(), &1.into()));
    let message = client.next_text().expect("a message");
    assert!(message.contains(r#""payload":{ "n": 12345678901234567890.10, "a" :[] }"#), "{message}");

    assert_eq!(serve.publish(&[room, "--text", "say \"hi\"\n"]).0, 0);
    assert_eq!(client.next()["payload"], "say \"hi\"\n");
    assert_eq!(serve.publish(&[room, "-1"]).0, 0);
    assert_eq!(client.next()["payload"], -1);
    assert_eq!(serve.publish(&["--text", "--", room, "--all"]).0, 0);
    assert_eq!(client.next()["payload"], "--all");
    let from_stdin = |options: &[&str], input| {
        run_with_input(&[&["publish", "--server", &serve.url, room, "-"], options].concat(), input).0
    };
    assert_eq!(from_stdin(&[], "[1,\n2]\n"), 0);
    assert_eq!(client.next()["payload"], serde_json::json!([1, 2]));
    assert_eq!(from_stdin(&["--text"], "two\nlines\n"), 0);
    assert_eq!(client.next()["payload"], "two\nlines");
}

#[test]
fn a_key_says_what_it_is_about() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/below", server.local_addr().expect("bound"));
    let heard = thread::spawn(move || {
        let (stream, _) = server.accept().expect("it comes");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("it asks");
        line
    });
    let (status, ..) = run(&["publish", "--server", &url, "a b", "1", "--key", "ä b&key=c"], &[]);
    assert_eq!(status, 3, "it has no answer");
    let heard = heard.join().expect("it has heard");
    assert_eq!(heard, "POST /below/broadcast/a%20b?key=%C3%A4%20b%26key%3Dc HTTP/1.1\r\n");
    let expected = "the argument '--all' cannot be used with '--key <KEY>'";
    assert_eq!(refused(&["publish", "--all", "1", "--key", "k"], &[]), expected);
    let expected = "the argument '--user <USER>' cannot be used with '--key <KEY>'";
    assert_eq!(refused(&["publish", "--user", "ada", "1", "--key", "k"], &[]), expected);
}

#[test]
fn all_and_users_get_theirs() {
    let tokens = file("tokens", "of-ada ada lovelace\nof-bob bob\n");
    let serve = Serve::start(&["--tokens", tokens.to_str().expect("UTF-8")]);
    let [mut ada, mut bob] = ["/ws?token=of-ada", "/ws?token=of-bob"].map(|path| Client::open(&serve, path));
    let (status, answer, _) = serve.publish(&["--user", "ada lovelace", "1"]);
    assert_eq!(status, 0);
    assert!(answer.contains(r#""recipients":1"#), "{answer}");
    assert_eq!(ada.next()["payload"], 1);
    let (status, answer, _) = serve.publish(&["--all", "2"]);
    assert_eq!(status, 0);
    assert!(answer.contains(r#""recipients":2"#), "{answer}");
    for client in [&mut ada, &mut bob] {
        let message = client.next();
        assert_eq!((&message["type"], &message["payload"]), (&"broadcast".into(), &2.into()));
    }
}

#[test]
fn the_environment_says_where_and_who() {
    let serve = Serve::start(&["--admin-token", "s3cret"]);
    let environment = [("FRAMECAST_SERVER", serve.url.as_str()), ("FRAMECAST_ADMIN_TOKEN", "s3cret")];
    assert_eq!(run(&["publish", "news", "1"], &environment).0, 0);
    let (status, _, stderr) = run(&["publish", "news", "1"], &environment[..1]);
    assert_eq!(status, 4);
    assert!(stderr.starts_with("framecast: server answered 401 Unauthorized: "), "{stderr}");
    let (status, _, stderr) = run(&["publish", "news", "1", "--admin-token", "other"], &environment);
    assert_eq!((status, stderr.lines().count()), (4, 1), "{stderr}");
}

#[test]
fn how_it_fails() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = taken.local_addr().expect("bound");
    drop(taken);
    let (status, stdout, stderr) =
        run(&["publish", "--server", &format!("http://{nobody}/"), "news", "1"], &[]);
    assert_eq!((status, stdout.as_str()), (3, ""));
    assert_eq!(stderr, format!("framecast: cannot publish by {nobody}: Connection refused (os error 111)\n"));

    for (arguments, expected) in [
        (
            &["news", "{"][..],
            "PAYLOAD is not JSON: EOF while parsing an object at line 1 column 1; --text sends it as a string",
        ),
        (
            &["news", "hello"],
            "PAYLOAD is not JSON: expected value at line 1 column 1; --text sends it as a string",
        ),
        (&["news", "1", "--all"], "wants ROOM PAYLOAD, or --all PAYLOAD, or --user USER PAYLOAD"),
        (&["1"], "wants ROOM PAYLOAD, or --all PAYLOAD, or --user USER PAYLOAD"),
        (&["--all", "1", "--user", "ada"], "the argument '--all' cannot be used with '--user <USER>'"),
        (
            &["news", "1", "--server", "ws://a"],
            "invalid value 'ws://a' for '--server <URL>': is not http://HOST[:PORT] or https://…",
        ),
        (
            &["news", "1", "--admin-token", "a b"],
            "invalid value 'a b' for '--admin-token <TOKEN>': is not a token",
        ),
    ] {
        assert_eq!(refused(&[&["publish"], arguments].concat(), &[]), expected);
    }
    let serve = Serve::start(&[]);
    let (status, _, stderr) = serve.publish(&["match:*", "1"]);
    assert_eq!(status, 4);
    assert!(stderr.starts_with("framecast: server answered 400 Bad Request: {"), "{stderr}");
}
