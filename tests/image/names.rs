//! Names, in a root that has no libc: the webhook asks the name server of its `resolv.conf` for the API server, and
//! connects to the address that it was told.
//!
//! The name server answers on port 53 of a loopback address of this process's own: a `resolv.conf` knows no other port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};

use super::container::{Container, volume};
use super::layout::Layout;
use super::support::programs::skip;

/// What nothing but the name server below knows: no name server of the world answers for `.example`.
const NAME: &str = "kubernetes.image.example";
const BOUND: Duration = Duration::from_secs(60);
const TYPE_A: u16 = 1;

#[tokio::test]
async fn names_are_asked_for() {
    let test = "names_are_asked_for";
    let Some(image) = Layout::or_skip(test) else { return };
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, high, low, 53);
    let server = match UdpSocket::bind(SocketAddr::from((address, 53))).await {
        Ok(server) => server,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            skip(test, "port for names", "port 53 is root's here; see net.ipv4.ip_unprivileged_port_start");
            return;
        }
        Err(error) => panic!("{address}:53: {error}"),
    };
    let api = TcpListener::bind(SocketAddr::from((address, 0))).await.unwrap();
    let files = volume(&[
        ("resolv.conf", &format!("nameserver {address}\n")),
        ("kubeconfig", &kubeconfig(api.local_addr().unwrap().port())),
    ]);
    let mut container = Container::new(&image);
    container.mount(&files.path().join("resolv.conf"), "/etc/resolv.conf");
    container.mount(&files.path().join("kubeconfig"), "/kubeconfig");
    container.variable("KUBECONFIG", "/kubeconfig");
    container.variable("POD_NAME", "keystow-webhook-0");
    container.variable("POD_NAMESPACE", "keystow");
    let running =
        container.start(&["webhook", "--self-managed", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"]);
    let connected = async {
        tokio::select! {
            connection = api.accept() => connection.unwrap(),
            end = answer(&server, address) => panic!("the name server: {end}"),
        }
    };
    let connected = tokio::time::timeout(BOUND, connected).await;
    assert!(connected.is_ok(), "nobody connected within {BOUND:?}: {}", running.log());
}

/// Where to find an API server, by its name.
fn kubeconfig(port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters:\n- {{name: test, cluster: {{server: \"https://{NAME}:{port}\"}}}}\n\
         users:\n- {{name: test, user: {{token: none}}}}\n\
         contexts:\n- {{name: test, context: {{cluster: test, user: test, namespace: keystow}}}}\n"
    )
}

/// Answers every question for [`NAME`]: it has one address, of version 4. Other names do not exist.
async fn answer(server: &UdpSocket, address: Ipv4Addr) -> io::Error {
    let mut buffer = [0; 512];
    loop {
        let (length, client) = match server.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => return error,
        };
        if let Some(reply) = reply(&buffer[..length], address)
            && let Err(error) = server.send_to(&reply, client).await
        {
            return error;
        }
    }
}

/// The reply to a query of one question (RFC 1035, section 4); none to anything else.
fn reply(query: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let (header, mut rest) = query.split_at_checked(12)?;
    let mut labels = Vec::new();
    loop {
        let (length, after) = rest.split_first()?;
        let (label, after) = after.split_at_checked(usize::from(*length))?;
        rest = after;
        if label.is_empty() {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_lowercase());
    }
    let (question, additional) = rest.split_at_checked(4)?;
    let known = labels.join(".") == NAME;
    let has_address = known && question[..2] == TYPE_A.to_be_bytes();
    // Authoritative, no recursion; code 3 is "no such name". Then one question, the answers, and nothing more.
    let mut reply = header[..2].to_vec();
    reply.extend([0x84, if known { 0 } else { 3 }, 0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    reply.extend(&query[12..query.len() - additional.len()]);
    if has_address {
        // The name is that at offset 12; class IN; a minute to live; four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}
