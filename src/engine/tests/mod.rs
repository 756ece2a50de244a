//! The pure core under its promises: `admit`, `decide`, `settle` and `obey`, played without a store.
//!
//! Here and not in `domain`, because the promises are about the workflow files that the program
//! carries, which only `definitions` can read. Each test is named after its requirement. What the
//! engine itself does with store and connectors is tested in `tests/simulation` and `tests/integration`.

mod advice;
mod again;
mod ages;
mod ailing;
mod blind;
mod calling_off;
mod departures;
mod desks;
mod doubts;
mod drill;
mod given;
mod graver;
mod health;
mod holds;
mod identities;
mod in_hand;
mod legal;
mod living;
mod manifests;
mod many;
mod never_grants;
mod order;
mod pauses;
mod people;
mod play;
mod probing;
mod promise;
mod proof;
mod putting_off;
mod rehired;
mod released;
mod returned;
mod secrets;
mod storm;
mod target;
mod tasks;
mod told_more;
mod upgraded;
mod upstream;
mod waiting;
mod ward;
mod watch;
mod ways_in;
mod words;
