//! What Prometheus is told: `GET /metrics`, in its text format or as OpenMetrics.
//!
//! ```text
//! daemon: Metrics, routers --Scrape--> kernel's maps --> page: text --> server --> HTTP
//!              ^                       (a thread of its own)
//! fast thread: SharedDistribution
//! ```
//!
//! The daemon counts in [`Metrics`] as things happen, and at each question copies that,
//! and how all is, into a [`Scrape`]; it waits for nobody. To ask the kernel for the rest
//! ([`kernel`]) and to write it ([`page`]) takes longer, and is done by another thread.
//!
//! Label values are names of declared routers and words of this program: their number is
//! bounded by what is declared, and nobody on a network can add one. Times are in
//! seconds. A count that concerns a router goes when the router does.
//!
//! Reading order: [`counted`] (what is counted as it happens), [`scrape`] (how all is at
//! a moment), [`page`] (what it is called, and said to mean), [`server`];
//! [`distribution`], [`growth`], [`kernel`], [`listen`], [`process`].

mod counted;
mod distribution;
mod growth;
mod kernel;
mod listen;
pub mod page;
mod process;
mod scrape;
mod server;

pub use counted::{Metrics, why};
pub use distribution::{Distribution, SharedDistribution};
pub use listen::Listen;
pub use scrape::{AdvertSample, HookSample, RouterSample, Scrape, SessionSample, seconds};
pub use server::{Gathered, Question, Server};
