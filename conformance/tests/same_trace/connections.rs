//! Binding, listening, accepting and connecting, and what of it makes no sense.

use std::net::{self, SocketAddr};

use pike::net::{TcpListener, TcpStream};
use pike_conformance::Task;

use crate::stage::Stage;

pub fn scene(stage: &mut Stage) {
    let listener = stage.run(TcpListener::bind("127.0.0.1:0")).unwrap();
    let at = listener.local_addr().unwrap();
    stage.result("nobody yet", listener.try_accept().map(drop));

    // Those who wait are served in order.
    let mut waiting: Vec<_> = (0..2).map(|_| Task::pending(listener.accept())).collect();
    stage.settle();
    let clients: Vec<_> = (0..4).map(|_| net::TcpStream::connect(at).unwrap()).collect();
    let number = |peer: SocketAddr| clients.iter().position(|client| client.local_addr().unwrap() == peer);
    for task in &mut waiting {
        let accepted = stage.finish(task);
        stage.result("accepted", accepted.map(|(_, peer)| number(peer)));
    }
    drop(waiting);
    let accepted = stage.run(listener.accept());
    stage.result(
        "the next",
        accepted.map(|(stream, peer)| (number(peer), stream.peer_addr().ok() == Some(peer))),
    );
    let accepted = stage.run(listener.accept_std());
    stage.result("the last, for std", accepted.map(|(_, peer)| number(peer)));
    stage.result("nobody else", listener.try_accept().map(drop));

    let client = stage.run(TcpStream::connect(at)).unwrap();
    let (server, peer) = stage.run(listener.accept()).unwrap();
    stage.note("accepted from the client", peer == client.local_addr().unwrap());
    stage.note("connected to the server", client.peer_addr().ok() == server.local_addr().ok());
    // Linux may say of the first connect once more that it succeeded.
    let _ = stage.run(client.socket().connect(at));
    let again = stage.run(client.socket().connect(at));
    stage.result("connected again and again", again);
    let accepted = stage.run(server.socket().accept());
    stage.result("accept of a stream", accepted.map(drop));
    let connected = stage.run(listener.socket().connect(at));
    stage.result("connect of a listener", connected);

    let socket = stage.bare();
    let accepted = stage.run(socket.accept());
    stage.result("accept before listen", accepted.map(drop));
    stage.result("peer of none", socket.peer_addr().map(drop));
    stage.result("shutdown of none", socket.shutdown(net::Shutdown::Both));
    let connected = stage.run(socket.connect(at));
    stage.result("a bare socket connects", connected);
    let closed = stage.run(socket.close());
    stage.result("and is closed", closed);
    let (server, _) = stage.run(listener.accept()).unwrap();
    let end = stage.run(server.read(&mut [0; 8]));
    stage.result("its peer sees the end", end);

    drop(listener);
    stage.settle();
    let refused = stage.run(TcpStream::connect(at));
    stage.result("refused", refused.map(drop));
    let socket = stage.bare();
    let refused = stage.run(socket.connect(at));
    stage.result("refused, and the socket stays", refused);
    stage.result("with no peer", socket.peer_addr().map(drop));
    let error = socket.get(pike::socket::option::Error);
    stage.result("and no error left", error.map(|error| error.is_some()));
}
