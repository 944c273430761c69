//! TLS from PEM files, with errors that name the file and what is wrong with it. Used by [`crate::listen`]; the paths come
//! from `baton`. No certificate is made here.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::error::NetError;

/// A certificate chain with its key, ready to be used by any listener.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads a certificate chain (the server's own first) and its private key, both PEM.
    ///
    /// # Errors
    /// [`NetError::TlsFile`] and [`NetError::TlsContent`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, NetError> {
        let chain = certificates(&read("certificate", certificate)?)
            .map_err(|problem| content("certificate", certificate, problem))?;
        let private = private_key(&read("key", key)?).map_err(|problem| content("key", key, problem))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| content("certificate", certificate, error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => content(
                    "key",
                    key,
                    format!(
                        "it does not belong to the certificate {}; configure the two together",
                        certificate.display()
                    ),
                ),
                error => content("certificate", certificate, error.to_string()),
            })?;
        Ok(Self { config: Arc::new(config) })
    }

    /// An acceptor that offers these application protocols (ALPN); none: whatever the peer says.
    pub(crate) fn acceptor(&self, alpn: &[&str]) -> TlsAcceptor {
        if alpn.is_empty() {
            return TlsAcceptor::from(Arc::clone(&self.config));
        }
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Why a handshake failed, in words that help: the usual reason is a peer that speaks no TLS.
pub(crate) fn handshake_problem(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => {
            "the peer does not speak TLS; connect with TLS (amqps://, https://) or to a listener without"
                .into()
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("the peer refused with the alert {alert:?}; it may not trust the certificate")
        }
        _ => error.to_string(),
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, NetError> {
    std::fs::read(path).map_err(|source| NetError::TlsFile { what, path: path.into(), source })
}

fn content(what: &'static str, path: &Path, problem: String) -> NetError {
    NetError::TlsContent { what, path: path.into(), problem }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("it is not valid PEM: {error}"))?;
    if chain.is_empty() {
        return Err("it holds no certificate; it should have a block BEGIN CERTIFICATE".into());
    }
    Ok(chain)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    if pem.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) {
        return Err("the key is encrypted; decrypt it (openssl pkey -in KEY -out PLAIN) and protect the file by its permissions".into());
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            "it holds no private key; it should have a block BEGIN PRIVATE KEY".into()
        }
        error => format!("it is not valid PEM: {error}"),
    })
}

const ENCRYPTED: &[u8] = b"BEGIN ENCRYPTED PRIVATE KEY";

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn problem(certificate: &str, key: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (c, k) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        std::fs::write(&c, certificate).unwrap();
        std::fs::write(&k, key).unwrap();
        Tls::load(&c, &k).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn files_that_do_not_fit_are_named() {
        let pair = || {
            let CertifiedKey { cert, signing_key } =
                generate_simple_self_signed(vec!["localhost".into()]).unwrap();
            (cert.pem(), signing_key.serialize_pem())
        };
        let (cert, key) = pair();
        let (_, other_key) = pair();
        assert_eq!(problem(&cert, &key), "");
        for (cert, key, file, says) in [
            (cert.as_str(), "", "k.pem", "holds no private key"),
            (&cert, &cert, "k.pem", "holds no private key"),
            ("", &key, "c.pem", "holds no certificate"),
            (&key, &key, "c.pem", "holds no certificate"),
            (&cert, &other_key, "k.pem", "does not belong to the certificate"),
            (&cert, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "k.pem", "openssl pkey"),
            ("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", &key, "c.pem", "not valid PEM"),
        ] {
            let problem = problem(cert, key);
            assert!(problem.contains(file) && problem.contains(says), "{says}: {problem}");
        }
        let missing = Tls::load(Path::new("/nowhere/c.pem"), Path::new("/nowhere/k.pem")).unwrap_err();
        assert!(
            missing.to_string().starts_with("cannot read the TLS certificate /nowhere/c.pem"),
            "{missing}"
        );
    }
}
