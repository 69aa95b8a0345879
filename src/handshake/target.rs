//! What a request asks for: a path, or the same in an absolute URL (RFC 9112 §3.2.1, §3.2.2).
//!
//! Nothing is decoded and no dot segment is resolved: `%2e%2e/` stays what it is, so that what the application matches
//! is what a proxy in front of us saw.

use std::ops::Range;

use super::authority::{Authority, default_port};

/// A request target and its parts.
#[derive(Clone, Debug)]
pub(super) struct Target {
    text: String,
    path: Range<usize>,
    query: Option<Range<usize>>,
    /// Absolute form only: whether it is `https`, and for which host.
    absolute: Option<(bool, Authority)>,
}

impl Target {
    /// Parses origin-form or absolute-form with `http` or `https`; `None` for any other (`*`, `host:port`, `ws://…`).
    pub(super) fn parse(text: String) -> Option<Self> {
        let (start, absolute) = if text.starts_with('/') {
            (0, None)
        } else {
            let (scheme, rest) = text.split_once("://")?;
            let secure = match scheme.to_ascii_lowercase().as_str() {
                "http" => false,
                "https" => true,
                _ => return None,
            };
            let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
            (scheme.len() + 3 + authority.len(), Some((secure, Authority::parse(authority)?)))
        };
        let path_end = text[start..].find('?').map_or(text.len(), |at| start + at);
        let query = (path_end < text.len()).then(|| path_end + 1..text.len());
        Some(Self { text, path: start..path_end, query, absolute })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The path; `/` where an absolute URL has none.
    pub(super) fn path(&self) -> &str {
        if self.path.is_empty() { "/" } else { &self.text[self.path.clone()] }
    }

    pub(super) fn query(&self) -> Option<&str> {
        self.query.clone().map(|query| &self.text[query])
    }

    /// Whether the target names no other host than `Host` does, and no other scheme than the one it came over.
    ///
    /// RFC 9112 §3.2.2 would have us ignore `Host`; where two readings differ, we take neither.
    pub(super) fn agrees_with(&self, host: &Authority, secure: Option<bool>) -> bool {
        let Some((is_https, authority)) = &self.absolute else { return true };
        secure.is_none_or(|secure| secure == *is_https) && authority.same(host, default_port(*is_https))
    }
}
