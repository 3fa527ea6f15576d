//! The end of a connection in good order.
