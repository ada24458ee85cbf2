//! What can be wrong with a context.

/// Why a context cannot be made; paths begin with `ctx`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// Not JSON.
    #[error("the context is not JSON: {0}")]
    Json(String),
    /// A name that the type does not have.
    #[error("{path}: no field '{name}' in {ty} (it has {known})")]
    UnknownField {
        /// Where.
        path: String,
        /// The name.
        name: String,
        /// The type.
        ty: String,
        /// Some of its names.
        known: String,
    },
    /// A value of another kind.
    #[error("{path}: {found} where {wanted} is wanted")]
    WrongType {
        /// Where.
        path: String,
        /// What can stand there.
        wanted: String,
        /// What stands there.
        found: String,
    },
    /// A number that the field does not hold.
    #[error("{path}: {value} does not fit {ty}")]
    OutOfRange {
        /// Where.
        path: String,
        /// The number.
        value: String,
        /// Bits and sign.
        ty: String,
    },
    /// More elements or characters than there is room for.
    #[error("{path}: {len} {what}, room is for {room}")]
    TooLong {
        /// Where.
        path: String,
        /// How many there are.
        len: usize,
        /// Of what.
        what: &'static str,
        /// How many fit.
        room: usize,
    },
    /// A type that is not known here.
    #[error("{path}: {message}")]
    NoType {
        /// Where.
        path: String,
        /// What is missing.
        message: String,
    },
    /// The whole takes too much memory.
    #[error("{path}: the context takes more than {limit} bytes of memory")]
    TooMuch {
        /// Where it became too much.
        path: String,
        /// The limit.
        limit: usize,
    },
}
