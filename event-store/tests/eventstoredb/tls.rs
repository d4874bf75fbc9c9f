//! Encrypted connections, and the files that a connection string names for them.

use std::sync::Arc;
use std::time::Duration;

use event_store::eventstoredb::Options;
use event_store::{EventStore, EventStoreDb};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;

use crate::stub::Node;
use crate::{QUICK, batch, open};

/// An authority that signs certificates of servers.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server(authority: &CertifiedIssuer<'static, KeyPair>) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&key, authority).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_believed_whose_authority_is_named_and_no_other() {
    let (ours, other) = (authority(), authority());
    let node = Node::start_with(server(&ours)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        std::fs::write(folder.path().join(name), text).unwrap();
        format!("tlsCaFile={}", folder.path().join(name).display())
    };
    for (parameter, believed) in [
        (file("ours.pem", ours.pem()), true),
        (file("other.pem", other.pem()), false),
        ("tls=true".into(), false),
        ("tlsVerifyCert=false".into(), true),
        ("tls=false".into(), false),
    ] {
        let url = format!("esdb://admin:abad1dea@127.0.0.1:{}?{parameter}", node.port);
        let store = open(&url, Options { append: Duration::from_millis(100), ..QUICK }).await;
        let head = node.database.state().streams.get("muneem").map_or(0, Vec::len) as u64;
        let told = store.append(head.checked_sub(1), &batch(head, 1)).await;
        assert_eq!(told.is_ok(), believed, "{parameter}: {told:?}");
        assert!(!format!("{told:?}").contains("abad1dea"), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_certificates_that_cannot_be_used_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("broken.pem"), "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n")
        .unwrap();
    for parameters in [
        format!("tlsCaFile={}", path("missing.pem")),
        format!("tlsCaFile={}", path("broken.pem")),
        format!("userCertFile={0}&userKeyFile={0}", path("missing.pem")),
    ] {
        let url = format!("esdb://admin:abad1dea@127.0.0.1:1?{parameters}");
        let told = EventStoreDb::connect(&url, "muneem").await.err().expect(&parameters).to_string();
        assert!(told.contains("kurrentdb://127.0.0.1:1") && told.contains("certificates"), "{told}");
        assert!(!told.contains("abad1dea"), "{told}");
    }
}
