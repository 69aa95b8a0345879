use super::*;

/// What is said of a file that is wrong.
fn error(text: &str) -> String {
    File::parse("framecast.toml", text).expect_err("it is wrong").to_string()
}

fn file(text: &str) -> File {
    File::parse("framecast.toml", text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_kind_of_value_is_read() {
    let File { options, routes } = file(
        r#"
        listen = "0.0.0.0:443"
        jwt-secret = "s3cret"
        allow_anonymous = true
        origin = ["https://a.example", "https://b.example"]
        trusted-proxy = "10.0.0.0/8"
        drain = 2.5
        log = "json"
        threads = 0x10
        deflate = false
        limits.history-age = 60

        [routes]
        "/ws/chat/{room}" = "chat:{room}"
        "/ws/lobby" = "lobby"
        "#,
    );
    assert_eq!(options.listen.as_deref(), Some("0.0.0.0:443"));
    assert_eq!(options.jwt_secret.as_ref().map(|secret| secret.expose()), Some("s3cret"));
    assert_eq!(options.allow_anonymous, Some(true));
    assert_eq!(options.origin, Some(vec!["https://a.example".to_owned(), "https://b.example".to_owned()]));
    assert_eq!(options.trusted_proxy, Some(vec!["10.0.0.0/8".to_owned()]));
    assert_eq!(options.drain, Some(Duration::from_millis(2500)));
    assert!(options.log.is_some_and(|log| format!("{log:?}") == "Json"));
    assert_eq!(options.threads, Some(16));
    assert!(options.deflate.is_some_and(|compression| compression.0.is_none()));
    assert_eq!(options.limits.history_age, Some(Duration::from_secs(60)));
    let pair = |path: &str, room: &str| (path.to_owned(), room.to_owned());
    assert_eq!(routes, [pair("/ws/chat/{room}", "chat:{room}"), pair("/ws/lobby", "lobby")]);
    assert!(file("").routes.is_empty());
    assert!(file("deflate = true").options.deflate.is_some_and(|compression| compression.0.is_some()));
    assert!(file("deflate = 'level=1'").options.deflate.is_some_and(|compression| compression.0.is_some()));
}

#[test]
fn a_wrong_value_is_told_with_its_line() {
    for (text, expected) in [
        (
            "listen = '127.0.0.1:0'\n\ntrusted-proxy = [\n  '10.0.0.0/8',\n  '10.0.0',\n]\n",
            r#"framecast.toml:5: trusted-proxy: "10.0.0" is neither an address nor a network"#,
        ),
        ("origin = 'example.com'", r#"framecast.toml:1: origin: "example.com" is not scheme://host[:port]"#),
        (
            "\npublic_url = 'https://a.example/chat'",
            r#"framecast.toml:2: public-url: "https://a.example/chat" is not scheme://host[:port]"#,
        ),
        (
            "public_url = 'https://a.example/chat/'",
            r#"framecast.toml:1: public-url: "https://a.example/chat/" is not scheme://host[:port]"#,
        ),
        ("public_url = '/'", r#"framecast.toml:1: public-url: "/" is not scheme://host[:port]"#),
        ("drain = -1", "framecast.toml:1: drain: -1: not a number of seconds"),
        ("drain = nan", "framecast.toml:1: drain: nan: not a number of seconds"),
        ("log = 'xml'", r#"framecast.toml:1: log: "xml": must be one of text, json"#),
        ("threads = 1025", "framecast.toml:1: threads: 1025: must be at most 1024"),
        ("threads = 1.5", "framecast.toml:1: threads: 1.5: not a whole number"),
        (
            "[limits]\n# a message a day\nmessage-rate = 0",
            "framecast.toml:3: message-rate: 0: must be at least 1",
        ),
        (
            "[limits]\nqueue_bytes = 5_000_000_000",
            "framecast.toml:2: queue-bytes: 5000000000: must be at most 4294967295",
        ),
        ("[limits]\nqueue_bytes = 99999999999999999999", "framecast.toml:2: queue-bytes: is too large"),
        ("admin-token = ''", "framecast.toml:1: admin-token: is empty"),
    ] {
        assert_eq!(error(text), expected);
    }
    assert!(
        error("deflate = 'level=99'").starts_with("framecast.toml:1: deflate: \"level=99\": no parameter")
    );
}

#[test]
fn a_wrong_type_is_told_with_its_line() {
    for (text, expected) in [
        ("listen = 8000", "framecast.toml:1: listen: must be a string, not of the type integer"),
        ("listen = ['a:1']", "framecast.toml:1: listen: must be a string, not of the type array"),
        (
            "origin = [\n'any',\n7]",
            "framecast.toml:3: origin: must be a string or an array of them, not of the type integer",
        ),
        ("drain = '10'", "framecast.toml:1: drain: must be a number, not of the type string"),
        (
            "allow-anonymous = 'yes'",
            "framecast.toml:1: allow-anonymous: must be true or false, not of the type string",
        ),
        (
            "deflate = 1",
            "framecast.toml:1: deflate: must be a string, true or false, not of the type integer",
        ),
        ("threads = 1979-05-27", "framecast.toml:1: threads: must be a number, not of the type datetime"),
        ("\nlimits = 1", "framecast.toml:2: limits: must be a table"),
        ("[[routes]]", "framecast.toml:1: routes: must be a table"),
        ("[listen]", "framecast.toml:1: listen: must be a string, not of the type table"),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn an_unknown_name_is_told_with_its_line() {
    for (text, expected) in [
        ("\n\nlistn = 1", "framecast.toml:3: listn: no such option; did you mean listen?"),
        (
            "[limits]\nmessage_rat = 1",
            "framecast.toml:2: message_rat: no such option; did you mean message-rate?",
        ),
        ("zzz = 1", "framecast.toml:1: zzz: no such option"),
        ("'a b=c' = 1", "framecast.toml:1: a b=c: no such option"),
        ("'' = 1", "framecast.toml:1: : no such option"),
        ("config = 'other.toml'", "framecast.toml:1: config: no such option"),
        ("message-rate = 1", "framecast.toml:1: message-rate: belongs in the table [limits]"),
        ("[limits]\nlisten = 'a:1'", "framecast.toml:2: listen: is no limit; it belongs before the tables"),
        ("tls-key = 'a'\ntls_key = 'b'", "framecast.toml:2: tls_key: is said twice"),
        ("tls-key = 'a'\ntls-key = 'b'", "framecast.toml:2: duplicate key"),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn a_route_that_cannot_be_is_told_with_its_line() {
    for (text, expected) in [
        ("[routes]\n'/ws/{a' = 'a'", r#"framecast.toml:2: routes: "/ws/{a" is no path of a route"#),
        ("[routes]\n'ws' = 'a'", r#"framecast.toml:2: routes: "ws" is no path of a route"#),
        (
            "[routes]\n'/a' = 'a'\n'/{a}' = 'x:{b}'",
            r#"framecast.toml:3: routes: "x:{b}" is no room of its route"#,
        ),
        (
            "[routes]\n'/health' = 'a'",
            r#"framecast.toml:2: routes: "/health" is a path that the server itself answers"#,
        ),
        ("[routes]\n'/{a}/{a}' = '{a}'", r#"framecast.toml:2: routes: "/{a}/{a}" has the same name twice"#),
        (
            "[routes]\n'/a' = 'chat:*'",
            r#"framecast.toml:2: routes: "chat:*" is a wildcard, or no name of a room"#,
        ),
        ("[routes]\n'/a' = 1", r#"framecast.toml:2: routes: the room of "/a" must be a string"#),
    ] {
        assert_eq!(error(text), expected);
    }
}

/// What is on the line may be a secret.
#[test]
fn a_line_that_is_no_toml_is_told_without_what_it_says() {
    for text in [
        "listen = 'a:1'\njwt-secret = s3cret",
        "listen = 'a:1'\njwt-secret s3cret",
        "listen = 'a:1'\njwt-secret = 's3cret",
        "listen = 'a:1'\njwt-secret = ['s3cret']",
        "listen = 'a:1'\njwt-secret = { s3cret = 1 }",
        "listen = 'a:1'\njwt-secret = 's3cret' s3cret",
        "listen = 'a:1'\njwt-secret = \"\\s3cret\"",
        "listen = 'a:1'\nadmin-token = 0xs3cret",
    ] {
        let error = error(text);
        assert!(error.starts_with("framecast.toml:2: "), "{error}");
        assert!(!error.contains("s3c") && !error.contains('\n'), "{error}");
    }
    let file = file("jwt-secret = 's3cret'\nadmin-token = 's3cret'");
    assert!(!format!("{file:?}").contains("s3c"), "{file:?}");
}

/// The first in the file, in whatever order it is read.
#[test]
fn of_several_errors_the_first_is_told() {
    assert_eq!(error("zzz = 1\naaa = 1"), "framecast.toml:1: zzz: no such option");
    let wrong_log = r#"framecast.toml:1: log: "x": must be one of text, json"#;
    assert_eq!(error("log = 'x'\ndrain = -1\nzzz = 1\n[routes]\n'ws' = 'a'"), wrong_log);
}

/// docs/production.md has one to begin with.
#[test]
fn the_file_in_the_docs_is_right() {
    let docs = include_str!("../../../../docs/production.md");
    let (_, rest) = docs.split_once("```toml\n").expect("a file");
    let (text, _) = rest.split_once("```").expect("its end");
    let File { options, routes } = file(text);
    assert!(options.public_url.is_some() && options.limits.max_connections.is_some() && !routes.is_empty());
}
