//! skein-tests.
