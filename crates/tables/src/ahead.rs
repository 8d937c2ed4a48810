//! The next item is made while the last one is used.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// An iterator that runs on a thread of its own, one item ahead. The thread starts with the first item asked for and ends
/// when the iterator does or is dropped.
pub(crate) enum ReadAhead<T> {
    Waiting(Box<dyn Iterator<Item = T> + Send>),
    Running(Receiver<T>, JoinHandle<()>),
    Ended,
}

impl<T> ReadAhead<T> {
    pub(crate) fn new(items: impl Iterator<Item = T> + Send + 'static) -> Self {
        Self::Waiting(Box::new(items))
    }
}

impl<T: Send + 'static> Iterator for ReadAhead<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            match std::mem::replace(self, Self::Ended) {
                Self::Ended => return None,
                Self::Waiting(items) => {
                    // Nothing is stored on the way: one item waits in the thread's hand while one is used here.
                    let (sender, receiver) = sync_channel(0);
                    let thread = std::thread::spawn(move || {
                        for item in items {
                            if sender.send(item).is_err() {
                                return;
                            }
                        }
                    });
                    *self = Self::Running(receiver, thread);
                }
                Self::Running(receiver, thread) => match receiver.recv() {
                    Ok(item) => {
                        *self = Self::Running(receiver, thread);
                        return Some(item);
                    }
                    // The end, or a panic, which must not look like the end.
                    Err(_) => {
                        if let Err(panic) = thread.join() {
                            std::panic::resume_unwind(panic);
                        }
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ReadAhead;

    #[test]
    fn all_items_come_in_order_and_then_none() {
        let mut items = ReadAhead::new(0..1000);
        assert!(items.by_ref().eq(0..1000));
        assert_eq!(items.next(), None);
    }

    #[test]
    fn a_panic_on_the_way_does_not_look_like_the_end() {
        let items = ReadAhead::new((0..3).map(|item| if item == 2 { panic!("item {item}") } else { item }));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| items.count()));
        assert_eq!(caught.unwrap_err().downcast_ref::<String>().unwrap(), "item 2");
    }

    #[test]
    fn no_more_than_the_next_item_is_made() {
        use std::sync::atomic::{AtomicU32, Ordering};
        static MADE: AtomicU32 = AtomicU32::new(0);
        let mut items = ReadAhead::new((0..1000).inspect(|_| _ = MADE.fetch_add(1, Ordering::SeqCst)));
        items.next();
        items.next();
        let ReadAhead::Running(receiver, thread) = items else { panic!("not running") };
        drop(receiver);
        thread.join().unwrap();
        assert!(MADE.load(Ordering::SeqCst) <= 3);
    }
}
