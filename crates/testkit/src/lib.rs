//! Program generator, oracles and fact tables for tests.
