use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::*;
use crate::url::Reach;

/// A server that answers its one client with these bytes, and then ends the connection, or holds it open.
async fn answering(bytes: Vec<u8>, then_ends: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                return;
            }
            request.push(byte[0]);
        }
        // A client that has read enough goes away.
        let _written = stream.write_all(&bytes).await;
        if !then_ends {
            std::future::pending::<()>().await;
        }
    });
    address
}

async fn sent(client: &Client, address: SocketAddr) -> Result<Answer, String> {
    let url = Url::parse(&format!("http://{address}/x"), Reach::LoopbackToo).unwrap();
    client.send(Request::Get(&url)).await
}

async fn asked(bytes: impl Into<Vec<u8>>) -> Result<Answer, String> {
    let address = answering(bytes.into(), true).await;
    sent(&Client::without_tls(), address).await
}

fn body(text: &str) -> Result<Answer, String> {
    Ok(Answer {
        status: 200,
        body: text.into(),
    })
}

#[tokio::test]
async fn a_body_ends_by_its_length_its_chunks_or_the_connection() {
    assert_eq!(
        asked("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}more").await,
        body("{}")
    );
    assert_eq!(asked("HTTP/1.0 200 OK\r\n\r\n{\"a\":1}").await, body("{\"a\":1}"));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n00A\r\n\"a\": \"bcd\"\r\n1\r\n}\r\n0\r\n\r\n";
    assert_eq!(asked(chunked).await, body("{\"a\": \"bcd\"}"));
    assert_eq!(
        asked("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap()
            .status,
        503
    );
}

#[tokio::test]
async fn an_answer_whose_length_is_not_clear_or_that_is_cut_is_none() {
    for head in [
        "content-length: 2\r\ncontent-length: 3",
        "content-length: 2\r\ntransfer-encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "content-length: -2",
        "content-length: +2",
        "content-length: 2, 2",
        "content-length: 9",
        "content-encoding: gzip\r\ncontent-length: 2",
    ] {
        let told = asked(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{{}}")).await;
        assert!(told.is_err(), "{head}: {told:?}");
    }
    for chunks in [
        "2\r\n{}",
        "x\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2",
        "",
    ] {
        let told = asked(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}")).await;
        assert!(told.is_err(), "{chunks:?}: {told:?}");
    }
    for bytes in ["", "HTTP/1.1 200", "SSH-2.0-x\r\n\r\n", "\0\0\0"] {
        assert!(asked(bytes).await.is_err(), "{bytes:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_read_to_its_end() {
    let huge = "x".repeat(MAX_BODY + 1);
    for head in [
        format!("content-length: {}", 10 * 1024 * 1024),
        format!("content-length: {}", u128::MAX),
        "x: y".to_owned(),
    ] {
        let told = asked(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{huge}")).await;
        assert_eq!(told, Err(too_long()), "{head}");
    }
    let chunk = format!("{:x}\r\n{}\r\n", MAX_BODY, "x".repeat(MAX_BODY));
    let told = asked(format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    ))
    .await;
    assert_eq!(told, Err(too_long()));
    let told = asked(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(2 * MAX_HEAD))).await;
    assert!(told.is_err(), "{told:?}");
    let many: String = (0..=MAX_FIELDS).map(|n| format!("x{n}: y\r\n")).collect();
    assert!(asked(format!("HTTP/1.1 200 OK\r\n{many}\r\n")).await.is_err());
}

#[tokio::test]
async fn a_server_that_never_ends_its_answer_holds_a_call_for_so_long_alone() {
    let client = Client {
        patience: Duration::from_millis(200),
        ..Client::without_tls()
    };
    for bytes in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"] {
        let address = answering(bytes.into(), false).await;
        let told = sent(&client, address).await;
        assert!(told.unwrap_err().starts_with("no answer within"), "{bytes:?}");
    }
}

#[tokio::test]
async fn no_server_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(
        sent(&Client::without_tls(), address)
            .await
            .unwrap_err()
            .starts_with("no connection")
    );
}

/// A server with a certificate for this name, and the file of its authority.
async fn tls_server(name: &str) -> (SocketAddr, std::path::PathBuf) {
    let signed = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let file = std::env::temp_dir().join(format!("bekci-idp-{}-{name}.pem", std::process::id()));
    std::fs::write(&file, signed.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut piece = [0; 4096];
                let _read = stream.read(&mut piece).await;
                let _written = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                    .await;
                let _closed = stream.shutdown().await;
            }
        }
    });
    (address, file)
}

#[tokio::test]
async fn a_certificate_is_of_an_accepted_authority_and_of_the_host() {
    let (own, authority) = tls_server("localhost").await;
    let (other, not_accepted) = tls_server("other.test").await;
    let client = Client::trusting(Some(&authority)).unwrap();
    for file in [authority, not_accepted] {
        std::fs::remove_file(file).unwrap();
    }
    let at = |port: u16| Url::parse(&format!("https://localhost:{port}/x"), Reach::Https).unwrap();
    assert_eq!(client.send(Request::Get(&at(own.port()))).await, body("{}"));
    let told = client.send(Request::Get(&at(other.port()))).await.unwrap_err();
    assert!(told.starts_with("no TLS connection"), "{told}");
    assert!(Client::trusting(Some(Path::new("/no/such/file"))).is_err());
}
