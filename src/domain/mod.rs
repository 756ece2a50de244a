//! The pure core: what is decided, without any doing.
//!
//! Owns the field's terms and the decisions: `admit` (event to runs), `decide` (run and time to
//! effect), `settle` (run and outcome to next position). Names no IO crate, no clock, no
//! randomness and no `async fn`; time and chance come in as arguments, effects go out as data.

pub mod access;
pub mod admit;
pub mod advice;
pub mod again;
pub mod approval;
pub mod audit;
pub mod brake;
pub mod calendar;
pub mod command;
pub mod correlation;
pub mod desk;
pub mod doubt;
pub mod drill;
pub mod escalation;
pub mod estate;
pub mod event;
pub mod expiry;
pub mod health;
pub mod id;
pub mod instructions;
pub mod legal;
pub mod obey;
pub mod outcome;
pub mod pause;
pub mod probe;
pub mod protect;
pub mod retry;
pub mod review;
pub mod roster;
pub mod rotation;
pub mod round;
pub mod run;
pub mod settlement;
pub mod status;
pub mod step;
pub mod subject;
pub mod task;
pub mod time;
pub mod user;
pub mod verdict;
pub mod workflow;
