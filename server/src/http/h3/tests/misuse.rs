//! What no honest client does, and what becomes of it.
