//! Whether a program is safe, and why not.
