// SPDX-License-Identifier: AGPL-3.0-or-later
//! The console: pages and their assets, and nothing else. Pages hold no data; their scripts ask the API.
//!
//! Everything is compiled in and looked up by its whole path, so there is no path to traverse. Knows no other service.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::platform::recovery;
use crate::platform::store::claim;
use crate::platform::store::workspace::Workspace;

/// What a page may load and do: its own script, style and API, and nothing inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A compiled-in file.
struct Asset {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const ASSETS: [Asset; 3] = [
    Asset {
        path: "/assets/console.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("web/dist/console.js"),
    },
    Asset {
        path: "/assets/console.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("web/dist/console.css"),
    },
    Asset { path: "/assets/icon.svg", kind: "image/svg+xml", bytes: include_bytes!("web/dist/icon.svg") },
];

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    lang: &'static str,
    appliance_name: &'static str,
    version: &'static str,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    lang: &'static str,
    appliance_name: &'static str,
    version: &'static str,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    lang: &'static str,
    appliance_name: &'static str,
    version: &'static str,
}

#[derive(Template)]
#[template(path = "workspace.html")]
struct WorkspacePage {
    lang: &'static str,
    appliance_name: &'static str,
    version: &'static str,
}

#[derive(Template)]
#[template(path = "recover.html")]
struct RecoverPage {
    lang: &'static str,
    appliance_name: &'static str,
    version: &'static str,
}

#[derive(Template)]
#[template(path = "operator.html")]
struct OperatorPage {
    lang: &'static str,
    appliance_name: &'static str,
    version: &'static str,
}

/// What the header of a page says.
const APPLIANCE_NAME: &str = "Conclave";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Every page and asset. `system` says whether somebody has claimed the appliance; `not_found` answers for the setup
/// page once that is so.
pub fn routes(system: &Arc<Workspace>, not_found: fn() -> Response) -> Router {
    let claim = Claim { system: Arc::clone(system), not_found };
    let pages = Router::new()
        .route("/", get(sign_in))
        .route("/setup", get(setup))
        .with_state(claim)
        .route("/account", get(account))
        .route("/recover", get(recover))
        .route("/workspace", get(workspace))
        .route("/operator", get(operator))
        .route("/source", get(source))
        .route("/assets/words.txt", get(words));
    let with_assets = ASSETS.iter().fold(pages, |router, asset| router.route(asset.path, get(async || serve(asset))));
    with_assets.layer(middleware::map_response(async |mut response: Response| {
        for (name, value) in HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }))
}

/// Whether somebody runs the appliance.
#[derive(Clone)]
struct Claim {
    system: Arc<Workspace>,
    not_found: fn() -> Response,
}

impl Claim {
    /// A file that cannot be read is no invitation: then the appliance counts as claimed.
    async fn is_open(&self) -> bool {
        let claimed = self.system.read(claim::is_claimed).await;
        let failed = |error| tracing::error!(error = %error, "whether the appliance is claimed cannot be read");
        !claimed.map_err(failed).unwrap_or(true)
    }
}

async fn sign_in(State(claim): State<Claim>, headers: HeaderMap) -> Response {
    if claim.is_open().await {
        return ([(header::CACHE_CONTROL, "no-store")], Redirect::to("/setup")).into_response();
    }
    page(&SignInPage { lang: language(&headers), appliance_name: APPLIANCE_NAME, version: VERSION })
}

async fn setup(State(claim): State<Claim>, headers: HeaderMap) -> Response {
    if !claim.is_open().await {
        return (claim.not_found)();
    }
    page(&SetupPage { lang: language(&headers), appliance_name: APPLIANCE_NAME, version: VERSION })
}

async fn recover(headers: HeaderMap) -> Response {
    page(&RecoverPage { lang: language(&headers), appliance_name: APPLIANCE_NAME, version: VERSION })
}

/// What recovery kits are made of, for the setup page.
async fn words() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, recovery::word_list()).into_response()
}

async fn account(headers: HeaderMap) -> Response {
    page(&AccountPage { lang: language(&headers), appliance_name: APPLIANCE_NAME, version: VERSION })
}

async fn workspace(headers: HeaderMap) -> Response {
    page(&WorkspacePage { lang: language(&headers), appliance_name: APPLIANCE_NAME, version: VERSION })
}

async fn operator(headers: HeaderMap) -> Response {
    page(&OperatorPage { lang: language(&headers), appliance_name: APPLIANCE_NAME, version: VERSION })
}

/// The offer that section 13 of the AGPL asks for.
async fn source() -> Response {
    let text = format!(
        "Conclave {VERSION}\n\n\
         The server is free software under the GNU Affero General Public License, version 3 or later.\n\
         The protocol schema, the client library and the TypeScript SDK are under Apache-2.0 or MIT, at your choice.\n\n\
         Whoever uses this appliance over a network may have the complete source code of exactly this version, free of\n\
         charge. It lies beside the installed package; ask the operator of this appliance for it.\n\n{}",
        include_str!("../../LICENSE")
    );
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => {
            ([(header::CACHE_CONTROL, "no-store"), (header::VARY, "accept-language")], Html(html)).into_response()
        }
        Err(error) => {
            tracing::error!(error = %error, "a page does not render");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn serve(asset: &'static Asset) -> Response {
    ([(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "no-cache")], asset.bytes).into_response()
}

/// Dutch for who prefers it to English, English for everybody else.
fn language(headers: &HeaderMap) -> &'static str {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let tags = accepted.split(',').filter_map(|tag| tag.split([';', '-']).next()).map(str::trim);
    match tags.map(str::to_ascii_lowercase).find(|tag| tag == "nl" || tag == "en") {
        Some(tag) if tag == "nl" => "nl",
        _ => "en",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_the_first_one_we_have() {
        let check = |accepted: &str, expected: &str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, accepted.parse().unwrap())]);
            assert_eq!(language(&headers), expected, "{accepted}");
        };
        check("nl-NL,nl;q=0.9,en;q=0.8", "nl");
        check("de-DE,en;q=0.5,nl;q=0.3", "en");
        check("fr", "en");
    }
}
