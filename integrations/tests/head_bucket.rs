//! Heads in a bucket, at a stand-in that checks signatures as S3 does.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use integrations::head_bucket::{HeadBucket, HeadBucketError};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex};

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// The objects of a bucket by their names.
type Objects = Arc<Mutex<BTreeMap<String, String>>>;

/// A bucket, its objects, and a client of it.
async fn bucket(secret: &str) -> (HeadBucket, Objects) {
    let objects = Objects::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = Router::new().fallback(answer).with_state(objects.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let variables = [
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_REGION", "ap-south-1".to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("HOME", "/".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    (HeadBucket::new("heads", "kept/here", variables).expect("its settings"), objects)
}

async fn answer(State(objects): State<Objects>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or("").to_owned());
    if !is_signed(&parts.method, &path, &query, &parts.headers, &body) {
        return (StatusCode::FORBIDDEN, "<Error><Code>SignatureDoesNotMatch</Code></Error>").into_response();
    }
    let mut objects = objects.lock().expect("the objects");
    let Some(name) = path.strip_prefix("/heads").map(|name| name.trim_start_matches('/').to_owned()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match (parts.method, name.as_str()) {
        (Method::PUT, _) => {
            let create = parts.headers.get("if-none-match").is_some_and(|it| it == "*");
            if create && objects.contains_key(&name) {
                return StatusCode::PRECONDITION_FAILED.into_response();
            }
            objects.insert(name, String::from_utf8(body.to_vec()).expect("a note"));
            (StatusCode::OK, [("etag", "\"1\"")]).into_response()
        }
        (Method::GET, "") => listed(&objects, &query).into_response(),
        (Method::GET, _) => match objects.get(&name) {
            Some(note) => {
                let headers = [("etag", "\"1\""), ("last-modified", "Fri, 27 Nov 2026 10:00:00 GMT")];
                (headers, note.clone()).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// ListObjectsV2, with the names up to the next `/` gathered.
fn listed(objects: &BTreeMap<String, String>, query: &str) -> String {
    let prefix = query.split('&').find_map(|it| it.strip_prefix("prefix=")).unwrap_or("").replace("%2F", "/");
    let (mut text, mut folders) = (String::new(), BTreeSet::new());
    for (name, note) in objects.iter().filter(|(name, _)| name.starts_with(&prefix)) {
        match name[prefix.len()..].split_once('/') {
            Some((folder, _)) => drop(folders.insert(format!("{prefix}{folder}/"))),
            None => write!(
                text,
                "<Contents><Key>{name}</Key><LastModified>2026-11-27T10:00:00.000Z</LastModified><ETag>\"1\"</ETag>\
                 <Size>{}</Size></Contents>",
                note.len()
            )
            .expect("a text"),
        }
    }
    for folder in folders {
        write!(text, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>").expect("a text");
    }
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{text}</ListBucketResult>")
}

/// AWS Signature Version 4 in the header `authorization`.
fn is_signed(method: &Method, path: &str, query: &str, headers: &HeaderMap, body: &Bytes) -> bool {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or("").to_owned();
    let authorization = text("authorization");
    let part = |name: &str| {
        let parts = authorization.trim_start_matches("AWS4-HMAC-SHA256 ").split(',');
        let found = parts.filter_map(|it| it.trim().split_once('=')).find(|(key, _)| *key == name);
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let (credential, signed, signature) = (part("Credential"), part("SignedHeaders"), part("Signature"));
    let Some((key, scope)) = credential.split_once('/') else { return false };
    let hash = text("x-amz-content-sha256");
    if key != KEY || (hash != "UNSIGNED-PAYLOAD" && hash != hex::encode(Sha256::digest(body))) {
        return false;
    }
    let mut sorted: Vec<&str> = query.split('&').filter(|it| !it.is_empty()).collect();
    sorted.sort_unstable();
    let lines: String = signed.split(';').map(|name| format!("{name}:{}\n", text(name).trim())).collect();
    let request = format!("{method}\n{path}\n{}\n{lines}\n{signed}\n{hash}", sorted.join("&"));
    let request = hex::encode(Sha256::digest(request));
    let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{request}", text("x-amz-date"));
    let mac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let signing = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| mac(&key, part));
    hex::encode(mac(&signing, &to_sign)) == signature
}

#[tokio::test]
async fn a_head_is_kept_once_and_never_written_over() {
    let (bucket, objects) = bucket(SECRET).await;
    for _ in 0..2 {
        bucket.keep("muneem/j/2026-11-27/1.checkpoint", "one").await.expect("it is kept");
    }
    let name = "kept/here/muneem/j/2026-11-27/1.checkpoint".to_owned();
    assert_eq!(*objects.lock().expect("objects"), BTreeMap::from([(name, "one".to_owned())]));
    let other = bucket.keep("muneem/j/2026-11-27/1.checkpoint", "other").await;
    assert!(matches!(other, Err(HeadBucketError::Another(_))), "{other:?}");
    assert_eq!(objects.lock().expect("objects").values().collect::<Vec<_>>(), ["one"]);
}

#[tokio::test]
async fn the_last_heads_of_a_log_are_found_over_days() {
    let (bucket, _) = bucket(SECRET).await;
    assert_eq!(bucket.last("muneem/j", 8).await.expect("nothing yet"), []);
    for name in
        ["j/2026-11-26/1", "j/2026-11-26/2", "j/2026-11-27/3", "j/1/2026-11-28/1", "other/2026-11-27/9"]
    {
        bucket.keep(&format!("muneem/{name}"), name).await.expect("it is kept");
    }
    let last = bucket.last("muneem/j", 2).await.expect("the last two");
    let notes: Vec<&str> = last.iter().map(|(_, note)| note.as_str()).collect();
    assert_eq!(notes, ["j/2026-11-27/3", "j/2026-11-26/2"]);
    assert_eq!(bucket.last("muneem/j", 8).await.expect("all").len(), 3);
}

#[tokio::test]
async fn a_wrong_key_and_a_missing_one_are_told_without_secrets() {
    let (bucket, objects) = bucket("another secret").await;
    let refused = bucket.keep("a", "one").await.expect_err("the signature is wrong").to_string();
    assert!(
        refused.contains("did not answer as it should") && !refused.contains("another secret"),
        "{refused}"
    );
    assert!(objects.lock().expect("objects").is_empty());
    let nothing: [(String, String); 0] = [];
    assert!(HeadBucket::new("heads", "", nothing).is_ok(), "keys may come from the machine's role");
}
