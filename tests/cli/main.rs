//! pyw as a user meets it: the real program, its output compared to the last byte.
//!
//! One file a topic. [`pyw`] is the builder that every test is made with, [`store`] what tests
//! share so that a runtime and an interpreter are made ready once.

// Links, pipes, signals and shells are what much of this is about.
#![cfg(unix)]

mod pyw;
mod snapshots;
mod store;
#[path = "../support/mod.rs"]
mod support;

mod cache;
mod check;
mod commands;
mod compiled;
mod config;
mod doctor;
mod dry_run;
mod fence;
mod input;
mod interpreters;
mod limits;
mod modules;
mod network;
mod node;
mod packages;
mod plans;
mod pybis;
mod record;
mod runtimes;
mod scripts;
mod stores;
mod trust;
