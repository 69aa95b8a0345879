//! Which pages may connect (catalogue §3.5).

use framecast::handshake::{Endpoint, OriginPolicy};

use crate::support::*;

fn from(origin: &str) -> Vec<u8> {
    base_and([format!("Origin: {origin}")])
}

fn from_at(origin: &str, host: &str) -> Vec<u8> {
    base_with("Host", [format!("Host: {host}"), format!("Origin: {origin}")])
}

fn list(entries: &[&str]) -> Endpoint {
    Endpoint::new().origins(OriginPolicy::list(entries.iter().copied()).expect("origins"))
}

/// RFC 6455 §10.2 · catalogue: HS-80, HS-89, V-55
#[test]
fn foreign_page_is_answered_with_403_that_tells_nothing() {
    let answer = expect(&base_and(["Origin: https://evil.example", "Cookie: session=1"]), 403);
    let wanted = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 10\r\n\
        content-type: text/plain; charset=utf-8\r\n\r\nForbidden\n";
    assert_eq!(answer, wanted);
}

/// RFC 6455 §4.2.1 item 7 · catalogue: HS-81
#[test]
fn client_without_origin_passes_unless_one_is_required() {
    expect(&head(BASE), 101);
    for policy in [OriginPolicy::same_origin(), OriginPolicy::any_origin_dangerous()] {
        let endpoint = Endpoint::new().origins(policy.required());
        expect_of(&endpoint, &head(BASE), 403);
        expect_of(&endpoint, &from("http://localhost:9001"), 101);
    }
    let request = request(Endpoint::new(), &from("http://localhost:9001"));
    assert_eq!(request.origin(), Some("http://localhost:9001"));
}

/// RFC 6454 §7.3 · catalogue: HS-82
#[test]
fn null_and_empty_origins_are_answered_with_403_and_repeated_ones_with_400() {
    let any = Endpoint::new().origins(OriginPolicy::any_origin_dangerous());
    for origin in ["null", ""] {
        expect(&from(origin), 403);
        expect_of(&list(&["http://localhost:9001"]), &from(origin), 403);
        expect_of(&any, &from(origin), 101);
    }
    expect_of(&list(&["null"]), &from("null"), 101);
    expect_of(&list(&["null"]), &from("https://evil.example"), 403);
    let own = "Origin: http://localhost:9001";
    for endpoint in [Endpoint::new(), any] {
        expect_of(&endpoint, &base_and([own, own]), 400);
        expect_of(&endpoint, &from("http://localhost:9001, http://b"), 400);
    }
}

/// RFC 6454 §4, §5 · catalogue: HS-83, V-56
#[test]
fn same_origin_compares_scheme_host_and_port() {
    // Whether we are behind TLS, the page's origin, `Host`, the status.
    for (secure, origin, host, wanted) in [
        (Some(true), "https://example.com", "example.com", 101),
        (Some(true), "https://example.com:443", "example.com", 101),
        (Some(true), "https://example.com", "example.com:443", 101),
        (Some(true), "HTTPS://EXAMPLE.com", "Example.COM", 101),
        (Some(true), "http://example.com", "example.com", 403),
        (Some(true), "http://example.com:443", "example.com", 403),
        (Some(true), "https://example.com:8443", "example.com", 403),
        (Some(true), "https://example.com.", "example.com", 403),
        (Some(true), "https://xn--bcher-kva.example", "xn--bcher-kva.example", 101),
        (Some(true), "https://bücher.example", "xn--bcher-kva.example", 403),
        (Some(false), "http://example.com:80", "example.com", 101),
        (Some(false), "https://example.com", "example.com", 403),
        (Some(false), "http://example.com", "example.com:8080", 403),
        (None, "http://example.com", "example.com", 101),
        (None, "https://example.com", "example.com", 101),
        (None, "https://example.com", "example.com:443", 101),
        (None, "http://example.com", "example.com:443", 403),
        (None, "https://example.com:80", "example.com", 403),
        (None, "ftp://example.com", "example.com", 403),
        (None, "http://[::1]:9001", "[0:0::1]:9001", 101),
    ] {
        let endpoint = secure.map_or(Endpoint::new(), |secure| Endpoint::new().secure(secure));
        expect_of(&endpoint, &from_at(origin, host), wanted);
    }
}

