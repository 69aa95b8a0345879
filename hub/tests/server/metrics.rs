//! `GET /metrics`: OpenMetrics, line by line, and counts that move.

use std::{collections::HashMap, time::Duration};

use framecast_hub::Limits;

use crate::support::*;

/// Each family is described before its samples, each sample is of the family before it, and the page has its end.
fn parse(page: &str) -> HashMap<String, f64> {
    let lines: Vec<_> = page.strip_suffix("# EOF\n").expect("it has an end").lines().collect();
    let (mut family, mut kind) = ("", "");
    let mut samples = HashMap::new();
    for line in lines {
        if let Some(help) = line.strip_prefix("# HELP ") {
            (family, _) = help.split_once(' ').expect("there is a text");
            assert!(family.starts_with("framecast_") || family.starts_with("process_"), "{line}");
        } else if let Some(of_type) = line.strip_prefix("# TYPE ") {
            let (name, of_kind) = of_type.split_once(' ').expect("there is a type");
            assert_eq!(name, family, "{line}");
            assert!(["counter", "gauge"].contains(&of_kind), "{line}");
            kind = of_kind;
        } else {
            let (name, value) = line.rsplit_once(' ').expect("there is a value");
            let (bare, labels) = name.split_once('{').unwrap_or((name, "}"));
            let suffix = if kind == "counter" { "_total" } else { "" };
            assert_eq!(bare, format!("{family}{suffix}"), "{line}");
            let labels = labels.strip_suffix('}').expect("labels have an end");
            // One, of these files' own making.
            let is_name = |name: &str| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            };
            let label =
                labels.split_once("=\"").and_then(|(name, value)| Some((name, value.strip_suffix('"')?)));
            let is_label = label.is_some_and(|(name, value)| is_name(name) && is_name(value));
            assert!(labels.is_empty() || is_label, "{line}");
            let value = value.parse().expect("it is a number");
            assert_eq!(samples.insert(name.to_owned(), value), None, "{line} is there twice");
        }
    }
    samples
}

/// catalogue: DS-52
#[tokio::test]
async fn metrics_are_openmetrics_and_their_counts_move() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let page = running.admin("GET /metrics", "").await;
    let kind = Some("application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!((page.status, page.header("content-type")), (200, kind));
    let before = parse(&page.body);
    assert!(
        before.iter().all(|(name, value)| {
            *value == 0.0 || name == "framecast_uptime_seconds" || name.starts_with("process_")
        }),
        "{before:?}"
    );

    let (ada, mut bob) = (running.inside("a room {of}=quotes").await, running.inside("r").await);
    say(&ada, r#"{"type":"message","room":"r","payload":1}"#).await;
    hear(&mut bob).await;
    running.http("GET /stats", "", "").await;
    running.http("GET /ws/a%0ab?token=secret", "", "").await;
    running.send(&upgrade("/ws", running.addr, "Origin: https://elsewhere.example\r\n")).await;
    running.metric_becomes("framecast_messages_out_total", 1).await;
    let page = running.admin("GET /metrics", "").await.body;
    assert!(!page.contains("quotes") && !page.contains("secret") && !page.contains("elsewhere"), "{page}");
    let after = parse(&page);
    for (name, wanted) in [
        ("framecast_connections", 2),
        ("framecast_rooms", 2),
        ("framecast_messages_in_total", 3),
        ("framecast_messages_out_total", 1),
        ("framecast_messages_dropped_total{reason=\"slow\"}", 0),
        ("framecast_upgrades_total", 2),
        ("framecast_refused_total{reason=\"admin\"}", 1),
        ("framecast_refused_total{reason=\"handshake\"}", 1),
        ("framecast_refused_total{reason=\"origin\"}", 1),
        ("framecast_refused_total{reason=\"full\"}", 0),
        ("framecast_draining", 0),
    ] {
        assert_eq!(after.get(name), Some(&f64::from(wanted)), "{name}");
    }
    let history = running.server.hub().topics().history_bytes();
    assert!(history > 256, "{history}");
    assert_eq!(after.get("framecast_history_bytes"), Some(&(history as f64)));
    assert!(before.keys().all(|name| after.contains_key(name)) && before.len() == after.len());
    drop(bob);
    running.metric_becomes("framecast_connections", 1).await;
}

/// Where somebody stays in a room and nobody publishes, to it or to any other one.
///
/// catalogue: BR-20
#[tokio::test]
async fn histories_that_are_too_old_are_given_back_by_themselves() {
    let mut limits = Limits::default();
    limits.history.age = Duration::from_secs(1);
    let running = Running::of(hub(|hub| hub.limits(limits)), with_admin).await;
    let mut ada = running.inside("r").await;
    say(&ada, r#"{"type":"message","room":"r","payload":1}"#).await;
    assert!(hear(&mut ada).await.contains(r#""payload":1"#));
    assert!(running.metric("framecast_history_bytes").await > 256);
    running.metric_becomes("framecast_history_bytes", 0).await;
    assert_eq!(running.metric("framecast_rooms").await, 1);
}
