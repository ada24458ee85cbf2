//! Every map type: the program's side and the user's side.
