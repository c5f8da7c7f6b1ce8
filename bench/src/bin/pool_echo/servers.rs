//! The same echo by both libraries, each as its documentation has it: a task and a buffer a connection.

use std::{future::pending, io, net::SocketAddr};

use pike_sched::Pool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A listening socket a worker, where the system shares connections out.
pub fn pike(workers: usize, address: SocketAddr, buffer_len: usize) -> io::Result<()> {
    let pool = Pool::builder().workers(workers).build()?;
    let listener = pool.listen(address)?;
    println!("{}", listener.local_addr());
    listener.serve(move |stream, _| async move {
        // Its peer is gone, which is how a connection ends here.
        let _ = echo_by_pike(stream, buffer_len).await;
    });
    pool.run(pending())
}

async fn echo_by_pike(stream: pike::net::TcpStream, buffer_len: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = vec![0; buffer_len];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

pub fn tokio(workers: usize, address: SocketAddr, buffer_len: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_io().build()?;
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(1024)?;
        println!("{}", listener.local_addr()?);
        // In a task, and so on a worker.
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(echo_by_tokio(stream, buffer_len));
            }
        });
        accepting.await.map_err(io::Error::other)?
    })
}

async fn echo_by_tokio(mut stream: tokio::net::TcpStream, buffer_len: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = vec![0; buffer_len];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}
