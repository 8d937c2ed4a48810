//! A hard limit on tokens and money.
//!
//! Before a request is sent, the most it could use is reserved; afterwards the reservation is replaced by what it did
//! use. Requests wait while reservations of others stand in their way, so that towards the limit fewer and fewer run
//! at once, and the limit is never passed.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Tokens and their price.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spend {
    /// Prompt and completion tokens together.
    pub tokens: u64,
    /// Price, in the currency of the teacher's price list.
    pub cost: f64,
}

impl Spend {
    fn plus(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_add(other.tokens), cost: self.cost + other.cost }
    }

    fn minus(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_sub(other.tokens), cost: (self.cost - other.cost).max(0.0) }
    }
}

/// The limit, and what has been spent and reserved of it.
#[derive(Debug)]
pub(crate) struct Budget {
    tokens: Option<u64>,
    cost: Option<f64>,
    state: Mutex<State>,
    released: Notify,
}

#[derive(Debug, Default)]
struct State {
    spent: Spend,
    reserved: Spend,
    in_flight: usize,
}

/// The budget has no room for even one more request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Budget {
    pub(crate) fn new(tokens: Option<u64>, cost: Option<f64>, spent: Spend) -> Self {
        Self { tokens, cost, state: Mutex::new(State { spent, ..State::default() }), released: Notify::new() }
    }

    /// What has been spent so far, reservations not counted.
    pub(crate) fn spent(&self) -> Spend {
        self.lock().spent
    }

    /// Reserves `most`, waiting for other requests to finish if they hold what is needed.
    pub(crate) async fn reserve(&self, most: Spend) -> Result<Reservation<'_>, Exhausted> {
        loop {
            // Registered before the look at the state, so that no release in between is missed.
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            {
                let mut state = self.lock();
                let total = state.spent.plus(state.reserved).plus(most);
                let fits = self.tokens.is_none_or(|limit| total.tokens <= limit)
                    && self.cost.is_none_or(|limit| total.cost <= limit * (1.0 + 1e-12));
                if fits {
                    state.reserved = state.reserved.plus(most);
                    state.in_flight += 1;
                    return Ok(Reservation { budget: self, most, used: most });
                }
                if state.in_flight == 0 {
                    return Err(Exhausted);
                }
            }
            released.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // The state is consistent after every statement that holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room in the budget for one request. Unless told otherwise, dropping it charges all of it: a request that was given
/// up may have been billed in full.
#[derive(Debug)]
pub(crate) struct Reservation<'a> {
    budget: &'a Budget,
    most: Spend,
    used: Spend,
}

impl Reservation<'_> {
    /// Charges `used` instead of the whole reservation.
    pub(crate) fn settle(mut self, used: Spend) {
        self.used = used;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.reserved = state.reserved.minus(self.most);
        state.spent = state.spent.plus(self.used);
        state.in_flight -= 1;
        if state.in_flight == 0 {
            // Sums of floating-point costs do not cancel exactly.
            state.reserved = Spend::default();
        }
        drop(state);
        self.budget.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(tokens: u64) -> Spend {
        Spend { tokens, cost: 0.0 }
    }

    #[tokio::test]
    async fn a_reservation_waits_for_others_and_gives_up_when_alone() {
        let budget = Budget::new(Some(100), None, tokens(10));
        let first = budget.reserve(tokens(60)).await.unwrap();
        let mut second = Box::pin(budget.reserve(tokens(60)));
        let waits = tokio::time::timeout(std::time::Duration::from_millis(10), second.as_mut()).await;
        assert!(waits.is_err());
        first.settle(tokens(20));
        let second = second.await.unwrap();
        second.settle(tokens(60));
        assert_eq!(budget.spent(), tokens(90));
        assert_eq!(budget.reserve(tokens(11)).await.unwrap_err(), Exhausted);
        assert!(budget.reserve(tokens(10)).await.is_ok());
    }

    #[tokio::test]
    async fn a_dropped_reservation_is_charged_in_full() {
        let budget = Budget::new(None, Some(1.0), Spend::default());
        drop(budget.reserve(Spend { tokens: 5, cost: 0.75 }).await.unwrap());
        assert_eq!(budget.spent(), Spend { tokens: 5, cost: 0.75 });
        assert!(budget.reserve(Spend { tokens: 5, cost: 0.5 }).await.is_err());
    }
}
