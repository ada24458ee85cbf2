//! Events that programs run on: captures and packets.
