//! What only Windows asks of a program: a socket stays with its first completion port.

use std::{
    io::{ErrorKind, IoSlice, Write},
    net::TcpStream,
};

use pike::{Handle, net, os::windows::OtherNotifier};

use crate::{Cx, Outcome, Task, net::finish, read, system};

/// A socket whose port another Notifier has is refused with an error of its own, as a Handle and as a stream, taken out
/// or not, and given back unharmed; its first Notifier takes it again.
pub fn another_port_is_refused(cx: &Cx) -> Outcome {
    let (one, two) = (cx.notifier(), cx.notifier());
    let (handle, mut peer) = cx.handle(&one);
    let check = |error: &std::io::Error| {
        assert!(OtherNotifier::is(error) && error.kind() == ErrorKind::ResourceBusy, "{error:?}");
    };
    for _ in 0..3 {
        check(&system::register_again(&two, handle.get_ref()).expect("it must be refused"));
        let mut waiting = Task::pending(read(&handle));
        peer.write_all(b"still").unwrap();
        assert_eq!(finish(cx, &one, "the first registration", &mut waiting).unwrap(), b"still");
    }
    let double = handle.get_ref().try_clone().unwrap();
    let (error, double) = Handle::try_new_on(&two, double).unwrap_err();
    check(&error);
    drop(double);

    let (error, plain): (_, TcpStream) = Handle::try_new_on(&two, handle.into_inner()).unwrap_err();
    check(&error);
    {
        let (_here, double) = (two.enter(), plain.try_clone().unwrap());
        check(&net::TcpStream::from_std(double).unwrap_err());
    }
    drop(two);
    let handle = Handle::new_on(&one, plain).unwrap();
    peer.write_all(b"again").unwrap();
    assert_eq!(
        finish(cx, &one, "the first Notifier again", &mut Task::new(read(&handle))).unwrap(),
        b"again"
    );
    Ok(())
}

/// A write from several buffers moves no more at once than one from one does: the system would take all of it, keep a copy,
/// and beyond 4 GiB say a wrong count.
pub fn vectored_writes_are_cut(cx: &Cx) -> Outcome {
    const MAX: usize = 1 << 20;
    let notifier = cx.notifier();
    let (stream, peer) = cx.stream(&notifier);
    let check = |count: usize| {
        assert!((1..=MAX).contains(&count), "{count} bytes at once");
        cx.drain(&peer, count);
    };
    let long = vec![b'x'; 3 * MAX];
    let (half, all) = (&long[..MAX / 2], [IoSlice::new(b""), IoSlice::new(&long), IoSlice::new(&long)]);
    check(notifier.block_on(stream.write_vectored(&all)).unwrap());
    let fit = [half, half, &long[..1]].map(IoSlice::new);
    check(notifier.block_on(stream.write_vectored(&fit)).unwrap());
    check(notifier.block_on(stream.write_vectored(&fit[1..])).unwrap());
    for count in [1, 3] {
        let bufs = vec![long.clone(); count];
        let (sent, bufs) = notifier.block_on(stream.write_vectored_owned(bufs));
        assert_eq!(bufs.len(), count);
        check(sent.unwrap());
    }
    Ok(())
}
