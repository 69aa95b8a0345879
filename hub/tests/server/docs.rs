//! docs/production.md names every metric, and every value of its labels.

use crate::support::*;

#[tokio::test]
async fn the_page_names_every_metric() {
    let docs = include_str!("../../../docs/production.md");
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let page = running.admin("GET /metrics", "").await.body;
    let samples: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(samples.len() > 10, "{page}");
    for sample in samples {
        let name = sample.split(['{', ' ']).next().unwrap_or_default();
        assert!(docs.contains(&format!("`{name}")), "{name} is not in docs/production.md");
        if let Some((_, label)) = sample.split_once("=\"") {
            let value = label.split('"').next().unwrap_or_default();
            assert!(docs.contains(&format!("`{value}`")), "{value} of {name} is not in docs/production.md");
        }
    }
}