/// catalogue: HS-84
#[test]
fn prefixes_and_suffixes_of_an_allowed_host_are_answered_with_403() {
    for endpoint in [list(&["http://example.com"]), list(&["http://*.example.com"])] {
        for origin in [
            "http://example.com.evil",
            "http://evilexample.com",
            "http://example.com@evil",
            "http://u@example.com",
            "http://example.com#@evil",
            "example.com",
            "http://example.com/",
            "http://example.com:80:80",
            "http://",
            "//example.com",
            "http:example.com",
            "http://example.com\\.evil",
            " http",
            "http://example.com evil",
        ] {
            expect_of(&endpoint, &from(origin), 403);
        }
    }
    expect(&from_at("http://example.com#@evil", "example.com"), 403);
}

/// catalogue: HS-85, V-56
#[test]
fn lists_match_whole_origins_and_wildcards_match_labels_below() {
    let two = ["http://a.example", "https://a.example:8443"];
    let wild = ["https://*.example.com"];
    for (entries, origin, wanted) in [
        (&two[..], "http://a.example", 101),
        (&two, "http://A.EXAMPLE:80", 101),
        (&two, "https://a.example:8443", 101),
        (&two, "https://a.example", 403),
        (&two, "http://a.example:8443", 403),
        (&wild, "https://b.example.com", 101),
        (&wild, "https://a.b.example.com", 101),
        (&wild, "https://B.Example.com:443", 101),
        (&wild, "https://example.com", 403),
        (&wild, "https://bexample.com", 403),
        (&wild, "https://.example.com", 403),
        (&wild, "http://b.example.com", 403),
        (&wild, "https://b.example.com:8443", 403),
        (&wild, "https://b.example.com.", 403),
        (&["http://*.localhost:9001"], "http://a.localhost:9001", 101),
        (&[], "http://localhost:9001", 403),
    ] {
        expect_of(&list(entries), &from(origin), wanted);
    }
}

/// catalogue: HS-86
#[test]
fn entries_that_are_no_origins_fail_when_the_list_is_built() {
    for entry in [
        "example.com",
        "https://",
        "https://a/",
        "https://a/b",
        "https://a b",
        "",
        "*",
        "https://*",
        "https://*.com",
        "https://a.*.com",
        "https://*.*.com",
        "https://a*.com",
        "https://u@a",
        "https://a:99999",
        "https://a?b",
        "1https://a",
        "https://*.0.0.1",
        "https://*.[::1]",
        "https://a#b",
        "https://ü.example",
        "NULL",
    ] {
        let error = OriginPolicy::list(["https://ok.example", entry]).expect_err(entry);
        assert_eq!(error.entry, entry);
    }
}

/// catalogue: HS-87
#[test]
fn configured_public_origin_is_compared_instead_of_a_forged_host() {
    let policy = OriginPolicy::same_origin_as("https://chat.example.com").expect("an origin");
    let endpoint = Endpoint::new().origins(policy);
    expect_of(&endpoint, &from_at("https://evil.example", "evil.example"), 403);
    expect_of(&endpoint, &from_at("https://chat.example.com", "10.0.0.7:9001"), 101);
}

/// catalogue: HS-88
#[test]
fn any_origin_is_let_in_only_by_the_loud_name() {
    let any = Endpoint::new().origins(OriginPolicy::any_origin_dangerous());
    for origin in ["https://evil.example", "null", "x", "\u{e9}"] {
        expect_of(&any, &from(origin), 101);
        expect(&from(origin), 403);
    }
    assert_eq!(OriginPolicy::default(), OriginPolicy::same_origin());
}

/// catalogue: HS-90 (the core's part: raw headers before any answer)
#[test]
fn application_sees_raw_headers_before_it_answers() {
    let request =
        request(Endpoint::new(), &base_and(["Authorization: Bearer \t1 ", "Cookie: a", "Cookie: b"]));
    assert_eq!(request.headers()["authorization"], "Bearer \t1");
    assert_eq!(request.headers().get_all("cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
}

/// catalogue: HS-92
#[test]
fn forwarded_addresses_are_passed_on_and_not_believed() {
    let many = "1.1.1.1,".repeat(1500);
    for value in ["", "spoofed", "127.0.0.1", &many] {
        assert_eq!(answer(&base_and([format!("X-Forwarded-For: {value}")])), SWITCHING);
    }
}
