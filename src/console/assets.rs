//! The style sheet, the script and the mark, served from the binary.
//!
//! Owns their paths, which hold their digests, so that a browser may keep them for good and never has
//! an old one with a new page. Builds nothing: the files are as they were written.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::problem::Problem;

/// One file.
pub(super) struct Asset {
    path: String,
    kind: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(name: &str, kind: &'static str, text: &'static str) -> Self {
        let digest = hex::encode(Sha256::digest(text.as_bytes()));
        Self {
            path: format!("/assets/{}-{name}", &digest[..16]),
            kind,
            text,
        }
    }

    /// Where it is served.
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// The style sheet.
pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("assets/clawback.css");
    Asset::new("clawback.css", "text/css; charset=utf-8", text)
});

/// The script: live updates and keys; every page works without it.
pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("assets/clawback.js");
    Asset::new("clawback.js", "text/javascript; charset=utf-8", text)
});

/// The mark in a browser's tab.
pub(super) static MARK: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("assets/mark.svg");
    Asset::new("mark.svg", "image/svg+xml", text)
});

/// Serves one of them.
pub(super) async fn serve(Path(name): Path<String>) -> Result<Response, Problem> {
    let path = format!("/assets/{name}");
    let known = [&STYLE, &SCRIPT, &MARK];
    let found = known.into_iter().find(|asset| asset.path == path);
    let asset = found.ok_or_else(|| Problem::missing("file"))?;
    let headers = [
        (CONTENT_TYPE, asset.kind),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, asset.text).into_response())
}
